// Whether keys without Ctrl or Alt act. The page of the review switches them off, for those who speak to their browser.
"use strict";

export function keysAreOn() {
  try { return localStorage.getItem("weldnet-keys") !== "off"; } catch { return true; }
}

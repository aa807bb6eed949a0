// Dark or light: as the system says, until the person chooses. It runs before the page is drawn.
"use strict";
(() => {
  const root = document.documentElement;
  const stored = (() => {
    try { return localStorage.getItem("weldnet-theme"); } catch { return null; }
  })();
  if (stored === "dark" || stored === "light") root.dataset.theme = stored;
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try { localStorage.setItem("weldnet-theme", root.dataset.theme); } catch { /* a browser that stores nothing */ }
  });
})();

// An image that cannot be shown says why: pruned, changed, or elsewhere. One that is on its way is asked for again.
"use strict";
(() => {
  async function explain(image) {
    const address = image.getAttribute("src");
    if (!address?.startsWith("/image/")) return;
    const answer = await fetch(address).catch(() => null);
    const content = answer && !answer.ok ? await answer.json().catch(() => null) : null;
    const text = document.createElement("span");
    text.className = "not-shown";
    text.textContent = content?.error || image.alt;
    image.replaceWith(text);
    if (answer?.status !== 503) return;
    setTimeout(() => text.replaceWith(image.cloneNode()), 1000 * (Number(answer.headers.get("retry-after")) || 5));
  }
  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement) explain(event.target);
  }, true);
  for (const image of document.images) if (image.complete && !image.naturalWidth) explain(image);
})();

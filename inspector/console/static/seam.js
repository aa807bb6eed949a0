// One verdict for a whole pass over a seam, by button or key.
"use strict";

import { keysAreOn } from "./keys.js";
import { Outbox, showOutbox } from "./outbox.js";

const form = document.getElementById("seam-verdict");
if (form) {
  const { person, inspection } = form.dataset;
  const texts = JSON.parse(form.dataset.words);
  const say = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const note = form.elements.namedItem("note");
  let sent = null; // the key of the verdict that the page waits for
  const outbox = new Outbox(person, (box) => {
    showOutbox(box, document.getElementById("outbox"), document.getElementById("refused"), say);
    const isOut = sent && !box.items.some((item) => item.key === sent);
    const isRefused = box.refused.some(({ item }) => item.key === sent);
    if (isOut && !isRefused) location.reload(); // shows the verdict with what follows from it
  });
  outbox.onChange(outbox);
  outbox.send();

  function save(verdict) {
    if (sent && outbox.items.some((item) => item.key === sent)) return;
    sent = outbox.add({
      inspection: Number(inspection), verdict, label: null, note: note.value.trim() || null, blind: false,
      on_seam: true,
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-verdict]");
    if (button) save(button.dataset.verdict);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
    const verdict = { p: "PASS", f: "FAIL", u: "REVIEW" }[event.key];
    if (!verdict || event.repeat || !keysAreOn()) return;
    event.preventDefault();
    save(verdict);
  });
}

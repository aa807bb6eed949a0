// One verdict for a whole pass over a seam, by button or key.
"use strict";
(() => {
  const form = document.getElementById("seam-verdict");
  if (!form) return;
  const note = form.elements.namedItem("note");
  let isSaving = false;
  async function save(verdict) {
    if (isSaving) return;
    isSaving = true;
    const body = {
      key: Outbox.uuid(), inspection: Number(form.dataset.inspection), verdict, label: null,
      note: note.value.trim() || null, blind: false, on_seam: true, person: Outbox.person,
    };
    const result = await Outbox.send("/api/verdicts", body);
    isSaving = false;
    if (!result.answer) return;
    note.value = "";
    location.reload(); // shows the verdict with what follows from it
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-verdict]");
    if (button) save(button.dataset.verdict);
  });
  document.addEventListener("keydown", (event) => {
    const verdict = { p: "PASS", f: "FAIL", u: "REVIEW" }[event.key];
    if (!verdict || event.repeat || !Outbox.isForPage(event)) return;
    event.preventDefault();
    save(verdict);
  });
})();

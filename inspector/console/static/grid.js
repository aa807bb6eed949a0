// Mark the odd images of a grid by key or click; one key then gives all the others their verdict.
"use strict";

import { keysAreOn } from "./keys.js";
import { Outbox, showOutbox } from "./outbox.js";

const decide = document.getElementById("decide");
if (decide) {
  const tiles = document.getElementById("tiles");
  const line = document.getElementById("marked");
  const frames = [...tiles.querySelectorAll("button.frame")];
  const classes = [...document.querySelectorAll("#classes-by-key li")].map((one) => one.dataset.class);
  const { person } = decide.dataset;
  const texts = JSON.parse(decide.dataset.words);
  const say = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const odd = new Map(); // button → {verdict, label}; verdict null: the opposite of the rest
  const done = new Set(); // buttons whose images have a verdict of this page
  let given = 0; // verdicts of this page
  const outbox = new Outbox(person, (box) => {
    showOutbox(box, document.getElementById("outbox"), document.getElementById("refused"), say);
    if (given) line.textContent = box.items.length ? say("saving", { n: box.items.length }) : say("saved", { n: given });
  });
  outbox.onChange(outbox); // shows what was refused on an earlier page, and sends what it left
  outbox.send();

  function mark(button, as) {
    if (as) odd.set(button, as);
    else odd.delete(button);
    button.setAttribute("aria-pressed", String(odd.has(button)));
    const badge = button.querySelector(".odd");
    badge.hidden = !as;
    badge.textContent = as ? as.label || (as.verdict ? say("undecided") : say("odd")) : "";
    line.textContent = odd.size ? say("marked", { n: odd.size }) : "";
  }
  const toggle = (button) => mark(button, odd.has(button) ? null : { verdict: null, label: null });

  function save(rest) {
    const opposite = rest === "PASS" ? "FAIL" : "PASS";
    // A key that is pressed once more must not overwrite the odd ones, which are no longer marked.
    const chosen = frames.filter((button) => !done.has(button) || odd.has(button));
    given += chosen.length;
    for (const button of chosen) {
      done.add(button);
      const as = odd.get(button) || { verdict: rest, label: null };
      const said = {
        inspection: Number(button.closest(".tile").dataset.inspection), verdict: as.verdict || opposite,
        label: as.label, note: null, blind: false, in_grid: true,
      };
      outbox.add(said);
      show(button, said);
    }
    for (const button of [...odd.keys()]) mark(button, null);
    outbox.onChange(outbox);
    (document.getElementById("after") || frames[0]).focus();
  }
  function show(button, said) {
    const badge = button.closest(".tile").querySelector(".verdict");
    badge.className = `verdict ${said.verdict}`;
    badge.textContent = said.verdict;
    badge.nextElementSibling.textContent = `${person}${said.label ? ` ${said.label}` : ""}`;
  }

  function move(key) {
    const now = frames.indexOf(document.activeElement);
    if (now < 0) return frames[0].focus();
    const top = (frame) => frame.getBoundingClientRect().top;
    const wide = frames.filter((frame) => Math.abs(top(frame) - top(frames[0])) < 1).length;
    frames[now + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[key]]?.focus();
  }

  tiles.addEventListener("click", (event) => {
    const button = event.target.closest("button.frame");
    if (button) toggle(button);
  });
  decide.addEventListener("click", (event) => {
    const button = event.target.closest("[data-rest]");
    if (button) save(button.dataset.rest);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
    if (event.key.length === 1 && !keysAreOn()) return;
    const here = frames.includes(document.activeElement) ? document.activeElement : null;
    const { key } = event;
    if (key.startsWith("Arrow")) move(key);
    else if ((key === "p" || key === "f") && frames.length && !event.repeat) save(key === "p" ? "PASS" : "FAIL");
    else if (key === "x" && here) toggle(here);
    else if (key === "u" && here) mark(here, { verdict: "REVIEW", label: null });
    else if (key === "o" && here) location.assign(`/trace/${Number(here.closest(".tile").dataset.inspection)}`);
    else if (/^[1-9]$/.test(key) && here && classes[key - 1]) mark(here, { verdict: "FAIL", label: classes[key - 1] });
    else if (key === "n") document.getElementById("after")?.click();
    else if (key === "b") document.getElementById("before")?.click();
    else return;
    event.preventDefault();
  });
  frames[0]?.focus({ preventScroll: true });
}

// One waiting image after the other, by keys. The next images are in memory before they are needed, and a verdict is
// kept in the browser at once, so that the next image never waits for the server.
"use strict";

import { Outbox, showOutbox } from "./outbox.js";
import { factsOf } from "./facts.js";
import { Stage } from "./stage.js";

const AHEAD = 5; // images that are loaded before they are needed
const BEHIND = 30; // images whose pixels stay in memory for going back
const MAX_SKIPPED = 400; // numbers of images that the server is not to give again
const SEEN_MS = 50; // before a key counts: one that bounces comes sooner, and nobody sees an image in less
const LOOK_AGAIN_MS = 5000; // when nothing waits
const TRY_AGAIN_MS = [200, 1000, 5000]; // when the server does not answer, from try to try; the last one goes on

const $ = (id) => document.getElementById(id);
const root = $("review");
const { person, order, why, part, start } = root.dataset;
const mayReview = root.dataset.mayReview === "yes";
const texts = JSON.parse(root.dataset.words);
const say = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
const visit = String(Math.random()).slice(2); // of this page: a copied tab must not get the same images

const stage = new Stage($("stage"), $("brightness"), $("contrast"));
const outbox = new Outbox(person, (box) => showOutbox(box, $("outbox"), $("refused"), say));
const items = []; // {inspection, why, facts, image, heat, trouble, answer}
const acts = []; // of this page, for undo
let at = 0;
let seen = null; // the item whose image has been on the screen for long enough
let keyAt = null; // when the key was pressed that led to this image
let isFilling = false;
let hasAsked = false;
let isAway = false;
let isSignedOut = false;

// --- the queue -------------------------------------------------------------------------------------------------

async function fill() {
  if (isFilling || !mayReview) return;
  isFilling = true;
  clearTimeout(fill.timer);
  let found = [];
  try {
    const missing = AHEAD + 1 - (items.length - at);
    if (missing > 0) {
      const wish = new URLSearchParams({ order, count: missing, window: visit });
      if (why) wish.set("why", why);
      if (part) wish.set("part", part);
      const held = items.slice(at).map((item) => item.inspection);
      // Others have left the queue by their verdict. The rest is short enough for the address that a proxy takes.
      const open = items.slice(0, at).filter((item) => order === "differ" || !isDecided(item.answer));
      const seen = open.map((item) => item.inspection).slice(-MAX_SKIPPED);
      const unsent = outbox.items.map((item) => item.inspection).slice(-100);
      wish.set("held", held.join(","));
      wish.set("skip", [...seen, ...unsent].join(","));
      const answer = await fetch(`/api/queue?${wish}`);
      isSignedOut = answer.status === 401;
      if (!answer.ok) throw new Error(String(answer.status));
      const body = await answer.json();
      found = body.images;
      isAway = false;
      $("waiting").textContent = say("waiting", { n: body.waiting });
    }
  } catch {
    isAway = true;
  }
  isFilling = false;
  hasAsked = true;
  const wasEmpty = at >= items.length;
  for (const each of found) items.push(load({ ...each, facts: null, image: null, heat: null, trouble: null, answer: null }));
  if (wasEmpty) show();
  if (at + AHEAD >= items.length) fill.timer = setTimeout(fill, isAway ? TRY_AGAIN_MS[1] : LOOK_AGAIN_MS);
}

function isDecided(said) {
  return said?.verdict === "PASS" || said?.verdict === "FAIL";
}

function load(item) {
  item.image = new Image();
  item.image.alt = say("inspection", item);
  item.image.draggable = false;
  item.image.src = `/image/${item.inspection}`;
  decode(item);
  learn(item);
  return item;
}

function decode(item) {
  const { image } = item;
  const isOurs = () => item.image === image; // or it was forgotten meanwhile
  image.decode().then(
    () => { if (isOurs()) { item.isReady = true; shown(item); countAhead(); } },
    () => { if (isOurs()) explain(item); },
  );
}

function forget(item) {
  item.image = null;
  item.heat = null;
  item.isReady = false;
}

// How many of the next images are ready; for those who watch the page, such as tests.
function countAhead() {
  root.dataset.ahead = items.slice(at + 1).filter((item) => item.isReady && item.facts).length;
}

function pause(item) {
  item.tries = (item.tries ?? 0) + 1;
  return TRY_AGAIN_MS[Math.min(item.tries, TRY_AGAIN_MS.length) - 1];
}

async function learn(item) {
  try {
    const answer = await fetch(`/api/image/${item.inspection}`);
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error);
    item.facts = body;
    if (body.has_heat && !item.heat) {
      item.heat = new Image();
      item.heat.alt = "";
      item.heat.src = `/heat/${item.inspection}`;
    }
  } catch {
    setTimeout(() => learn(item), pause(item));
    return;
  }
  countAhead();
  if (items[at] === item) {
    if (item.isReady) stage.show(item.image, item.heat);
    describe(item);
  }
}

// The image cannot be shown: say why, or try again if the server was away.
async function explain(item) {
  let forNow = say("no_image");
  try {
    const answer = await fetch(`/image/${item.inspection}`);
    if (answer.ok) throw new Error("the bytes are no image that this browser shows");
    if (answer.status === 503) forNow = (await answer.json()).error ?? forNow; // a small picture is on its way
    if (answer.status >= 500 || answer.status === 429 || answer.status === 401) throw new Error("later");
    item.trouble = (await answer.json()).error;
  } catch {
    item.trouble = forNow;
    setTimeout(() => {
      if (!item.image) return;
      item.trouble = null;
      item.image.src = `/image/${item.inspection}?try=${item.tries}`;
      decode(item);
    }, pause(item));
  }
  if (items[at] === item) show();
}

// --- the screen ------------------------------------------------------------------------------------------------

function show() {
  const item = items[at];
  const trouble = $("trouble");
  root.dataset.inspection = item?.inspection ?? "";
  root.dataset.ready = "";
  seen = null;
  const text = item ? item.trouble : emptiness();
  trouble.textContent = text ?? "";
  trouble.hidden = !text;
  stage.show(item?.isReady ? item.image : null, item?.heat ?? null);
  describe(item);
  if (item?.isReady) shown(item);
}

function emptiness() {
  if (!mayReview) return "";
  if (isSignedOut) return say("signed_out");
  if (isAway) return say("no_image");
  return say(hasAsked ? "nothing" : "loading");
}

// Called when the image of an item has been decoded, or when a decoded one has been put on the screen.
function shown(item) {
  if (items[at] !== item) return;
  $("trouble").hidden = true; // of a picture that has come after all
  if (!item.image.isConnected) stage.show(item.image, item.heat);
  const from = keyAt;
  keyAt = null;
  requestAnimationFrame(() => {
    if (items[at] !== item) return;
    setTimeout(() => {
      if (items[at] === item) seen = item;
      mark();
    }, SEEN_MS);
    if (from !== null) performance.measure("next-image", { start: from, end: performance.now() });
  });
}

function describe(item) {
  $("facts").replaceChildren(...(item ? factsOf(item, say, person) : []));
  mark();
}

// Whether a verdict is accepted now; for those who watch the page, such as tests.
function mark() {
  const item = items[at];
  root.dataset.ready = item?.facts && seen === item ? item.inspection : "";
}

function flash(text) {
  $("flash").textContent = text;
}

function go(by) {
  const next = at + by;
  if (next < 0 || next > items.length) return;
  at = next;
  items.slice(0, Math.max(0, at - BEHIND)).forEach(forget);
  $("note").value = "";
  const item = items[at];
  if (item && !item.image) load(item);
  else if (item?.answer && item.facts?.blind) learn(item); // nothing is hidden after the verdict
  show();
  countAhead();
  fill();
}

// --- what a person says ----------------------------------------------------------------------------------------

function answer(verdict, label = null) {
  const item = items[at];
  if (!mayReview || !item) return;
  if (!item.facts || !(item.trouble || seen === item)) return flash(say("not_yet"));
  if (!item.isReady && verdict !== "REVIEW") return flash(say("not_seen"));
  const replaced = item.answer ?? latest(item.facts);
  const note = $("note").value.trim() || null;
  const { inspection } = item;
  const key = outbox.add({ inspection, verdict, label, note, blind: item.facts.blind && !item.answer });
  acts.push({ item, replaced, key });
  item.answer = { verdict, label };
  flash(say("said", { person: item.inspection, verdict: label ? `${verdict} ${label}` : verdict }));
  go(1);
}

function latest(facts) {
  const last = facts.said.at(-1);
  return last ? { verdict: last.verdict, label: last.label } : null;
}

function undo() {
  const act = acts.pop();
  if (!act) return flash(say("nothing_to_undo"));
  const { item, replaced, key } = act;
  const before = replaced ?? { verdict: "REVIEW", label: null };
  outbox.add({ inspection: item.inspection, verdict: before.verdict, label: before.label, note: null, blind: false, undoes: key });
  item.answer = before;
  go(items.indexOf(item) - at);
  flash(say("undone"));
}

function byClass(digit) {
  const found = items[at]?.facts?.classes.find((known) => known.key === digit);
  if (found) answer("FAIL", found.name);
}

const KEYS = {
  p: () => answer("PASS"),
  f: () => answer("FAIL"),
  u: () => answer("REVIEW"),
  z: undo,
  j: () => { if (at < items.length) go(1); },
  k: () => go(-1),
  n: () => $("note").focus(),
  "?": () => $("keys").showModal(),
};

function press(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (KEYS[key]) KEYS[key]();
  else if (/^[1-9]$/.test(key)) byClass(key);
  else return stage.press(event);
  return true;
}

const keysAreOn = (() => {
  const box = $("keys-on");
  try { box.checked = localStorage.getItem("weldnet-keys") !== "off"; } catch { /* they stay on */ }
  box.addEventListener("change", () => {
    try { localStorage.setItem("weldnet-keys", box.checked ? "on" : "off"); } catch { /* for this page only */ }
  });
  return () => box.checked;
})();

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open || !keysAreOn()) return;
  if (event.target === $("note")) {
    if (event.key === "Enter" || event.key === "Escape") { event.target.blur(); event.preventDefault(); }
    return;
  }
  // A box of the list of keys has the focus for a moment after the list is closed.
  if (event.target.closest("input, select, textarea")?.checkVisibility()) return;
  if (event.key.toLowerCase() === "h") {
    stage.heatIsOn(true);
    return;
  }
  if (event.repeat && !event.key.startsWith("Arrow") && !/^[-+=bc]$/i.test(event.key)) return; // a key that got stuck
  keyAt = performance.now();
  if (press(event)) event.preventDefault();
});
document.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "h") stage.heatIsOn(false); });
addEventListener("blur", () => stage.heatIsOn(false));
root.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-key]");
  if (!button) return;
  keyAt = performance.now();
  press({ key: button.dataset.key, shiftKey: false });
});
const hold = document.querySelector("[data-hold]");
for (const [kind, on] of [["pointerdown", true], ["pointerup", false], ["pointerleave", false], ["pointercancel", false]]) {
  hold.addEventListener(kind, () => stage.heatIsOn(on));
}
for (const select of document.querySelectorAll(".wishes select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// Others need not wait for the leases of a page that is closed.
addEventListener("pagehide", () => navigator.sendBeacon(`/api/queue/leave?${new URLSearchParams({ window: visit })}`));

outbox.send();
showOutbox(outbox, $("outbox"), $("refused"), say);
if (/^\d+$/.test(start)) items.push(load({ inspection: Number(start), why: "asked", facts: null, image: null, heat: null, trouble: null, answer: null }));
show();
fill();

// Verdicts on their way to the ledger. Each has a key, so that it is one row however often it is sent. They are kept
// in the browser until the server says that they are in the database.
"use strict";

const TRY_AGAIN_MS = 1000;
const LONGEST_MS = 10000; // between tries, after which an outage has ended unnoticed for at most so long
const ANSWER_MS = 60000; // another writer may hold the database for half of it

export class Outbox {
  // onChange is called with this box whenever what it holds has changed.
  constructor(person, onChange) {
    this.person = person;
    this.refusedName = `weldnet-refused:${person}`;
    this.refusedInMemory = [];
    this.trouble = null; // null, "away" or "sign_in"
    this.stores = true;
    this.memory = [];
    this.name = `weldnet-outbox:${person}`;
    this.onChange = onChange;
    this.running = false;
    this.wait = TRY_AGAIN_MS;
    addEventListener("storage", (event) => { if (event.key === this.name) this.onChange(this); });
    addEventListener("online", () => this.send());
  }

  get items() {
    try {
      const text = localStorage.getItem(this.name);
      const stored = text ? JSON.parse(text) : [];
      return this.stores ? stored : [...stored, ...this.memory];
    } catch {
      this.stores = false;
      return this.memory;
    }
  }

  // What the server will never take, each with its reason, until the person has read it.
  get refused() {
    try {
      return JSON.parse(localStorage.getItem(this.refusedName) ?? "[]");
    } catch {
      return this.refusedInMemory;
    }
  }

  #setRefused(list) {
    this.refusedInMemory = list;
    try { localStorage.setItem(this.refusedName, JSON.stringify(list)); } catch { /* in memory */ }
  }

  add(verdict) {
    const item = { key: crypto.randomUUID?.() ?? randomKey(), person: this.person, ...verdict };
    this.#change((items) => [...items, item]);
    this.send();
    return item.key;
  }

  dismiss(key) {
    this.#setRefused(this.refused.filter((each) => each.item.key !== key));
    this.onChange(this);
  }

  async send() {
    if (this.running) return;
    this.running = true;
    clearTimeout(this.timer);
    try {
      // One window at a time, so that the verdicts of a person arrive in their order.
      if (navigator.locks) await navigator.locks.request(this.name, () => this.#sendAll());
      else await this.#sendAll();
    } finally {
      this.running = false;
    }
    if (this.items.length) {
      this.timer = setTimeout(() => this.send(), this.wait);
      this.wait = Math.min(LONGEST_MS, this.wait * 2);
    }
  }

  async #sendAll() {
    let item;
    while ((item = this.items[0])) {
      const answer = await post(item);
      if (answer.status === 200 || answer.status === 422 || answer.status === 403) {
        if (answer.status !== 200) this.#setRefused([...this.refused, { item, error: answer.error }]);
        this.trouble = null;
        this.wait = TRY_AGAIN_MS;
        const { key } = item;
        this.#change((items) => items.filter((each) => each.key !== key));
      } else {
        this.trouble = answer.status === 401 ? "sign_in" : "away";
        this.onChange(this);
        return;
      }
    }
  }

  #change(work) {
    const items = work(this.items);
    try {
      localStorage.setItem(this.name, JSON.stringify(items));
      this.stores = true;
      this.memory = [];
    } catch {
      this.stores = false;
      this.memory = items;
    }
    this.onChange(this);
  }
}

// Show in one line what waits, and in a list what the server refused.
export function showOutbox(box, line, refused, say) {
  const n = box.items.length;
  line.hidden = !(n && (box.trouble || !box.stores));
  if (!line.hidden) {
    const key = !box.stores ? "not_stored" : box.trouble === "sign_in" ? "kept_signed_out" : "kept";
    line.textContent = say(key, { n, person: box.person });
  }
  refused.hidden = box.refused.length === 0;
  refused.replaceChildren(...box.refused.map(({ item, error }) => {
    const entry = document.createElement("li");
    const text = say("refused", { inspection: item.inspection, verdict: item.verdict, error });
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
    button.addEventListener("click", () => box.dismiss(item.key));
    entry.append(text, " ", button);
    return entry;
  }));
}

async function post(item) {
  try {
    const answer = await fetch("/api/verdicts", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(item),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const body = answer.headers.get("content-type")?.startsWith("application/json") ? await answer.json() : {};
    // An answer that is not ours, as from a proxy's own page, says nothing of the database.
    const isOurs = answer.ok ? typeof body.added === "number" : typeof body.error === "string";
    return { status: isOurs ? answer.status : 0, error: body.error };
  } catch {
    return { status: 0 };
  }
}

// crypto.randomUUID is there in secure contexts only.
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

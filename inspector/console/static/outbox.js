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
    this.memory = new Map(); // what the browser did not store
    // Each verdict has an entry of its own, so that no window overwrites what another one has just added.
    this.prefix = `weldnet-outbox:${encodeURIComponent(person)}:`;
    this.onChange = onChange;
    this.running = false;
    this.wait = TRY_AGAIN_MS;
    addEventListener("storage", (event) => { if (event.key?.startsWith(this.prefix)) this.onChange(this); });
    addEventListener("online", () => this.send());
  }

  get items() {
    return this.#entries().map(([, item]) => item);
  }

  get stores() {
    return this.memory.size === 0;
  }

  // Names and verdicts, the oldest first.
  #entries() {
    const found = new Map(this.memory);
    try {
      for (const name of Object.keys(localStorage)) {
        const text = name.startsWith(this.prefix) ? localStorage.getItem(name) : null;
        if (text) found.set(name, JSON.parse(text));
      }
    } catch { /* those in memory are left */ }
    return [...found].sort(([one], [other]) => (one < other ? -1 : 1));
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
    const last = this.#entries().at(-1)?.[0] ?? this.prefix;
    const place = Number(last.slice(this.prefix.length).split(":")[0]) + 1;
    const name = `${this.prefix}${String(place).padStart(12, "0")}:${item.key}`;
    try { localStorage.setItem(name, JSON.stringify(item)); } catch { this.memory.set(name, item); }
    this.onChange(this);
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
      if (navigator.locks) await navigator.locks.request(this.prefix, () => this.#sendAll());
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
    let entry;
    while ((entry = this.#entries()[0])) {
      const [name, item] = entry;
      const answer = await post(item);
      if (answer.status === 200 || answer.status === 422 || answer.status === 403) {
        if (answer.status !== 200) this.#setRefused([...this.refused, { item, error: answer.error }]);
        this.trouble = null;
        this.wait = TRY_AGAIN_MS;
        this.memory.delete(name);
        try { localStorage.removeItem(name); } catch { /* it was in memory */ }
        this.onChange(this);
      } else {
        this.trouble = answer.status === 401 ? "sign_in" : "away";
        this.onChange(this);
        return;
      }
    }
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

// Verdicts on their way: those that the station does not take yet stay in this browser, and go again with the same
// keys until they are rows. Each person has an own list, because a verdict counts for the one who is signed in.
"use strict";
const Outbox = (() => {
  const AGAIN_MS = 3000; // between tries: an outage lasts seconds to hours
  const line = document.getElementById("outbox");
  const place = `weldnet-outbox:${line.dataset.person}`;
  const read = () => JSON.parse(localStorage.getItem(place) || "[]");
  const write = (list) => (list.length ? localStorage.setItem(place, JSON.stringify(list)) : localStorage.removeItem(place));
  const count = (list) => list.reduce((n, one) => n + (one.body.verdicts || [1]).length, 0);

  function say(text, kind) {
    line.textContent = text;
    line.className = `message ${kind}`;
    line.hidden = !text;
  }
  const waiting = (words) => say(words.replace("{n}", count(read())), "wait");

  // Resolves to {answer} or {error}; {kept: true} while the station does not answer.
  async function post(address, body) {
    let answer;
    try {
      answer = await fetch(address, {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), redirect: "error",
      });
    } catch {
      return { kept: true };
    }
    if (answer.status === 401) return { kept: true, signIn: true };
    if (answer.status >= 500 || answer.status === 408 || answer.status === 429) return { kept: true };
    const content = await answer.json().catch(() => ({ error: answer.statusText }));
    return answer.ok ? { answer: content } : { error: content.error || answer.statusText };
  }

  async function send(address, body) {
    const result = await post(address, body);
    if (result.kept) {
      write([...read(), { address, body }]);
      waiting(result.signIn ? line.dataset.signIn : line.dataset.waiting);
    } else if (result.error) {
      say(result.error, "bad");
    }
    return result;
  }

  let isSending = false;
  async function again() {
    const [first] = read();
    if (!first || isSending) return;
    isSending = true;
    const result = await post(first.address, first.body);
    isSending = false;
    if (result.kept) return waiting(result.signIn ? line.dataset.signIn : line.dataset.waiting);
    const sent = JSON.stringify(first); // another tab may have changed the list meanwhile
    write(read().filter((one) => JSON.stringify(one) !== sent));
    if (result.error) say(result.error, "bad");
    else if (read().length) waiting(line.dataset.waiting);
    else say(line.dataset.sent, "");
    if (read().length) await again();
  }
  setInterval(again, AGAIN_MS);
  again();

  const uuid = () => {
    if (crypto.randomUUID) return crypto.randomUUID();
    const bytes = crypto.getRandomValues(new Uint8Array(16)); // behind http on another address there is no randomUUID
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };
  // Whether a key is meant for the page: not while a person writes, and not a shortcut of the browser.
  const isForPage = (event) =>
    !event.ctrlKey && !event.altKey && !event.metaKey && !event.target.closest("input, select, textarea");
  return { send, say, uuid, isForPage, person: line.dataset.person };
})();

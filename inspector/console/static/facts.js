// What is known of an image, as elements. All text is set as text, never as markup.
"use strict";

const SHOWN_CLASSES = 12;
const ASK_AGAIN_MS = 5000; // by then a station has sent the picture
const ASK_TIMES = 12; // for a minute

// item: as in review.js; say: words by key; person: who looks.
export function factsOf(item, say, person) {
  const { facts } = item;
  if (!facts) return [element("p", { className: "muted" }, say("loading"))];
  const parts = [
    element("p", { className: "why" }, say(`why_${item.why}`)),
    element("p", { className: "title" }, facts.title),
    element("p", { className: "muted" }, `${facts.name} · ${facts.station} · ${facts.at}`),
  ];
  if (facts.is_small) parts.push(element("p", { className: "muted" }, say("small")));
  if (item.answer) parts.push(element("p", { className: "message" }, say("you_said", { verdict: words(item.answer) })));
  if (facts.blind) parts.push(element("p", { className: "message" }, say("blind")));
  else parts.push(...station(facts, say));
  parts.push(classes(facts, say));
  for (const each of facts.said) {
    const line = element("p", { className: "said" }, `${say("said", { person: each.reviewer, verdict: words(each) })} · ${each.at}`);
    if (each.note) line.append(element("q", {}, each.note));
    parts.push(line);
  }
  if (facts.neighbours.length > 1) parts.push(...neighbours(facts, say));
  return parts;
}

function station(facts, say) {
  const line = element("p", {}, `${say("station_said")}: `, verdict(facts.verdict), ` ${facts.label} ${facts.confidence.toFixed(3)}`);
  const reason = facts.explanation ? [element("p", { className: "reason" }, facts.explanation)] : [];
  const limit = facts.novelty_limit === null ? "" : ` (${say("threshold", { value: facts.novelty_limit.toFixed(3) })})`;
  const novelty = element("p", { className: "muted" }, say("novelty", { value: facts.novelty.toFixed(3) }) + limit);
  return facts.novelty > 0 ? [line, ...reason, novelty] : [line, ...reason];
}

// Each class with its key, and a bar of its probability with the threshold in force as a tick.
function classes(facts, say) {
  const list = element("ul", { className: "classes" });
  for (const each of facts.classes.slice(0, SHOWN_CLASSES)) {
    const row = element("li", { className: each.role });
    row.append(each.key ? key(each) : element("span", {}), element("span", { className: "name" }, each.shown));
    if (each.probability !== null) {
      const limit = each.threshold === null ? "" : say("threshold", { value: each.threshold.toFixed(3) });
      row.append(element("span", { className: "share" }, each.probability.toFixed(3)));
      const bar = element("span", { className: "bar", title: limit });
      const filled = element("span", { className: "filled" });
      filled.style.width = `${each.probability * 100}%`;
      bar.append(filled);
      if (each.threshold !== null) {
        const tick = element("span", { className: "tick" });
        tick.style.left = `${each.threshold * 100}%`;
        bar.append(tick, element("span", { className: "unseen" }, limit));
      }
      row.append(bar);
    }
    list.append(row);
  }
  return list;
}

// The class's key, which a finger or a mouse can press, too.
function key(known) {
  const made = element("button", { type: "button", className: "class-key" }, element("kbd", {}, known.key));
  made.setAttribute("aria-label", `FAIL ${known.shown}`);
  made.dataset.key = known.key;
  made.hidden = !document.querySelector("#review").dataset.mayReview;
  return made;
}

function neighbours(facts, say) {
  const strip = element("div", { className: "strip" });
  for (const frame of facts.neighbours) {
    const picture = element("img", { src: `/image/${frame.inspection}?small=1`, alt: say("inspection", frame), loading: "lazy" });
    if (facts.is_small) askAgain(picture, `/image/${frame.inspection}?small=1`);
    const cell = element("a", { className: frame.here ? "frame here" : "frame", href: `/review?inspection=${frame.inspection}` }, picture);
    if (frame.verdict) cell.append(verdict(frame.verdict));
    strip.append(cell);
  }
  return [element("h2", {}, say("frames")), strip];
}

// A picture of another station is on its way, or there is none.
function askAgain(picture, address) {
  let tries = 0;
  picture.addEventListener("error", () => {
    if (tries++ < ASK_TIMES) setTimeout(() => { if (picture.isConnected) picture.src = `${address}&try=${tries}`; }, ASK_AGAIN_MS);
  });
}

function words(said) {
  return said.label ? `${said.verdict} ${said.label}` : said.verdict;
}

function verdict(text) {
  return element("span", { className: `verdict ${text}` }, text);
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

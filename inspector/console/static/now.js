// The last images as they are judged: each server-sent event is a new first row, as text.
"use strict";
(() => {
  const rows = document.getElementById("rows");
  const live = document.getElementById("live");
  const most = Number(rows.dataset.most);

  // Only a change is set: a screen reader says it each time.
  const say = (text) => { if (live.textContent !== text) live.textContent = text; };
  const cell = (row, ...content) => row.insertCell().append(...content);
  function link(address, text) {
    const made = document.createElement("a");
    made.href = address;
    made.textContent = text;
    return made;
  }
  function verdict(text) {
    const made = document.createElement("span");
    made.className = `verdict ${text}`;
    made.textContent = text;
    return made;
  }
  function show(frame) {
    if (rows.querySelector(`[data-inspection="${Number(frame.inspection)}"]`)) return;
    document.getElementById("none")?.remove();
    const row = rows.insertRow(0);
    row.dataset.inspection = frame.inspection;
    cell(row, link(`/trace/${Number(frame.inspection)}`, frame.at));
    cell(row, ...(frame.verdict ? [verdict(frame.verdict), " "] : []), frame.said);
    cell(row, ...(frame.seam ? [link(frame.seam, frame.place)] : []));
    cell(row, frame.file);
    row.lastElementChild.className = "file";
    while (rows.rows.length > most) rows.deleteRow(-1);
  }
  const stream = new EventSource("/events");
  stream.addEventListener("open", () => { say(live.dataset.live); });
  stream.addEventListener("error", () => { say(live.dataset.away); });
  stream.addEventListener("away", (event) => { say(JSON.parse(event.data)); });
  stream.addEventListener("message", (event) => {
    say(live.dataset.live);
    show(JSON.parse(event.data));
  });
})();

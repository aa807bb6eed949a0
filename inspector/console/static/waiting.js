// Verdicts that an earlier page could not send go out from any page of the console.
"use strict";

import { Outbox, showOutbox } from "./outbox.js";

const place = document.getElementById("waiting-verdicts");
const hasItsOwn = document.getElementById("outbox") !== null; // the review, the grid and a seam say more of theirs
if (place && !hasItsOwn) {
  const [line, refused] = place.children;
  const say = (key, values) => place.dataset[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const outbox = new Outbox(place.dataset.person, (box) => {
    place.hidden = !box.items.length && !box.refused.length;
    showOutbox(box, line, refused, say);
  });
  outbox.onChange(outbox);
  outbox.send();
}

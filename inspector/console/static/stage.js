// The place of the image: zoom and pan by key and mouse, brightness and contrast, and the heat map above it.
"use strict";

const CLOSEST = 40; // screen pixels per pixel of the fitted image
const STEP = 1.25;
const PAN = 60; // screen pixels per press of an arrow

export class Stage {
  constructor(place, brightness, contrast) {
    this.place = place;
    this.inputs = { brightness, contrast };
    this.layer = document.createElement("div");
    this.layer.className = "layer";
    place.append(this.layer);
    for (const input of [brightness, contrast]) input.addEventListener("input", () => this.#draw());
    place.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = place.getBoundingClientRect();
      const x = event.clientX - box.left - box.width / 2;
      this.zoom(event.deltaY < 0 ? STEP : 1 / STEP, x, event.clientY - box.top - box.height / 2);
    }, { passive: false });
    place.addEventListener("dblclick", () => this.reset());
    place.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      place.setPointerCapture(event.pointerId);
      this.drag = event.pointerId;
    });
    place.addEventListener("pointermove", (event) => {
      if (event.pointerId === this.drag) this.pan(event.movementX, event.movementY);
    });
    for (const end of ["pointerup", "pointercancel"]) place.addEventListener(end, () => { this.drag = null; });
    this.reset();
  }

  // Put an image in place; heat is its heat map or null. The light stays: frames of one camera are alike.
  show(image, heat) {
    this.heat = heat;
    this.layer.replaceChildren(...(image ? [image] : []));
    if (heat) {
      heat.classList.add("heat");
      heat.hidden = true;
      if (image) this.layer.style.setProperty("--aspect", image.naturalWidth / image.naturalHeight);
      this.layer.append(heat);
    }
    this.#home();
  }

  heatIsOn(on) {
    if (this.heat) this.heat.hidden = !on;
  }

  zoom(times, x = 0, y = 0) {
    const scale = Math.min(CLOSEST, Math.max(1, this.scale * times));
    // The point under the pointer stays.
    this.x = x - (x - this.x) * scale / this.scale;
    this.y = y - (y - this.y) * scale / this.scale;
    this.scale = scale;
    if (scale === 1) this.#home();
    this.#draw();
  }

  pan(x, y) {
    this.x += x;
    this.y += y;
    this.#draw();
  }

  lighten(what, by) {
    const input = this.inputs[what];
    input.value = Number(input.value) * (by > 0 ? 1.2 : 1 / 1.2);
    this.#draw();
  }

  reset() {
    for (const input of Object.values(this.inputs)) input.value = 1;
    this.#home();
    this.#draw();
  }

  // A key that moves or lights the image; false if it is another key.
  press(event) {
    const key = event.key;
    if (key === "+" || key === "=") this.zoom(STEP);
    else if (key === "-") this.zoom(1 / STEP);
    else if (key === "0") this.reset();
    else if (key === "ArrowLeft") this.pan(PAN, 0);
    else if (key === "ArrowRight") this.pan(-PAN, 0);
    else if (key === "ArrowUp") this.pan(0, PAN);
    else if (key === "ArrowDown") this.pan(0, -PAN);
    else if (key.toLowerCase() === "b") this.lighten("brightness", event.shiftKey ? -1 : 1);
    else if (key.toLowerCase() === "c") this.lighten("contrast", event.shiftKey ? -1 : 1);
    else return false;
    return true;
  }

  #home() {
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.#draw();
  }

  #draw() {
    const { brightness, contrast } = this.inputs;
    this.layer.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.layer.style.imageRendering = this.scale > 3 ? "pixelated" : "auto";
    this.place.style.setProperty("--light", `brightness(${brightness.value}) contrast(${contrast.value})`);
  }
}

// A figure over the last minutes: one curve, its newest value, and the value under the pointer.

import { draw, h, say } from "./dom.js";

const [WIDTH, HEIGHT] = [300, 84];

class Plot extends HTMLElement {
  #values = [];
  #times = { until: 0, period: 2 };

  connectedCallback() {
    this.value = h("b", {}, "–");
    this.when = h("span", {}, "");
    this.area = draw("path", { class: "area" });
    this.curve = draw("path", { class: "curve" });
    this.cursor = draw("path", { class: "cursor", visibility: "hidden" });
    const base = draw("path", { class: "base", d: `M0 ${HEIGHT}H${WIDTH}` });
    this.svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.svg.append(base, this.area, this.curve, this.cursor);
    this.from = h("span", {}, "");
    this.append(h("div", { class: "plot-head" }, h("span", { class: "quiet" }, this.label), this.value), this.svg,
      h("div", { class: "axis" }, this.from, this.when));
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => this.#leave());
    this.#leave();
  }

  /** All values, oldest first, null where there was none; `until` is the time of the newest one, `period` in seconds. */
  load(values, until, period) {
    this.#values = values;
    this.#times = { until: Date.parse(until), period };
    this.#draw();
  }

  /** One more value. */
  add(value, most) {
    this.#values.push(value);
    if (this.#values.length > most) this.#values.shift();
    this.#times.until = Date.now();
    this.#draw();
  }

  #draw() {
    const values = this.#values;
    const known = values.filter((value) => value !== null);
    const top = Math.max(this.least ?? 0, ...known) * 1.12 || 1;
    const x = (index) => (values.length > 1 ? (index / (values.length - 1)) * WIDTH : WIDTH);
    const y = (value) => HEIGHT - (value / top) * HEIGHT;
    let [curve, area, open] = ["", "", false];
    values.forEach((value, index) => {
      if (value === null) {
        if (open) area += `L${x(index - 1).toFixed(1)} ${HEIGHT}Z`;
        open = false;
        return;
      }
      const at = `${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      curve += `${open ? "L" : "M"}${at}`;
      area += open ? `L${at}` : `M${x(index).toFixed(1)} ${HEIGHT}L${at}`;
      open = true;
    });
    if (open) area += `L${WIDTH} ${HEIGHT}Z`;
    this.curve.setAttribute("d", curve);
    this.area.setAttribute("d", area);
    const seconds = Math.round((values.length - 1) * this.#times.period);
    say(this.from, seconds > 90 ? `${Math.round(seconds / 60)} min ago` : seconds > 0 ? `${seconds} s ago` : "");
    const [low, high] = known.length ? [Math.min(...known), Math.max(...known)].map(this.words) : ["nothing", "nothing"];
    this.svg.setAttribute("aria-label", `${this.label}: from ${low} to ${high}`);
    if (this.cursor.getAttribute("visibility") === "hidden") this.#leave();
  }

  #point(event) {
    const box = this.svg.getBoundingClientRect();
    const index = Math.round(((event.clientX - box.left) / box.width) * (this.#values.length - 1));
    if (!(index in this.#values)) return;
    const place = this.#values.length > 1 ? (index / (this.#values.length - 1)) * WIDTH : WIDTH;
    this.cursor.setAttribute("d", `M${place} 0V${HEIGHT}`);
    this.cursor.setAttribute("visibility", "visible");
    say(this.value, this.words(this.#values[index]));
    const back = Math.round((this.#values.length - 1 - index) * this.#times.period);
    say(this.when, back ? `${back} s ago` : "now");
  }

  #leave() {
    this.cursor.setAttribute("visibility", "hidden");
    say(this.value, this.words(this.#values.at(-1) ?? null));
    say(this.when, "now");
  }
}

customElements.define("rg-plot", Plot);

/** `words` says a value; `least` is the smallest height of the scale. */
export function plot(label, words, least = 0) {
  return Object.assign(document.createElement("rg-plot"), { label, words, least });
}

// A table of which only the rows near the screen are in the document; it scrolls with the page.

import { h } from "./dom.js";

const SPARE = 8; // rows above and below the screen

/** `row`: {make() -> element, fill(element, item)}; `key(item)` is a row's identity; `rendered` is called each time. */
export class Windowed {
  #items = [];
  #rows = new Map(); // key -> element
  #idle = []; // elements without an item
  #frame = 0;

  constructor({ label, columns, kind, row, key }) {
    this.row = row;
    this.key = key;
    this.body = h("div", { class: "rows", role: "rowgroup" });
    const head = h("div", { class: "head", role: "row" }, columns.map(([word, name = ""]) => h("span", { role: "columnheader", class: name }, word)));
    this.element = h("div", { class: `panel table ${kind}`, role: "table", "aria-label": label }, h("div", { role: "rowgroup" }, head), this.body);
    this.moved = () => { this.#frame ||= requestAnimationFrame(() => { this.#frame = 0; this.render(); }); };
  }

  begin() {
    addEventListener("scroll", this.moved, { passive: true });
    addEventListener("resize", this.moved, { passive: true });
    this.render();
  }

  end() {
    removeEventListener("scroll", this.moved);
    removeEventListener("resize", this.moved);
  }

  set items(items) {
    this.#items = items;
    this.render();
  }

  /** What part of all rows is above the end of the screen: from 0 to 1. */
  get reached() {
    return this.#items.length ? this.last / this.#items.length : 1;
  }

  render() {
    if (!this.element.isConnected) return;
    const height = parseFloat(getComputedStyle(this.element).getPropertyValue("--line-height"));
    const top = this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - SPARE);
    this.last = Math.min(this.#items.length, Math.ceil((innerHeight - top) / height) + SPARE);
    this.body.style.height = `${this.#items.length * height}px`;
    this.element.setAttribute("aria-rowcount", this.#items.length + 1);
    const shown = new Map();
    for (let index = first; index < this.last; index += 1) shown.set(this.key(this.#items[index]), index);
    for (const [key, element] of this.#rows) {
      if (shown.has(key)) continue;
      this.#rows.delete(key);
      element.hidden = true;
      this.#idle.push(element);
    }
    for (const [key, index] of shown) this.#place(key, index, height);
    this.rendered?.();
  }

  #place(key, index, height) {
    let element = this.#rows.get(key);
    if (!element) {
      element = this.#idle.pop() ?? this.body.appendChild(this.row.make());
      element.hidden = false;
      this.#rows.set(key, element);
    }
    const place = `translateY(${index * height}px)`;
    if (element.style.transform !== place) {
      element.style.transform = place;
      element.setAttribute("aria-rowindex", index + 2);
    }
    this.row.fill(element, this.#items[index]);
  }
}

/** A row with its cells as properties: names -> [tag, class]. */
export function line(cells) {
  const made = h("div", { class: "line", role: "row" });
  for (const [name, [tag, kind]] of Object.entries(cells)) {
    const inner = h(tag, { class: tag === "span" ? kind : "" });
    made[name] = inner;
    made.append(tag === "span" ? cell(inner) : cell(h("span", { class: kind }, inner)));
  }
  return made;
}

function cell(element) {
  element.setAttribute("role", "cell");
  return element;
}

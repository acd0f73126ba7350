// Live thumbnails: of what is on the screen only, a few at a time, each again after a while, none while nobody looks.

import { PREFIX } from "./dom.js";
import { store } from "./store.js";

const EVERY = 10_000; // ms between two pictures of one stream
const AT_ONCE = 3;
const WIDTH = 480; // pixels

class Thumbs {
  #seen = new Map(); // element -> when its picture is due
  #busy = 0;
  #count = 0;
  #timer = 0;
  #observer = new IntersectionObserver((entries) => this.#moved(entries), { rootMargin: "120px" });

  /** `element` has `thumb()`: {name, wanted, image}, and is told of its being on the screen by `seen(true or false)`. */
  watch(element) {
    this.#observer.observe(element);
  }

  forget(element) {
    this.#observer.unobserve(element);
    this.#seen.delete(element);
  }

  /** Its picture is due at once. */
  hurry(element) {
    if (this.#seen.has(element)) this.#seen.set(element, 0);
    this.#work();
  }

  #moved(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && !this.#seen.has(target)) this.#seen.set(target, 0);
      if (!isIntersecting) this.#seen.delete(target);
      target.seen(isIntersecting);
    }
    this.#timer ||= setInterval(() => this.#work(), 1_000);
    this.#work();
  }

  #work() {
    if (document.hidden || store.connection !== "open" || !store.can("play")) return;
    const now = performance.now();
    for (const [element, due] of this.#seen) {
      if (this.#busy >= AT_ONCE) return;
      const { name, wanted, image } = element.thumb();
      if (!wanted || due > now) continue;
      this.#seen.set(element, now + EVERY * (0.8 + 0.4 * Math.random())); // not all in the same second
      this.#load(image, name);
    }
  }

  async #load(image, name) {
    this.#busy += 1;
    this.#count += 1;
    const next = new Image();
    next.src = `${PREFIX}/live/${encodeURIComponent(name)}.jpg?wake=false&width=${WIDTH}&n=${this.#count}`;
    try {
      await next.decode();
      image.src = next.src;
      image.hidden = false;
    } catch {
      // there is no picture just now; the one before stays
    } finally {
      this.#busy -= 1;
      this.#work();
    }
  }
}

export const thumbs = new Thumbs();

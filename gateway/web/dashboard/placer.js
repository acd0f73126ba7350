// A watermark on a still of the stream: dragged and sized with the pointer or the arrow keys.

import { mediaPath } from "./api.js";
import { h, here, unique } from "./dom.js";

const STEP = 0.01; // of the frame, for an arrow key; with shift five times that
const LEAST = 0.03; // of the frame's width
const EDGE = 0.02;

/**
 * {element, picture(file name), frame(stream), place() -> {x, y, width} as parts of the frame, set({x, y, width}),
 * anchor(column, row), opacity(value)}
 */
export function placer(changed) {
  const at = { x: 0.78, y: 0.06, width: 0.18 };
  const hint = unique("hint");
  const frame = h("img", { class: "frame", alt: "A still of the stream", draggable: false, onload: () => draw() });
  const image = h("img", { alt: "", draggable: false, onload: () => draw() });
  const grip = h("span", { class: "grip", "aria-hidden": "true" });
  const handle = h("button", { type: "button", class: "handle", hidden: true, "aria-label": "Place of the watermark", "aria-describedby": hint, onkeydown: key }, image, grip);
  const stage = h("div", { class: "placer" }, frame, handle);
  const element = h("div", { class: "field" }, stage,
    h("span", { class: "hint", id: hint }, "Drag it; pull at the corner to size it. With the keyboard: arrows move it, + and − size it."));

  /** The picture's height as a part of the frame's, for a width as a part of the frame's. */
  function heightOf(width) {
    if (!image.naturalWidth || !frame.naturalHeight) return width;
    return (width * frame.naturalWidth * image.naturalHeight) / (image.naturalWidth * frame.naturalHeight);
  }

  function draw() {
    at.width = Math.min(1, Math.max(LEAST, at.width));
    if (heightOf(at.width) > 1) at.width /= heightOf(at.width);
    at.x = Math.min(1 - at.width, Math.max(0, at.x));
    at.y = Math.min(1 - heightOf(at.width), Math.max(0, at.y));
    for (const [side, part] of [["left", at.x], ["top", at.y], ["width", at.width], ["height", heightOf(at.width)]]) handle.style[side] = `${part * 100}%`;
    handle.hidden = !image.naturalWidth;
    changed();
  }

  function key(event) {
    const step = event.shiftKey ? 5 * STEP : STEP;
    const moves = { ArrowLeft: ["x", -step], ArrowRight: ["x", step], ArrowUp: ["y", -step], ArrowDown: ["y", step], "+": ["width", step], "-": ["width", -step] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    at[move[0]] += move[1];
    draw();
  }

  handle.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    const box = stage.getBoundingClientRect();
    const [from, pressed] = [{ ...at }, { x: event.clientX, y: event.clientY }];
    const sizes = event.target === grip;
    const move = ({ clientX, clientY }) => {
      const [dx, dy] = [(clientX - pressed.x) / box.width, (clientY - pressed.y) / box.height];
      if (sizes) at.width = from.width + dx;
      else [at.x, at.y] = [from.x + dx, from.y + dy];
      draw();
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("lostpointercapture", () => handle.removeEventListener("pointermove", move), { once: true });
  });

  return {
    element,
    picture: (name) => { if (name && image.dataset.name !== name) { image.dataset.name = name; image.src = mediaPath(name); } },
    frame: (stream) => { frame.src = `${here(stream.playback.snapshot)}?n=${Date.now()}`; },
    place: () => ({ x: round(at.x), y: round(at.y), width: round(at.width) }),
    set: (place) => { Object.assign(at, place); draw(); },
    anchor: (column, row) => {
      at.x = [EDGE, (1 - at.width) / 2, 1 - at.width - EDGE][column];
      at.y = [EDGE, (1 - heightOf(at.width)) / 2, 1 - heightOf(at.width) - EDGE][row];
      draw();
    },
    opacity: (value) => { image.style.opacity = String(value); },
  };
}

function round(part) {
  return Math.min(0.9999, Math.round(part * 10_000) / 10_000); // 1 and over would be pixels
}

// What is asked of somebody who puts a watermark on a stream, or moves the one that is there.

import { h, show } from "./dom.js";
import { filePicker } from "./files.js";
import { placer } from "./placer.js";
import { field, slider } from "./prefer.js";
import { store } from "./store.js";

const ANCHORS = ["Top left", "Top", "Top right", "Left", "Centre", "Right", "Bottom left", "Bottom", "Bottom right"];

export function markForm(changed) {
  let stream = null;
  const wanted = new URLSearchParams(location.search).get("stream");
  const source = field("Stream", h("select", { class: "control", name: "stream", onchange: () => choose(source.input.value) }));
  const name = field("Name of the marked stream", h("input", { type: "text", name: "name", autocomplete: "off", spellcheck: false, oninput: changed }), "The stream itself stays as it is.");
  const place = placer(() => changed());
  const opacity = slider("Opacity", { min: 5, max: 100, step: 5, value: 90, unit: "%" }, null, () => { place.opacity(opacity.value() / 100); changed(); });
  const anchors = h("div", { class: "anchors", role: "group", "aria-label": "Place it" }, ANCHORS.map((word, index) =>
    h("button", { type: "button", title: word, "aria-label": word, onclick: () => place.anchor(index % 3, Math.floor(index / 3)) })));
  const none = h("p", { class: "message", hidden: true }, "There is no live stream to put a watermark on: start one first.");
  const picker = filePicker({ label: "Picture", formats: ["png", "jpeg", "webp"], accept: "image/png,image/jpeg,image/webp", changed: () => {
    place.picture(picker.value());
    changed();
  } });
  place.opacity(0.9);

  function choose(id) {
    stream = store.streams.get(id) ?? null;
    if (!stream) return;
    place.frame(stream);
    const marks = stream.kind === "transcoder";
    show(name.element, !marks);
    if (!marks) name.input.value = free(`${stream.name}-marked`);
    const mark = stream.watermark;
    if (mark && mark.x < 1 && mark.y < 1 && mark.width <= 1 && !mark.anchor) place.set({ x: mark.x, y: mark.y, width: mark.width });
    if (mark) {
      opacity.set(Math.round(mark.opacity * 100));
      place.opacity(mark.opacity);
    }
    changed();
  }

  function streams() {
    const live = [...store.streams.values()].filter(({ status }) => status === "LIVE").sort((one, other) => one.name.localeCompare(other.name));
    show(none, store.loaded && !live.length);
    const keep = stream?.id ?? live.find((each) => each.name === wanted)?.id ?? live[0]?.id;
    const key = live.map(({ id }) => id).join();
    if (key === source.input.dataset.key) return;
    source.input.dataset.key = key;
    source.input.replaceChildren(...live.map(({ id, name: word, kind }) => h("option", { value: id, selected: id === keep }, kind === "transcoder" ? `${word} (its own watermark)` : word)));
    if (!stream && keep) choose(keep);
  }

  streams();
  const word = wanted && store.byName(wanted)?.kind === "transcoder" ? "Apply" : "Put it on";
  return {
    word,
    element: h("div", { class: "stack" }, none, h("div", { class: "pair" }, source.element, name.element), place.element,
      h("div", { class: "pair" }, opacity.element, h("div", { class: "field" }, h("span", { class: "label" }, "Place it"), anchors)), picker.element),
    request: () => {
      const watermark = { file: picker?.value() ?? "", ...place.place(), opacity: opacity.value() / 100 };
      if (stream?.kind === "transcoder") return { path: "/transcoder/set_watermark", body: { uri: stream.uri, watermark } };
      const local = name.input.value.trim();
      return { path: "/transcoder/startup", body: { uri: `transcoder://${local.replaceAll(/[^\w.-]/g, "-")}`, remoteStreamName: stream?.name ?? "", localStreamName: local, encoder: { watermark } } };
    },
    check: () => {
      name.wrong("");
      if (!stream) return "There is no stream to put it on.";
      if (!picker.value()) return "Choose a picture, or send one in.";
      if (stream.kind !== "transcoder" && !name.input.value.trim()) name.wrong("Give the marked stream a name.");
      return stream.kind === "transcoder" || name.input.value.trim() ? "" : "The marked stream has no name.";
    },
    wrong: (key, detail) => ({ localStreamName: name })[key]?.wrong(detail),
    streams,
    end: () => picker.end(),
  };
}

/** The name, or with a number behind it when it is taken. */
function free(name) {
  let found = name;
  for (let number = 2; store.byName(found); number += 1) found = `${name}-${number}`;
  return found;
}

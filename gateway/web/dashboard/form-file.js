// What is asked of somebody who plays a file as a live channel.

import { h } from "./dom.js";
import { filePicker } from "./files.js";
import { check } from "./form-camera.js";
import { field } from "./prefer.js";

export function fileForm(changed) {
  let named = false; // by hand, so that another file changes it no more
  const name = field("Name of the channel", h("input", { type: "text", name: "name", placeholder: "channel-1", autocomplete: "off", spellcheck: false, oninput: () => { named = true; changed(); } }));
  const start = field("Begin at second", h("input", { type: "number", min: 0, step: "any", value: "0", oninput: changed }));
  const loop = check("Again and again", true, changed);
  const picker = filePicker({ label: "File", formats: ["mp4"], accept: "video/mp4,video/quicktime", changed: () => {
    if (!named) name.input.value = picker.value().split("/").at(-1).replace(/\.[^.]*$/, "");
    changed();
  } });
  return {
    word: "Start the channel",
    element: h("div", { class: "stack" }, picker.element, h("div", { class: "pair" }, name.element, start.element), loop.element),
    request: () => {
      const body = { uri: `vod-live://${picker?.value() ?? ""}`, localStreamName: name.input.value.trim(), loop: loop.input.checked };
      if (Number(start.input.value) > 0) body.startAt = Number(start.input.value);
      return { path: "/vod/startup", body };
    },
    check: () => {
      [name, start].forEach(({ wrong }) => wrong(""));
      if (!picker.value()) return "Choose a file, or send one in.";
      if (!name.input.value.trim()) name.wrong("Give the channel a name.");
      return name.input.value.trim() ? "" : "The channel has no name.";
    },
    wrong: (key, detail) => ({ localStreamName: name, startAt: start })[key]?.wrong(detail),
    end: () => picker.end(),
  };
}

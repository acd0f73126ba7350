// How long to wait for the answer and how long to try, as sliders; and the same request as a curl command.

import { curl } from "./api.js";
import { button, h, say, unique } from "./dom.js";
import { copy } from "./notes.js";

const MOST_WAIT = 5; // seconds; what is over the gateway's own limits counts as those
const MOST_TIMEOUT = 60;

/** {element, value()}: `value` is a Prefer header. */
export function preferences(changed) {
  const wait = slider("Wait for the answer", { min: 0, max: MOST_WAIT, value: 5 }, "After that the job goes on in the background.", changed);
  const timeout = slider("Try for at most", { min: 1, max: MOST_TIMEOUT, value: 20 }, "Then it is cancelled, and nothing of it is left.", changed);
  return {
    element: h("div", { class: "sliders" }, wait.element, timeout.element),
    value: () => `respond-async, wait=${wait.value()}, timeout=${timeout.value()}`,
  };
}

export function slider(word, { min, max, value, step = 1, unit = "s" }, hint, changed) {
  const id = unique("slider");
  const told = h("output", { htmlFor: id }, `${value} ${unit}`);
  const input = h("input", {
    type: "range", id, min, max, step, value,
    oninput: () => { say(told, `${input.value} ${unit}`); changed?.(); },
  });
  const element = h("div", { class: "field" }, h("label", { htmlFor: id }, word, told), input, hint && h("span", { class: "hint" }, hint));
  return { element, input, value: () => Number(input.value), set: (next) => { input.value = next; say(told, `${input.value} ${unit}`); } };
}

/** {element, show(path, body, prefer)} */
export function command() {
  const text = h("code");
  const element = h("section", { class: "panel" },
    h("header", {}, h("h2", { class: "grow" }, "The same with curl"), button("Copy", { picture: "copy", kind: "plain", onclick: () => copy(text.textContent) })),
    h("div", { class: "inside" }, h("pre", { tabIndex: 0, "aria-label": "curl command" }, text)));
  return { element, show: (path, body, prefer) => say(text, curl(path, body, prefer)) };
}

/** A labelled input; `wrong(text)` says what the gateway has against it. */
export function field(word, input, hint) {
  input.id ||= unique("field");
  const wrong = h("span", { class: "wrong", id: unique("wrong"), hidden: true });
  input.setAttribute("aria-describedby", wrong.id);
  const element = h("div", { class: "field" }, h("label", { htmlFor: input.id }, word), input, hint && h("span", { class: "hint" }, hint), wrong);
  return { element, input, wrong: (text) => {
    wrong.hidden = !text;
    wrong.textContent = text;
    input.toggleAttribute("aria-invalid", Boolean(text));
    if (text) input.setAttribute("aria-invalid", "true");
  } };
}

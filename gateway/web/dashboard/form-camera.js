// What is asked of somebody who opens a camera.

import { h, unique } from "./dom.js";
import { field } from "./prefer.js";

export function cameraForm(changed) {
  const on = { oninput: changed };
  const uri = field("Address", h("input", { type: "text", ...on, name: "uri", placeholder: "rtsp://user:password@192.0.2.7/stream1", autocomplete: "off", spellcheck: false, inputMode: "url" }),
    "rtsp:// or rtsps://. A password in it is shown nowhere afterwards.");
  const name = field("Name", h("input", { type: "text", ...on, name: "name", placeholder: "lobby", autocomplete: "off", spellcheck: false }), "Empty: made from the address.");
  const transport = field("Transport", choice(["auto", "tcp", "udp"], changed));
  const sound = check("With sound", true, changed);
  const demand = check("Only while somebody watches", false, changed);
  const reconnect = check("Open it again when it goes away", true, changed);
  return {
    word: "Open the camera",
    element: h("div", { class: "stack" }, uri.element, h("div", { class: "pair" }, name.element, transport.element),
      h("div", { class: "row" }, sound.element, reconnect.element, demand.element)),
    request: () => {
      const body = { uri: uri.input.value.trim() };
      if (name.input.value.trim()) body.localStreamName = name.input.value.trim();
      if (transport.input.value !== "auto") body.transport = transport.input.value;
      if (!sound.input.checked) body.audio = "off";
      if (demand.input.checked) body.onDemand = true;
      if (!reconnect.input.checked) body.reconnect = false;
      return { path: "/rtsp/startup", body };
    },
    check: () => {
      [uri, name].forEach(({ wrong }) => wrong(""));
      if (!uri.input.value.trim()) uri.wrong("Say where the camera is.");
      return uri.input.value.trim() ? "" : "The address is missing.";
    },
    wrong: (key, detail) => ({ uri, localStreamName: name })[key]?.wrong(detail),
  };
}

export function choice(words, changed) {
  return h("select", { class: "control", onchange: changed }, words.map((word) => h("option", { value: word }, word)));
}

export function check(word, checked, changed) {
  const id = unique("check");
  const input = h("input", { type: "checkbox", id, checked, onchange: changed });
  return { input, element: h("div", { class: "check" }, input, h("label", { htmlFor: id }, word)) };
}

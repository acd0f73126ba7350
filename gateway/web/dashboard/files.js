// Files of the media folder: one to be picked, or sent in from here with a bar that says how far it is.

import { call, upload } from "./api.js";
import { button, h, icon, say, show, unique } from "./dom.js";
import { store } from "./store.js";
import { ago, bytes } from "./words.js";

/** {element, value() -> name or "", file() -> record, end()}. `formats`: those that are of use here. */
export function filePicker({ label, formats, accept, changed }) {
  const group = unique("file");
  const list = h("div", { class: "files", role: "radiogroup", "aria-label": label });
  const input = h("input", { type: "file", accept, hidden: true, onchange: () => send(input.files[0]) });
  const bar = h("i");
  const told = h("span", { role: "status" });
  const stop = button("Stop", { kind: "plain", onclick: () => sending.abort() });
  const progress = h("div", { class: "stack", hidden: true }, h("div", { class: "row between" }, told, stop), h("div", { class: "meter" }, bar));
  const drop = h("div", { class: "drop", ondragover: over, ondragleave: () => delete drop.dataset.over, ondrop: dropped },
    icon("upload"), h("span", {}, "Drop a file here, or "), button("Choose a file to send", { onclick: () => input.click() }), input);
  const element = h("div", { class: "field" }, h("span", { class: "label" }, label), list, store.can("control") && drop, progress);
  let files = [];
  let chosen = "";
  let sending = null;
  let asked = 0; // lists so far

  function over(event) {
    event.preventDefault();
    drop.dataset.over = "";
  }

  function dropped(event) {
    event.preventDefault();
    delete drop.dataset.over;
    send(event.dataTransfer.files[0]);
  }

  async function send(file) {
    if (!file) return;
    sending = new AbortController();
    show(progress, true);
    show(stop, true);
    say(told, `Sending ${file.name}`);
    bar.style.setProperty("--part", "0");
    try {
      const record = await upload(file.name, file, (part) => {
        bar.style.setProperty("--part", String(part));
        say(told, `Sending ${file.name}: ${Math.round(part * 100)} % of ${bytes(file.size)}`);
      }, sending.signal);
      say(told, formats.includes(record.format) ? `${record.name} is there.` : `${record.name} is there, but it is of no use here.`);
      chosen = record.name;
      await load();
    } catch (error) {
      say(told, error.name === "AbortError" ? "Not sent." : error.message);
    } finally {
      show(stop, false);
      input.value = "";
    }
  }

  async function load() {
    const number = (asked += 1);
    try {
      const { body } = await call("/media/find_all");
      if (number !== asked) return; // a newer list was asked for: this one may lack the file that was sent meanwhile
      files = body.filter(({ format }) => formats.includes(format));
    } catch (error) {
      if (number !== asked) return;
      list.replaceChildren(h("p", { class: "message", data: { tone: "bad" } }, error.message));
      return;
    }
    if (!files.some(({ name }) => name === chosen)) chosen = files[0]?.name ?? "";
    list.replaceChildren(...(files.length ? files.map(row) : [h("p", { class: "message" }, "There is none in the media folder yet: send one in.")]));
    changed();
  }

  function row({ name, size, modifiedAt }) {
    return h("label", {},
      h("input", { type: "radio", name: group, value: name, checked: name === chosen, onchange: () => { chosen = name; changed(); } }),
      h("span", { class: "name" }, name), h("span", { class: "quiet small" }, bytes(size)), h("span", { class: "quiet small" }, ago(modifiedAt)));
  }

  load();
  return { element, value: () => chosen, file: () => files.find(({ name }) => name === chosen), end: () => sending?.abort() };
}

// What comes up above a page: notes that go by themselves, with a way back where there is one, and questions.

import { button, h } from "./dom.js";

const STAYS = 6_000; // ms
const STAYS_WITH_UNDO = 12_000;

let region = null;

/** The place for notes, made once by the shell. */
export function notesRegion() {
  region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
  return region;
}

/** `undo`: {label, act}. */
export function note(text, { tone = "", undo } = {}) {
  const made = h("div", { class: "toast", data: { tone } }, h("span", { class: "grow" }, text));
  const timer = setTimeout(() => made.remove(), undo ? STAYS_WITH_UNDO : STAYS);
  const away = () => { clearTimeout(timer); made.remove(); };
  if (undo) made.append(button(undo.label, { onclick: () => { away(); undo.act(); } }));
  made.append(button("Close", { picture: "close", kind: "plain bare", onclick: away }));
  region.append(made);
}

export function trouble(error) {
  if (error.name !== "AbortError") note(error.message, { tone: "bad" });
}

/** Asks; true when the answer is yes. */
export function ask(title, text, yes, kind = "danger") {
  return new Promise((resolve) => {
    const heading = h("h2", { id: "ask-title" }, title);
    const dialog = h("dialog", { "aria-labelledby": "ask-title" });
    const close = (answer) => { dialog.close(); dialog.remove(); resolve(answer); };
    dialog.append(h("div", { class: "inside" }, heading, h("p", { class: "quiet" }, text), h("div", { class: "row" },
      button("Cancel", { onclick: () => close(false) }),
      button(yes, { kind, onclick: () => close(true) }))));
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(false); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Something to look at, in a dialog. */
export function present(title, ...content) {
  const dialog = h("dialog", { class: "wide", "aria-label": title });
  const close = () => { dialog.close(); dialog.remove(); };
  const head = h("div", { class: "row between" }, h("h2", {}, title), button("Close", { picture: "close", kind: "plain bare", onclick: close }));
  dialog.append(h("div", { class: "inside" }, head, ...content));
  dialog.addEventListener("cancel", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    note("Copied.");
  } catch {
    note("This browser does not let pages copy here; select the text instead.", { tone: "bad" });
  }
}

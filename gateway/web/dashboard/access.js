// Who one is to the gateway: signing in with a key, what it may do, and signing out.

import { button, h, icon } from "./dom.js";
import { note, trouble } from "./notes.js";
import { field } from "./prefer.js";
import { Hearing, store } from "./store.js";
import { themes } from "./themes.js";

const SCOPES = {
  read: "see streams, jobs and files",
  play: "see the pictures of streams",
  control: "start and end streams, cancel jobs, send files",
  admin: "see and cancel the jobs of all keys",
};

class Access extends Hearing {
  static hears = { session: "session" };

  begin() {
    this.session();
  }

  session() {
    const { keysNeeded, name } = store.session;
    if (!keysNeeded) this.replaceChildren(head("Access"), open(), shades());
    else if (name) this.replaceChildren(head("Access"), this.#who(name), shades());
    else this.replaceChildren(signIn(), shades());
  }

  #who(name) {
    return h("section", { class: "panel sign-in" }, h("div", { class: "inside stack" },
      h("p", {}, "Signed in with the key ", h("strong", {}, name), "."), scopes(),
      h("div", { class: "row" }, button("Sign out", { onclick: () => store.signOut().catch(trouble) }))));
  }
}

function head(text) {
  return h("header", { class: "page-head" }, h("h1", { tabIndex: -1 }, text));
}

function open() {
  return h("section", { class: "panel sign-in" }, h("div", { class: "inside stack" }, icon("access"),
    h("p", {}, "This gateway uses no keys: it listens to its own machine only, and whoever sits there may do everything."),
    h("p", { class: "quiet" }, "Before others are to reach it, make keys:"),
    h("pre", { tabIndex: 0, "aria-label": "Command" }, h("code", {}, "python -m gateway keys make operator --scope control")), scopes()));
}

function scopes() {
  return h("ul", { class: "scopes" }, Object.entries(SCOPES).map(([scope, text]) => h("li", { data: { has: String(store.can(scope)) } },
    icon(store.can(scope) ? "start" : "lock"), h("span", {}, h("strong", {}, scope), ` ${store.can(scope) ? "may" : "may not"} ${text}`))));
}

/** On a phone the rail has no room for the switch. */
function shades() {
  return h("section", { class: "panel sign-in phone-only" }, h("div", { class: "inside stack" }, h("h2", {}, "Light or dark"), themes()));
}

function signIn() {
  const key = field("API key", h("input", { type: "password", name: "key", autocomplete: "current-password", required: true, spellcheck: false, placeholder: "rg_…" }),
    "It is kept by the browser for a week, where no script can read it. Revoking the key ends that at once.");
  const send = h("button", { type: "submit", class: "button strong" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    key.wrong("");
    send.disabled = true;
    try {
      await store.signIn(key.input.value.trim());
      if (!store.session.name) throw new Error("The key is good, but the browser did not send back the cookie that stands for it. Is this page reached by TLS at one address, and by none at another?");
      note(`Signed in as ${store.session.name}.`);
    } catch (error) {
      key.wrong(error.message);
      key.input.focus();
    } finally {
      send.disabled = false;
    }
  };
  // The name stands for the account, so that a password store knows which key belongs here.
  const user = h("input", { type: "text", name: "username", autocomplete: "username", value: location.host, hidden: true, readOnly: true });
  return h("form", { class: "panel sign-in", onsubmit: submit }, h("div", { class: "inside stack" },
    h("h1", { tabIndex: -1 }, "Sign in"), h("p", { class: "quiet" }, "This gateway needs a key."), user, key.element, h("div", { class: "row" }, send)));
}

customElements.define("rg-access", Access);

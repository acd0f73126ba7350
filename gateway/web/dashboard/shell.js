// The frame of every page: the way around, the connection, who is signed in, light and dark.

import { h, icon, mark, say, show } from "./dom.js";
import { notesRegion } from "./notes.js";
import { begin, refresh } from "./router.js";
import { Hearing, store } from "./store.js";
import { themes } from "./themes.js";

// [address, word, icon, the scope without which it is of no use]
const PLACES = [
  ["/", "Streams", "streams", "read"],
  ["/start", "Start", "start", "control"],
  ["/jobs", "Jobs", "jobs", "read"],
  ["/api", "API", "api", "read"],
  ["/access", "Access", "access", null],
];

const NEEDS = { "rg-start": "control", "rg-access": null }; // else read

const LINKS = { connecting: "Connecting", open: "Connected", lost: "Connection lost", shut: "Not signed in" };

class Shell extends Hearing {
  static hears = { connection: "connection", session: "session", change: "change" };

  begin() {
    this.trouble = h("span", { class: "count", hidden: true });
    this.links = PLACES.map(([path, word, picture, scope]) => {
      const link = h("a", { href: path, data: { nav: path.slice(1) || "streams", scope: scope ?? "" } }, icon(picture), h("span", {}, word));
      if (path === "/") link.append(this.trouble);
      return link;
    });
    this.link = h("span", { class: "link", role: "status" });
    this.who = h("span", { class: "quiet" });
    this.banner = h("div", { class: "banner", role: "alert", hidden: true });
    this.main = h("main", { id: "main" });
    this.append(
      h("div", { class: "rail" },
        h("a", { class: "brand", href: "/" }, h("img", { src: "/assets/logo.svg", alt: "" }), "Reelgate"),
        h("nav", { "aria-label": "Dashboard" }, this.links),
        h("div", { class: "foot" }, this.who, this.link, themes())),
      this.banner, this.main, notesRegion());
    this.connection();
    store.start().then(() => begin(this.main, allowed));
  }

  connection() {
    say(this.link, LINKS[store.connection]);
    mark(this.link, "state", store.connection);
    const lost = store.connection === "lost";
    show(this.banner, lost);
    if (lost) say(this.banner, "The gateway does not answer. What you see is how it was; trying again.");
  }

  session() {
    for (const link of this.links) show(link, !link.dataset.scope || store.can(link.dataset.scope));
    const { keysNeeded, name } = store.session;
    say(this.who, keysNeeded ? (name ? `Signed in as ${name}` : "") : "");
    if (this.main.firstChild && this.could !== store.session.scopes.join()) refresh();
    this.could = store.session.scopes.join();
  }

  change({ listed }) {
    if (!listed) return;
    let away = 0;
    for (const { status } of store.streams.values()) away += status === "FAILED" || status === "WAITING";
    say(this.trouble, String(away));
    this.trouble.title = `${away} not live`;
    show(this.trouble, away > 0);
  }
}

function allowed(tag) {
  const scope = tag in NEEDS ? NEEDS[tag] : "read";
  return !scope || store.can(scope) ? tag : "rg-access";
}

customElements.define("rg-shell", Shell);

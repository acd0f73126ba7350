// All streams: a wall of pictures or a table; what needs attention comes first.

import { card } from "./card.js";
import { button, h, icon, say, show } from "./dom.js";
import { remember } from "./router.js";
import { Hearing, store } from "./store.js";
import { streamsTable } from "./streams-table.js";
import { KINDS, STATUSES, plural } from "./words.js";

const SORTS = {
  attention: ["What needs attention", (one, other) => rank(one) - rank(other)],
  name: ["Name", () => 0],
  newest: ["Newest", (one, other) => (one.createdAt < other.createdAt ? 1 : -1)],
  viewers: ["Viewers", (one, other) => other.viewers - one.viewers],
  bitrate: ["Bitrate", (one, other) => (other.bitrate ?? 0) - (one.bitrate ?? 0)],
  restarts: ["Restarts", (one, other) => (other.restarts ?? 0) - (one.restarts ?? 0)],
};
const MOVING = new Set(["viewers", "bitrate"]); // by which the order changes with the figures
const FIRST = 32; // cards that are there at once; the others are built when they come near the screen
const RESORT = 6; // seconds between two orders by figures, so that nothing runs away under the pointer

const rank = ({ status }) => STATUSES[status]?.[2] ?? 9;
const names = new Intl.Collator(undefined, { numeric: true });

class Overview extends Hearing {
  static hears = { change: "change", tick: "tick" };
  #cards = new Map(); // id -> card
  #ticks = 0;

  begin() {
    const query = new URLSearchParams(location.search);
    this.asked = {
      q: query.get("q") ?? "",
      show: query.get("show") ?? "",
      kind: query.get("kind") ?? "",
      sort: query.get("sort") in SORTS ? query.get("sort") : "attention",
      view: query.get("view") === "table" ? "table" : "wall",
    };
    this.count = h("p", { class: "quiet", role: "status" });
    this.wall = h("section", { class: "wall", "aria-label": "Streams" });
    this.table = streamsTable();
    this.nothing = h("section", { class: "empty", hidden: true });
    this.waiting = h("section", { class: "wall", "aria-hidden": "true" }, Array.from({ length: 8 }, () => skeleton()));
    this.append(this.#head(), this.#toolbar(), this.waiting, this.nothing, this.wall, this.table.element);
    this.table.begin();
    this.#list();
  }

  end() {
    this.table.end();
  }

  change({ streams, listed, figures }) {
    if (listed) this.#list();
    for (const id of streams) this.#cards.get(id)?.update();
    if (figures) this.#figures();
  }

  tick() {
    this.#ticks += 1;
    if (MOVING.has(this.asked.sort) && this.#ticks % RESORT === 0) this.#list();
    for (const each of this.#cards.values()) if (each.dataset.status === "WAITING") each.update();
    if (this.asked.view === "table") this.table.render();
  }

  #figures() {
    if (this.asked.view === "table") this.table.render();
    else for (const each of this.#cards.values()) each.update();
  }

  #head() {
    const start = h("a", { class: "button strong", href: "/start" }, icon("start"), "Start a stream");
    start.hidden = !store.can("control");
    return h("header", { class: "page-head" }, h("h1", { tabIndex: -1 }, "Streams"), this.count, h("span", { class: "grow" }), start);
  }

  #toolbar() {
    const search = h("input", {
      type: "search", value: this.asked.q, placeholder: "Name, address or reason", "aria-label": "Search streams",
      oninput: () => this.#ask({ q: search.value }),
    });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "Status" });
    const kind = select("Kind", [["", "All kinds"], ...Object.entries(KINDS)], this.asked.kind, (value) => this.#ask({ kind: value }));
    const sort = select("Order", Object.entries(SORTS).map(([value, [word]]) => [value, word]), this.asked.sort, (value) => this.#ask({ sort: value }));
    this.views = ["wall", "table"].map((view) => h("button", {
      type: "button", "aria-pressed": String(this.asked.view === view), "aria-label": view === "wall" ? "Wall" : "Table", onclick: () => this.#ask({ view }),
    }, icon(view), h("span", {}, view === "wall" ? "Wall" : "Table")));
    return h("div", { class: "toolbar" },
      h("div", { class: "search" }, icon("search"), search), this.chips,
      h("span", { class: "grow" }), kind, sort,
      h("div", { class: "switch", role: "group", "aria-label": "View" }, this.views));
  }

  #ask(change) {
    Object.assign(this.asked, change);
    const { q, show: status, kind, sort, view } = this.asked;
    remember({ q, show: status, kind, sort: sort === "attention" ? "" : sort, view: view === "wall" ? "" : view });
    for (const [index, each] of ["wall", "table"].entries()) this.views[index].setAttribute("aria-pressed", String(view === each));
    this.#list();
  }

  #list() {
    const all = [...store.streams.values()];
    this.#chips(all);
    const found = all.filter((stream) => this.#matches(stream));
    const [, compare] = SORTS[this.asked.sort];
    found.sort((one, other) => compare(one, other) || names.compare(one.name, other.name));
    const wall = this.asked.view === "wall";
    show(this.waiting, !store.loaded);
    show(this.wall, store.loaded && wall && found.length > 0);
    show(this.table.element, store.loaded && !wall && found.length > 0);
    say(this.count, store.loaded && all.length ? summary(all, found) : "");
    this.#empty(all, found);
    if (wall) this.#place(found);
    else this.table.items = found;
  }

  #matches(stream) {
    const { q, show: status, kind } = this.asked;
    if ((status && stream.status !== status) || (kind && stream.kind !== kind)) return false;
    const text = `${stream.name} ${stream.uri} ${stream.lastError?.detail ?? ""}`.toLowerCase();
    return q.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  /** Puts the cards in order, and moves only those that stand elsewhere. */
  #place(found) {
    const wanted = new Set(found.map(({ id }) => id));
    for (const [id, made] of this.#cards) {
      if (wanted.has(id)) continue;
      made.remove();
      this.#cards.delete(id);
    }
    let next = this.wall.firstChild;
    for (const [index, stream] of found.entries()) {
      let made = this.#cards.get(stream.id);
      if (!made) this.#cards.set(stream.id, (made = card(stream, index < FIRST)));
      if (made.stream !== stream) {
        made.stream = stream;
        if (made.isConnected) made.update();
      }
      if (made === next) next = next.nextSibling;
      else this.wall.insertBefore(made, next);
    }
  }

  #chips(all) {
    const counts = new Map([["", all.length]]);
    for (const { status } of all) counts.set(status, (counts.get(status) ?? 0) + 1);
    const wanted = ["", ...Object.keys(STATUSES)].filter((status) => status === "" || counts.has(status) || status === this.asked.show);
    const key = JSON.stringify([wanted.map((status) => counts.get(status)), wanted, this.asked.show]);
    if (key === this.chipped) return;
    this.chipped = key;
    const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.status : null;
    this.chips.replaceChildren(...wanted.map((status) => h("button", {
      type: "button", class: "chip", data: { status }, "aria-pressed": String(this.asked.show === status),
      onclick: () => this.#ask({ show: this.asked.show === status ? "" : status }),
    }, status ? STATUSES[status][0] : "All", h("b", {}, String(counts.get(status) ?? 0)))));
    if (focused !== null) this.chips.querySelector(`[data-status="${focused}"]`)?.focus();
  }

  #empty(all, found) {
    const key = !store.loaded || found.length ? "" : all.length ? "filtered" : "none";
    show(this.nothing, key !== "");
    if (!key || this.nothing.dataset.key === key) return;
    this.nothing.dataset.key = key;
    if (key === "filtered") {
      this.nothing.replaceChildren(icon("search"), h("h2", {}, "No stream matches"), h("p", { class: "quiet" }, "Search for less, or show all again."),
        button("Show all", { onclick: () => { this.#ask({ q: "", show: "", kind: "" }); this.querySelector("input").value = ""; this.querySelector("select").value = ""; } }));
    } else {
      this.nothing.replaceChildren(icon("camera"), h("h2", {}, "No streams yet"),
        h("p", { class: "quiet" }, store.can("control") ? "Open a camera, or loop a file as a live channel. It appears here by itself." : "Streams appear here by themselves when somebody starts one."),
        store.can("control") && h("div", { class: "row" },
          h("a", { class: "button strong", href: "/start/camera" }, icon("camera"), "Open a camera"),
          h("a", { class: "button", href: "/start/file" }, icon("file"), "Loop a file")));
    }
  }
}

function summary(all, found) {
  const viewers = all.reduce((sum, stream) => sum + stream.viewers, 0);
  const some = found.length === all.length ? plural(all.length, "stream") : `${found.length} of ${plural(all.length, "stream")}`;
  return `${some} · ${plural(viewers, "viewer")}`;
}

function select(label, options, value, change) {
  const made = h("select", { "aria-label": label, onchange: () => change(made.value) },
    options.map(([key, word]) => h("option", { value: key, selected: key === value }, word)));
  return made;
}

function skeleton() {
  const made = h("div", { class: "skeleton" });
  made.style.height = "222px";
  return made;
}

customElements.define("rg-overview", Overview);

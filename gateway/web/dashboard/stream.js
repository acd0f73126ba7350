// One stream: its picture, its state in words, what happened to it, what it costs, and what can be done with it.

import { call } from "./api.js";
import { pause, removeMark, retry, snapshot, terminate } from "./control.js";
import { button, fact, h, here, icon, mark, say, show } from "./dom.js";
import { copy } from "./notes.js";
import "./player.js";
import { plot } from "./plot.js";
import { go } from "./router.js";
import { Hearing, store } from "./store.js";
import { timeline } from "./timeline.js";
import { KINDS, STATUSES, age, ago, bitrate, duration, picture, plural, reason, until } from "./words.js";

const KEPT = 300; // values of a plot

class StreamPage extends Hearing {
  static hears = { change: "change", tick: "tick" };
  #stream = null;
  #stamp = "";

  begin() {
    this.back = h("a", { class: "button plain bare", href: "/", "aria-label": "All streams" }, icon("back"));
    this.heading = h("h1", { tabIndex: -1 }, this.params.name);
    this.badge = h("span", { class: "badge" });
    this.actions = h("div", { class: "actions" });
    this.notice = h("div", { class: "message", hidden: true, role: "status" });
    this.content = h("div", { class: "stack" });
    this.append(h("header", { class: "page-head" }, this.back, h("div", { class: "stream-title" }, this.heading, this.badge), this.actions),
      h("div", { class: "stack" }, this.notice, this.content));
    this.change({ streams: new Set(), listed: true });
  }

  change({ streams, listed, figures }) {
    const stream = store.byName(this.params.name);
    if (!stream) {
      if (store.loaded && listed) this.#gone();
      return;
    }
    if (stream.id !== this.#stream?.id) this.#build(stream);
    else if (streams.has(stream.id)) this.#read();
    this.#stream = stream;
    if (figures) this.#figures();
    this.#render();
  }

  tick() {
    if (this.#stream) this.#render();
  }

  #build(stream) {
    this.#stream = stream;
    this.facts = h("dl", { class: "facts" });
    this.life = h("div", { class: "inside stack" });
    this.rates = plot("Bitrate", bitrate);
    this.ages = plot("Frame age", age, 2);
    this.watching = plot("Viewers", (value) => String(value ?? "–"), 3);
    const plots = stream.kind === "vod" ? [this.rates, this.watching] : [this.rates, this.ages, this.watching];
    this.warnings = h("div", { class: "stack", hidden: true });
    this.frame = h("section", { class: "panel", "aria-label": "Picture" });
    const left = h("div", { class: "stack" }, this.frame,
      h("section", { class: "panel", "aria-label": "Figures" }, h("div", { class: "inside plots" }, plots)),
      h("section", { class: "panel" }, h("header", {}, h("h2", {}, "What happened")), this.life));
    const right = h("div", { class: "stack" }, this.warnings,
      h("section", { class: "panel" }, h("header", {}, h("h2", {}, "About")), h("div", { class: "inside stack" }, this.facts)),
      h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Addresses")), h("div", { class: "inside" }, addresses(stream))));
    this.content.replaceChildren(h("div", { class: "stream-grid" }, left, right));
    this.#screen(stream);
    this.#history(stream);
    this.#read();
  }

  #screen(stream) {
    const seen = store.can("play") && stream.status !== "FAILED";
    if (seen) this.frame.replaceChildren(Object.assign(document.createElement("rg-player"), { stream }));
    else {
      const why = stream.status === "FAILED" ? "There is no picture: the stream was given up." : "This key may not see pictures: it has no scope play.";
      this.frame.replaceChildren(h("div", { class: "screen" }, h("div", { class: "veil" }, h("strong", {}, why))));
    }
  }

  async #history({ name }) {
    try {
      const { body } = await call("/stream/history", { name });
      this.rates.load(body.bitrate, body.until, body.period);
      this.ages.load(body.lastFrameAge, body.until, body.period);
      this.watching.load(body.viewers, body.until, body.period);
    } catch {
      // it has just gone; the page says so
    }
  }

  #figures() {
    const { bitrate: rate, lastFrameAge, viewers } = this.#stream;
    if (this.rates.isConnected) this.rates.add(rate, KEPT);
    if (this.ages.isConnected) this.ages.add(lastFrameAge, KEPT);
    if (this.watching.isConnected) this.watching.add(viewers, KEPT);
  }

  /** A record tells more than its events do while nothing happens: loss, gop, position. */
  async #read() {
    const { id } = this.#stream;
    this.life.replaceChildren(...timeline(store.streams.get(id) ?? this.#stream));
    this.#controls();
  }

  #render() {
    const stream = this.#stream;
    const [word, tone] = STATUSES[stream.status] ?? [stream.status, "idle"];
    say(this.badge, word);
    mark(this.badge, "tone", tone);
    this.badge.toggleAttribute("data-pulse", stream.status === "LIVE");
    const why = reason(stream);
    show(this.notice, Boolean(why));
    mark(this.notice, "tone", tone);
    if (why) say(this.notice, `${why}${stream.nextRetryAt ? ` Next try ${until(stream.nextRetryAt)}.` : ""}`);
    const stamp = `${stream.status} ${stream.watermark?.sha256 ?? ""} ${stream.lastError?.at ?? ""}`;
    if (stamp !== this.#stamp && this.#stamp.split(" ")[0] === "FAILED") this.#screen(stream);
    if (stamp !== this.#stamp) this.#read();
    this.#stamp = stamp;
    this.querySelector("rg-player")?.update(stream);
    this.#facts(stream);
    this.#warn(stream.warnings);
  }

  #facts(stream) {
    this.terms ??= new Map();
    for (const [term, text] of facts(stream)) {
      if (!this.terms.has(term) || !this.facts.contains(this.terms.get(term))) {
        const [element, value] = fact(term);
        this.facts.append(element);
        this.terms.set(term, value);
      }
      say(this.terms.get(term), text);
    }
  }

  #warn(warnings) {
    const key = JSON.stringify(warnings);
    if (key === this.warned) return;
    this.warned = key;
    show(this.warnings, warnings.length > 0);
    this.warnings.replaceChildren(...warnings.map(({ detail }) => h("p", { class: "message", data: { tone: "warn" } }, icon("warn"), detail)));
  }

  #controls() {
    const stream = this.#stream;
    const list = [];
    if (store.can("play") && ["LIVE", "PAUSED"].includes(stream.status)) {
      if (store.can("control")) list.push(button("Snapshot", { picture: "picture", onclick: () => snapshot(this.#stream) }));
      list.push(h("a", { class: "button", href: stream.playback.page, target: "_blank", rel: "noopener" }, icon("open"), "Player page"));
    }
    if (store.can("control")) {
      if (stream.kind === "vod" && ["LIVE", "PAUSED"].includes(stream.status)) {
        const paused = stream.status === "PAUSED";
        list.push(button(paused ? "Resume" : "Pause", { picture: paused ? "play" : "pause", onclick: () => pause(this.#stream) }));
      }
      if (stream.status === "LIVE") {
        const word = stream.kind === "transcoder" && stream.watermark ? "Move the watermark" : "Watermark";
        list.push(h("a", { class: "button", href: `/start/watermark?stream=${encodeURIComponent(stream.name)}` }, icon("mark"), word));
        if (stream.watermark) list.push(button("Remove it", { onclick: () => removeMark(this.#stream) }));
      }
      if (stream.status === "FAILED") list.push(button("Try again", { picture: "restart", kind: "strong", onclick: () => retry(this.#stream) }));
      list.push(button("End", { picture: "stop", kind: "danger", onclick: () => this.#end() }));
    }
    this.actions.replaceChildren(...list);
  }

  async #end() {
    if (await terminate(this.#stream)) go("/");
  }

  #gone() {
    this.#stream = null;
    this.actions.replaceChildren();
    show(this.notice, false);
    say(this.badge, "");
    show(this.badge, false);
    this.content.replaceChildren(h("section", { class: "empty" }, icon("streams"), h("h2", {}, `There is no stream ${this.params.name}`),
      h("p", { class: "quiet" }, "It was ended, or it never began. Should one of this name begin, it appears here."),
      h("a", { class: "button", href: "/" }, "All streams")));
  }
}

function facts(stream) {
  const { video, audio } = stream;
  const sound = audio ? [audio.codec?.toUpperCase(), audio.sampleRate && `${audio.sampleRate / 1000} kHz`, ["", "mono", "stereo"][audio.channels]] : ["none"];
  return [
    ["Kind", KINDS[stream.kind] ?? stream.kind],
    ["Picture", picture(stream)],
    ["Video", video ? [video.codec?.toUpperCase(), video.profile, video.fps && `${+video.fps.toFixed(2)} fps`].filter(Boolean).join(" · ") : "–"],
    ["Sound", sound.filter(Boolean).join(" · ")],
    ["Bitrate", bitrate(stream.bitrate)],
    ...(stream.kind === "vod" ? [["Round", stream.round === null ? "–" : String(stream.round + 1)], ["Lasts", duration(stream.duration)]] : [["Last frame", age(stream.lastFrameAge)]]),
    ["Viewers", String(stream.viewers)],
    ["Restarts", String(stream.restarts ?? 0)],
    ["Live for", stream.liveSince ? duration((Date.now() - Date.parse(stream.liveSince)) / 1000) : "–"],
    ["Started", ago(stream.createdAt)],
    ...(stream.transport ? [["Transport", stream.transport.toUpperCase()]] : []),
    ...(stream.source ? [["Source", stream.source]] : []),
    ...(stream.watermark ? [["Watermark", stream.watermark.file]] : []),
    ["Address", stream.uri],
    ...(stream.loss ? [["Lost packets", plural(stream.loss, "packet")]] : []),
  ];
}

function addresses(stream) {
  return h("ul", { class: "addresses" }, Object.entries(stream.playback).map(([way, path]) => h("li", {},
    h("span", { class: "quiet" }, way), h("a", { href: path, target: "_blank", rel: "noopener" }, path),
    button(`Copy ${way}`, { picture: "copy", kind: "plain bare", onclick: () => copy(new URL(here(path), location.href).href) }))));
}

customElements.define("rg-stream", StreamPage);

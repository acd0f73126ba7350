// One stream on the wall: its picture, its state, its figures. What is not on the screen is not kept up to date.

import { h, icon, mark, say, show } from "./dom.js";
import { streamPath } from "./router.js";
import { thumbs } from "./thumbs.js";
import { KIND_ICONS, KINDS, STATUSES, bitrate, plural, reason, until } from "./words.js";

class Card extends HTMLElement {
  stream = null;
  eager = false; // whether it is built before it is known to be on the screen
  #visible = false; // until the observer says otherwise
  #stale = true;

  connectedCallback() {
    thumbs.watch(this);
    this.update();
  }

  disconnectedCallback() {
    thumbs.forget(this);
  }

  /** The stream has changed, or a second has passed. */
  update() {
    this.#stale = true;
    if (this.#visible || (this.eager && !this.firstChild)) this.#render();
  }

  seen(visible) {
    this.#visible = visible;
    if (visible && this.#stale) this.#render();
  }

  thumb() {
    return { name: this.stream.name, wanted: ["LIVE", "PAUSED"].includes(this.stream.status), image: this.image };
  }

  #build() {
    this.image = h("img", { alt: "", hidden: true });
    this.badge = h("span", { class: "badge" });
    this.over = h("span", { class: "over", hidden: true });
    this.link = h("a", {});
    this.why = h("p", { class: "card-why" });
    this.rate = h("span", {});
    this.viewers = h("span", {});
    this.restarts = h("span", {});
    const kind = h("span", { title: KINDS[this.stream.kind] ?? this.stream.kind }, icon(KIND_ICONS[this.stream.kind] ?? "camera"));
    this.append(
      h("div", { class: "still" }, icon(KIND_ICONS[this.stream.kind] ?? "camera"), this.image, this.badge, this.over),
      h("div", { class: "card-body" },
        h("h3", {}, kind, this.link), this.why,
        h("div", { class: "card-figures" }, this.rate,
          h("span", { title: "Viewers" }, icon("viewers"), this.viewers),
          h("span", { title: "Restarts" }, icon("restart"), this.restarts))));
  }

  #render() {
    this.#stale = false;
    if (!this.firstChild) this.#build();
    const { stream } = this;
    const [word, tone] = STATUSES[stream.status] ?? [stream.status, "idle"];
    if (this.dataset.status === "WAITING" && stream.status === "LIVE") thumbs.hurry(this);
    mark(this, "status", stream.status);
    mark(this, "tone", tone);
    mark(this.badge, "tone", tone);
    this.badge.toggleAttribute("data-pulse", stream.status === "LIVE");
    say(this.badge, word);
    say(this.link, stream.name);
    this.link.href = streamPath(stream.name);
    this.link.title = stream.name;
    const why = reason(stream);
    say(this.why, why || facts(stream));
    this.why.title = why;
    show(this.over, stream.status === "WAITING");
    say(this.over, stream.nextRetryAt ? `Next try ${until(stream.nextRetryAt)}` : "Trying now");
    show(this.rate, stream.status === "LIVE");
    say(this.rate, bitrate(stream.bitrate));
    say(this.viewers, String(stream.viewers));
    say(this.restarts, String(stream.restarts ?? 0));
    this.viewers.parentElement.title = plural(stream.viewers, "viewer");
    this.restarts.parentElement.title = plural(stream.restarts ?? 0, "restart");
  }
}

function facts({ video, lastFrameAge }) {
  const size = video?.width ? `${video.width} × ${video.height}` : "";
  const rate = video?.fps ? `${+video.fps.toFixed(1)} fps` : "";
  const late = lastFrameAge > 3 ? `last frame ${lastFrameAge.toFixed(0)} s ago` : "";
  return [size, video?.codec?.toUpperCase(), rate, late].filter(Boolean).join(" · ");
}

customElements.define("rg-card", Card);

export function card(stream, eager) {
  return Object.assign(document.createElement("rg-card"), { stream, eager });
}

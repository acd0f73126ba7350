// Plays one stream inside the dashboard, by the way that is chosen, and says how far behind the picture is.

import { Playback, mediaSource } from "../playback.js";
import { WhepPlayback, webRtc } from "../whep.js";
import { button, h, here, say, show } from "./dom.js";
import { sentence, until } from "./words.js";

const VEILS = {
  connecting: ["Connecting…", ""],
  away: ["Waiting for the picture", "The source is away at the moment; this goes on by itself."],
  slow: ["The connection is too slow", "Trying again."],
  ended: ["The stream has ended", ""],
  restarting: ["The gateway is restarting", "This goes on by itself."],
  gone: ["The gateway cannot be reached", "This goes on by itself."],
  missing: ["There is nothing to see", "It plays here as soon as there is."],
  blocked: ["Press play", "This browser plays only when asked."],
};

const WAYS = {
  mse: ["Low latency (WebSocket)", () => Boolean(mediaSource())],
  whep: ["WebRTC", webRtc],
  hls: ["HLS", () => Boolean(document.createElement("video").canPlayType("application/vnd.apple.mpegurl"))],
  mp4: ["MP4 over HTTP", () => true],
  mjpeg: ["Pictures (motion JPEG)", () => true],
};

class Player extends HTMLElement {
  #playback = null;
  #way = null;
  #timer = 0;

  connectedCallback() {
    const { playback } = this.stream;
    const ways = Object.entries(WAYS).filter(([way, [, possible]]) => playback[way] && possible());
    this.screen = h("div", { class: "screen" });
    this.veil = h("div", { class: "veil", hidden: true }, h("strong"), h("span"));
    this.latency = h("span", { class: "latency", });
    this.choice = h("select", { "aria-label": "Transport", onchange: () => this.#play(this.choice.value) },
      ways.map(([way, [word]]) => h("option", { value: way }, word)));
    this.sound = button("Sound on", { picture: "silent", kind: "plain", onclick: () => this.#mute() });
    const full = button("Full screen", { picture: "full", kind: "plain bare", onclick: () => this.screen.requestFullscreen?.() });
    this.append(this.screen, h("div", { class: "player-bar" }, this.choice, this.latency, h("span", { class: "grow" }), this.sound, full));
    this.#timer = setInterval(() => this.#measure(), 500);
    this.#play(ways[0][0]);
  }

  /** The stream has changed, or a second has passed. */
  update(stream) {
    this.stream = stream;
    this.#veil(this.state ?? null);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
    this.#stop();
  }

  #play(way) {
    this.#stop();
    this.#way = way;
    const address = here(this.stream.playback[way]);
    if (way === "mjpeg") {
      this.#veil("connecting");
      this.shown = h("img", { alt: `Live pictures of ${this.stream.name}`, src: `${address}?n=${Date.now()}`, onload: () => this.#veil(null), onerror: () => this.#veil("away") });
    } else {
      this.shown = h("video", { muted: true, playsInline: true, autoplay: true, "aria-label": `Live picture of ${this.stream.name}` });
    }
    this.screen.replaceChildren(this.shown, this.veil);
    show(this.sound, way !== "mjpeg" && Boolean(this.stream.audio));
    if (way === "mse") this.#mse(address);
    else if (way === "whep") this.#follow(new WhepPlayback(this.shown, address));
    else if (way !== "mjpeg") this.#file(address);
  }

  #mse(address) {
    const url = new URL(address, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.#follow(new Playback(this.shown, url.href));
  }

  /** Its states are what is said over the picture. */
  #follow(playback) {
    this.#playback = playback;
    this.#playback.addEventListener("state", ({ detail }) => this.#veil(detail));
    this.#playback.addEventListener("refused", ({ detail }) => this.#say("The gateway refuses this page", detail));
    this.#playback.addEventListener("unplayable", ({ detail }) => this.#say("This browser cannot play it", sentence(String(detail))));
    this.#playback.start();
  }

  #file(address) {
    this.#veil("connecting");
    this.shown.addEventListener("playing", () => this.#veil(null));
    this.shown.addEventListener("error", () => this.#veil("away"));
    this.shown.src = address;
    this.shown.play().catch((error) => { if (error.name === "NotAllowedError") this.#veil("blocked"); });
  }

  #stop() {
    this.#playback?.stop();
    this.#playback = null;
    if (this.shown instanceof HTMLVideoElement) {
      this.shown.removeAttribute("src");
      this.shown.load(); // closes its connection
    } else if (this.shown) {
      this.shown.src = "";
    }
    this.shown = null;
  }

  #veil(state) {
    this.state = state;
    const { status, nextRetryAt } = this.stream;
    if ((state === "connecting" || state === "away") && status === "WAITING") {
      this.#say("Waiting for the picture", nextRetryAt ? `Next try ${until(nextRetryAt)}.` : "");
      return;
    }
    const [headline, detail] = VEILS[state] ?? ["", ""];
    this.#say(headline, detail);
  }

  #say(headline, detail) {
    show(this.veil, Boolean(headline));
    say(this.veil.firstChild, headline);
    say(this.veil.lastChild, detail);
  }

  #mute() {
    this.shown.muted = !this.shown.muted;
    say(this.sound.lastChild, this.shown.muted ? "Sound on" : "Sound off");
  }

  /** Behind the newest frame that has come in here; what the network and the camera add is not in it. */
  #measure() {
    const behind = this.#behind();
    this.latency.replaceChildren(...(behind === null ? [] : [h("b", {}, `${behind.toFixed(1)} s`), " behind the newest frame"]));
    this.dataset.playing = String(this.shown instanceof HTMLImageElement || this.shown?.currentTime > 0);
  }

  #behind() {
    if (this.#way === "mse") return this.#playback?.end() ? this.#playback.latency() : null;
    if (this.#way === "whep") return this.shown?.currentTime > 0 ? this.#playback.latency() : null;
    const ranges = this.shown instanceof HTMLVideoElement ? this.shown.buffered : null;
    return ranges?.length ? Math.max(0, ranges.end(ranges.length - 1) - this.shown.currentTime) : null;
  }
}

customElements.define("rg-player", Player);

// Plays one live stream in a <video>: fMP4 over WebSocket into Media Source Extensions, kept at the live edge.
//
// The server announces every chunk that does not follow the one before by a JSON message with its `time`. The player
// lays all chunks end to end on a time line of its own, so skips, reconnects and new inits leave no holes in it.

const BACK_BUFFER = 10; // seconds kept behind the picture
const SILENCE = 8_000; // ms without a message until the source is said to be away
const SLACK = 0.12; // seconds
const ORIGIN = 0.001; // seconds: a key frame that is rounded to before 0 would be dropped, with all that need it
const BACKOFF = [250, 500, 1_000, 2_000, 4_000, 8_000]; // ms
const ENDED = 2_000; // ms until a stream that has ended is asked for again, should one of its name begin

/** MediaSource, or what iPhones have instead; null where there is neither. */
export function mediaSource() {
  return window.MediaSource ?? window.ManagedMediaSource ?? null;
}

/**
 * Events: `state` (detail: the state), `tracks` (detail: the server's init message), `unplayable` (detail: MIME),
 * `refused` (detail: why the gateway lets this page have no socket).
 * States: connecting, buffering, live, away, ended, missing, locked, slow, restarting and gone (the gateway, both).
 */
export class Playback extends EventTarget {
  constructor(video, address) {
    super();
    this.video = video;
    this.address = address;
    this.attempts = 0;
    this.received = 0; // bytes
    this.gap = 400; // ms between messages, the longest of late
    this.slack = SLACK; // seconds to spare when a message is due; grows with each stall, and shrinks while there is none
    this.stopped = true;
    video.addEventListener("waiting", () => {
      if (this.settled && !video.seeking) this.slack = Math.min(2, this.slack + 0.15);
    });
  }

  /** Opens the socket, and again after every loss until `stop`. */
  start() {
    if (!this.stopped) return;
    this.stopped = false;
    this.timer = setInterval(() => this.#steer(), 250);
    this.#connect();
  }

  /** Closes the socket; the last picture stays. */
  stop() {
    this.stopped = true;
    clearInterval(this.timer);
    clearTimeout(this.retry);
    this.#drop();
  }

  /** Jumps to the newest picture. */
  goLive() {
    const end = this.end();
    if (end > 0) this.video.currentTime = Math.max(end - this.#target(), this.#lastRange()[0]);
  }

  /** Where the received media end on the player's time line, in seconds. */
  end() {
    const ranges = this.buffer?.buffered;
    return ranges?.length ? ranges.end(ranges.length - 1) : 0;
  }

  /** Seconds received and not shown yet, without a hole. */
  get ahead() {
    const [ranges, at] = [this.video.buffered, this.video.currentTime];
    for (let index = ranges.length - 1; index >= 0; index -= 1) {
      if (ranges.start(index) <= at) return Math.max(0, ranges.end(index) - at);
    }
    return 0;
  }

  /** Seconds between the picture shown and the newest one received. */
  latency() {
    return Math.max(0, this.end() - this.video.currentTime);
  }

  #connect() {
    if (!["refused", "restarting", "gone"].includes(this.state)) this.#state("connecting"); // what is wrong stays to be read
    this.queue = [];
    this.opened = false;
    performance.mark("socket");
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { this.opened = true; };
    socket.onmessage = (event) => this.#message(event.data);
    socket.onclose = (event) => { if (this.socket === socket) this.#lost(event.code); };
    this.socket = socket;
    this.heard = performance.now();
  }

  #drop() {
    const socket = this.socket;
    this.socket = null; // its onclose is no news any more
    // Before it is open, closing it is an error to the console: then as soon as it is.
    if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
    else socket?.close();
    this.queue = [];
  }

  async #lost(code) {
    this.#drop();
    if (this.stopped) return;
    clearTimeout(this.retry); // a picture that breaks while its socket is away asks for no second one
    const wait = BACKOFF[Math.min(this.attempts++, BACKOFF.length - 1)] * (0.75 + Math.random() / 2);
    this.retry = setTimeout(() => this.#connect(), this.ending === "ended" ? Math.max(wait, ENDED) : wait);
    if (code === 4008) this.#state("slow");
    else if (this.ending) this.#state(this.ending);
    else if (this.opened && code !== 1008 && code !== 1006) this.#state("away");
    else {
      if (this.opened && code === 1006) this.#state("gone"); // as it looks; a socket handed in may take the question
      const [why, words] = await this.#why();
      if (this.stopped) return;
      if (!words) this.#state(why);
      else if (this.state !== "refused") {
        this.state = "refused";
        this.dispatchEvent(new CustomEvent("refused", { detail: words }));
      }
    }
  }

  async #why() {
    // A failed handshake hides its status from scripts; the page's own address has it too, and with a key a new token.
    try {
      const { status } = await fetch(location.href, { method: "HEAD", cache: "no-store" });
      const state = { 401: "locked", 404: "missing", 502: "gone", 503: "restarting", 504: "gone" }[status] ?? "away";
      return [state, state === "away" ? await this.#refusal() : ""];
    } catch {
      return [this.state === "restarting" ? "restarting" : "gone", ""];
    }
  }

  /** What the gateway has against this page, in words: it judges a POST of a page as it does a socket. "" for nothing. */
  async #refusal() {
    const address = new URL("access", this.address);
    address.protocol = location.protocol;
    address.search = new URL(this.address).search;
    const answer = await fetch(address, { method: "POST", cache: "no-store" });
    return answer.status === 403 ? (await answer.json()).detail : "";
  }

  #message(data) {
    const now = performance.now();
    if (typeof data === "string") {
      const said = JSON.parse(data);
      this.ending = said.type === "end" && ["ended", "restarting"].includes(said.reason) ? said.reason : null;
      if (said.type === "end") return;
      this.queue.push(said);
    } else {
      this.received += data.byteLength;
      this.gap = Math.max(now - this.heard, this.gap * 0.9);
      this.attempts = 0;
      this.queue.push(data);
    }
    this.heard = now;
    this.#work();
  }

  /** Takes the next thing from the queue once the buffer is at rest; each append calls it again. */
  #work() {
    while (this.queue.length && !this.buffer?.updating && !this.opening) {
      const next = this.queue.shift();
      try {
        if (next instanceof ArrayBuffer) this.#append(next);
        else if (next.type === "init") this.#init(next);
        else this.#place(next.time);
      } catch (error) {
        this.#restart(error);
        return;
      }
    }
  }

  #init(said) {
    if (!mediaSource().isTypeSupported(said.mime)) {
      this.stop();
      this.dispatchEvent(new CustomEvent("unplayable", { detail: said.mime }));
      return;
    }
    this.dispatchEvent(new CustomEvent("tracks", { detail: said }));
    if (!this.buffer) {
      this.#open(said);
      return;
    }
    if (said.mime !== this.mime) this.buffer.changeType(said.mime);
    this.mime = said.mime;
    this.#place(said.time);
  }

  #open(said) {
    const source = new (mediaSource())();
    this.opening = true;
    source.addEventListener("sourceopen", () => {
      if (source !== this.source) return;
      this.opening = false;
      if (source.readyState !== "open") return; // the page has let go of the video before the event came
      this.buffer = source.addSourceBuffer(said.mime);
      this.buffer.addEventListener("updateend", () => this.#work());
      this.mime = said.mime;
      this.#place(said.time);
      this.#work();
    }, { once: true });
    this.source = source;
    const old = this.url;
    this.url = URL.createObjectURL(source);
    this.video.src = this.url;
    if (old) URL.revokeObjectURL(old);
    this.video.play().catch(() => this.#state("blocked"));
  }

  #place(time) {
    this.buffer.timestampOffset = (this.end() || ORIGIN) - time;
  }

  #append(data) {
    if (!this.buffer) return;
    try {
      this.buffer.appendBuffer(data);
    } catch (error) {
      if (error.name !== "QuotaExceededError" || !this.#trim(1)) throw error;
      this.queue.unshift(data); // there is room after the removal
    }
  }

  /** Forgets what is more than `keep` seconds behind the picture; false when there is nothing to forget. */
  #trim(keep) {
    const ranges = this.buffer.buffered;
    const until = this.video.currentTime - keep;
    if (this.buffer.updating || !ranges.length || ranges.start(0) >= until) return false;
    this.buffer.remove(0, until);
    return true;
  }

  /** Begins anew with a fresh MediaSource: what to do when the browser's has refused something. */
  #restart(error) {
    console.warn("playback starts again:", error.message);
    this.buffer = null;
    this.opening = false;
    this.#lost(0);
  }

  #lastRange() {
    const ranges = this.buffer.buffered;
    return ranges.length ? [ranges.start(ranges.length - 1), ranges.end(ranges.length - 1)] : [0, 0];
  }

  /** How far behind the edge it is safe to be when a message has just come: the time until the next one, and some. */
  #target() {
    return Math.min(6, this.gap / 1000 + this.slack);
  }

  /** Seconds behind the edge as it was when the newest message came: steady, where `latency` is a saw. */
  #lag() {
    return this.latency() + Math.min(this.gap, performance.now() - this.heard) / 1000;
  }

  #steer() {
    if (this.buffer && this.video.error) {
      this.#restart(this.video.error);
      return;
    }
    if (!this.buffer || !this.buffer.buffered.length) return;
    this.#edge();
    if (!this.queue.length && this.video.currentTime - this.buffer.buffered.start(0) > 3 * BACK_BUFFER) this.#trim(BACK_BUFFER);
    if (!this.socket || !this.opened) return;
    if (performance.now() - this.heard > Math.max(SILENCE, 3 * this.gap)) this.#state("away");
    else if (!this.video.paused) this.#state(this.video.readyState < 3 ? "buffering" : "live");
  }

  #edge() {
    const [video, target] = [this.video, this.#target()];
    const behind = this.#lag();
    const far = this.settled ? Math.max(3, target + 2) : target + 0.5;
    if (video.seeking || video.paused) return;
    // A jump before the first picture is there would throw away what is being decoded, and half a second with it.
    if (behind > far && (this.settled || video.readyState >= 2)) this.goLive();
    else this.#leap();
    if (!this.settled && video.readyState >= 3) this.settled = performance.now();
    this.slack = Math.max(SLACK, this.slack - 0.0025); // a hundredth of a second in each second
    // Once it is too far behind it goes on until it is not at all, or it would stay at the limit for good.
    this.hurries = behind > target + (this.hurries ? 0 : 0.05);
    video.playbackRate = this.hurries ? 1.05 : 1;
  }

  /** Over a hole of a few milliseconds between two ranges, where the picture would stand for ever. */
  #leap() {
    const [ranges, at] = [this.buffer.buffered, this.video.currentTime];
    for (let index = 0; index < ranges.length; index += 1) {
      const stands = index === 0 ? at < ranges.start(0) : at > ranges.end(index - 1) - 0.1 && at < ranges.start(index);
      if (stands && this.video.readyState < 3) this.video.currentTime = ranges.start(index) + 0.001;
    }
  }

  #state(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

// Plays one live stream in a <video> by WebRTC: one POST with an offer (WHEP), and a session that is deleted at the end.

const BACKOFF = [500, 1_000, 2_000, 4_000, 8_000]; // ms
const LOST = 6_000; // ms without a picture until the connection counts as lost
const GONE = 2_000; // the same where the other side has stopped answering: the gateway ends a session so

const GATEWAY = "the gateway cannot be reached";

/** Whether this browser can. */
export function webRtc() {
  return "RTCPeerConnection" in window;
}

/**
 * Events: `state` (connecting, buffering, live, away, missing, locked, restarting, gone), `tracks`, and `unplayable` with the reason when
 * the server or the browser cannot.
 */
export class WhepPlayback extends EventTarget {
  constructor(video, address) {
    super();
    this.video = video;
    this.address = address;
    this.attempts = 0;
    this.received = 0; // bytes
    this.behind = 0; // seconds in the browser's jitter buffer
    this.ahead = 0; // likewise: there is no other buffer
    this.stopped = true;
  }

  start() {
    if (!this.stopped) return;
    this.stopped = false;
    this.timer = setInterval(() => this.#look(), 500);
    this.#connect();
  }

  stop() {
    this.stopped = true;
    clearInterval(this.timer);
    clearTimeout(this.retry);
    this.#drop();
  }

  goLive() {} // it is never anywhere else

  latency() {
    return this.behind;
  }

  async #connect() {
    if (!["restarting", "gone"].includes(this.state)) this.#state("connecting");
    const peer = new RTCPeerConnection();
    this.peer = peer;
    this.frames = 0;
    this.moved = performance.now();
    const stream = new MediaStream();
    peer.ontrack = ({ track, receiver }) => {
      receiver.jitterBufferTarget = 0; // as little as the network allows
      stream.addTrack(track);
    };
    peer.onconnectionstatechange = () => {
      if (this.peer === peer && ["failed", "closed"].includes(peer.connectionState)) this.#lost("away");
    };
    try {
      for (const kind of ["video", "audio"]) peer.addTransceiver(kind, { direction: "recvonly" });
      await peer.setLocalDescription();
      const answer = await this.#post(peer.localDescription.sdp);
      if (this.peer !== peer || !answer) return;
      await peer.setRemoteDescription({ type: "answer", sdp: answer });
      this.video.srcObject = stream;
      this.video.play().catch(() => this.#state("blocked"));
    } catch (error) {
      if (this.peer === peer) this.#lost(error.cause === GATEWAY ? "gone" : "away");
    }
  }

  /** The answer, or null when there is none and what follows from it has been done. */
  async #post(sdp) {
    const headers = { "Content-Type": "application/sdp" };
    const response = await fetch(this.address, { method: "POST", headers, body: sdp }).catch((error) => {
      throw new Error(error.message, { cause: GATEWAY });
    });
    if (response.status === 201) {
      this.session = new URL(response.headers.get("Location"), location.href);
      if (!this.peer) this.#end();
      return response.text();
    }
    const problem = await response.json().catch(() => ({}));
    if (response.status === 404) this.#lost("missing");
    else if (response.status === 401) this.#lost("locked");
    else if (problem.code === "draining") this.#lost("restarting");
    else if (response.status >= 500 && response.status !== 501) this.#lost("away");
    else this.#refused(problem.detail ?? response.statusText);
    return null;
  }

  #refused(why) {
    this.stop();
    this.dispatchEvent(new CustomEvent("unplayable", { detail: why }));
  }

  #end() {
    if (this.session) fetch(this.session, { method: "DELETE", keepalive: true }).catch(() => {});
    this.session = null;
  }

  #drop() {
    const peer = this.peer;
    this.peer = null;
    peer?.close();
    this.#end();
  }

  #lost(state) {
    this.#drop();
    if (this.stopped) return;
    this.#state(state);
    const wait = BACKOFF[Math.min(this.attempts++, BACKOFF.length - 1)] * (0.75 + Math.random() / 2);
    this.retry = setTimeout(() => this.#connect(), wait);
  }

  async #look() {
    const peer = this.peer;
    if (peer?.connectionState === "disconnected" && performance.now() - this.moved > GONE) this.#lost("away");
    if (!peer || peer.connectionState !== "connected") return;
    const reports = [...(await peer.getStats()).values()];
    const picture = reports.find((each) => each.type === "inbound-rtp" && each.kind === "video");
    if (this.peer !== peer || !picture) return;
    this.received = reports.reduce((sum, each) => sum + (each.type === "inbound-rtp" ? each.bytesReceived : 0), 0);
    this.#measure(picture);
    const now = performance.now();
    if (picture.framesDecoded > this.frames) {
      this.moved = now;
      this.attempts = 0;
      this.#tracks(reports, picture);
      this.#state("live");
    } else if (now - this.moved > LOST) this.#lost("away");
    else if (now - this.moved > 1_000) this.#state("buffering");
    this.frames = picture.framesDecoded;
  }

  #measure({ jitterBufferDelay, jitterBufferEmittedCount }) {
    const [delay, count] = this.counted ?? [0, 0];
    if (jitterBufferEmittedCount > count) this.behind = (jitterBufferDelay - delay) / (jitterBufferEmittedCount - count);
    this.ahead = this.behind;
    this.counted = [jitterBufferDelay, jitterBufferEmittedCount];
  }

  #tracks(reports, picture) {
    const codec = (kind) => {
      const inbound = reports.find((each) => each.type === "inbound-rtp" && each.kind === kind && each.packetsReceived);
      return reports.find((each) => each.id === inbound?.codecId);
    };
    const [video, audio] = [codec("video"), codec("audio")];
    const names = [video, audio].filter(Boolean).map((each) => each.mimeType.split("/")[1]);
    if (names.join(",") === this.told) return; // the sound may come after the picture
    this.told = names.join(",");
    const detail = {
      codecs: this.told,
      video: { width: picture.frameWidth, height: picture.frameHeight, fps: picture.framesPerSecond },
      audio: audio && { sample_rate: audio.clockRate, channels: audio.channels ?? 1 },
    };
    this.dispatchEvent(new CustomEvent("tracks", { detail }));
  }

  #state(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

// The player page: chooses a way to play, shows what is going on, and gives the keyboard and the buttons their meaning.

import { Playback, mediaSource } from "./playback.js";
import { WhepPlayback, webRtc } from "./whep.js";

const PAUSE = "M7 5h4v14H7zM13 5h4v14h-4z";
const PLAY = "M8 5v14l11-7z";
const SOUND = "M4 9v6h4l5 4V5L8 9zM15 8.5a5 5 0 0 1 0 7zM15 4.5v2a6.5 6.5 0 0 1 0 11v2a8.5 8.5 0 0 0 0-15z";
const SILENT = "M4 9v6h4l5 4V5L8 9zM15 9.4l1.4-1.4 2.1 2.1 2.1-2.1L22 9.4 19.9 11.5 22 13.6 20.6 15l-2.1-2.1-2.1 2.1L15 13.6l2.1-2.1z";

// state: [badge, tone, headline over the picture, detail]
const STATES = {
  connecting: ["Connecting", "", "Connecting…", ""],
  buffering: ["Buffering", "warn", "", ""],
  live: ["Live", "good", "", ""],
  away: ["Waiting", "warn", "Waiting for the picture", "The source is away at the moment. This page goes on by itself."],
  restarting: ["Restarting", "warn", "The gateway is restarting", "This page goes on by itself."],
  gone: ["Waiting", "warn", "The gateway cannot be reached", "It may be restarting. This page goes on by itself."],
  slow: ["Too slow", "warn", "The connection is too slow", "Trying again."],
  ended: ["Ended", "", "The stream has ended", "Should it begin again, so does this page."],
  missing: ["No stream", "bad", "There is no stream of this name", "It will play here as soon as there is one."],
  paused: ["Paused", "", "Paused", ""],
  blocked: ["Ready", "", "Press play", "This browser plays only when asked."],
  locked: ["Locked", "bad", "Not allowed", "This stream needs a play token in the address, or a key."],
  refused: ["Refused", "bad", "The gateway refuses this page", ""],
  unplayable: ["Unplayable", "bad", "This browser cannot play the stream", ""],
};

// How it can be watched, in the order of preference: MSE survives what networks do and plays every codec that the
// browser knows, WebRTC is for who has none of it, HLS is what iPhones have at the least.
const WAYS = ["mse", "webrtc", "hls"];
const NAMES = { mse: "MSE over WebSocket", webrtc: "WebRTC", hls: "HLS (native)" };

const $ = (id) => document.getElementById(id);
const video = $("video");
const name = decodeURIComponent(location.pathname.split("/").at(-2));
const asked = new URLSearchParams(location.search);

/** An address below the page's, with the play token if there is one: a frame of another site has no cookie. */
function below(path) {
  const address = new URL(path, location.href);
  address.search = asked.has("token") ? new URLSearchParams({ token: asked.get("token") }) : "";
  return address;
}

let playback = null;

function show(state, detail) {
  const [badge, tone, headline, standard] = STATES[state];
  document.documentElement.dataset.state = state;
  $("badge").textContent = badge;
  $("badge").dataset.tone = tone;
  $("badge").toggleAttribute("data-pulse", state === "live");
  $("notice").hidden = !headline;
  $("headline").textContent = headline;
  $("detail").textContent = detail ?? standard;
}

function tracks(said) {
  const { video: picture, audio: sound } = said;
  $("codec").textContent = said.codecs.replace(",", ", ");
  $("size").textContent = picture ? `${picture.width} × ${picture.height}${picture.fps ? ` · ${+picture.fps.toFixed(2)} fps` : ""}` : "none";
  $("sound").textContent = sound ? `${sound.sample_rate / 1000} kHz · ${["", "mono", "stereo"][sound.channels] ?? `${sound.channels} channels`}` : "none";
  $("mute").hidden = !sound;
  if (picture) $("stage").style.aspectRatio = `${picture.width} / ${picture.height}`;
}

function buttons() {
  $("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
  $("play-icon").setAttribute("d", video.paused ? PLAY : PAUSE);
  $("mute-text").textContent = video.muted ? "Unmute" : "Mute";
  $("mute-icon").setAttribute("d", video.muted ? SILENT : SOUND);
  $("mute").classList.toggle("urgent", video.muted);
  $("controls").classList.toggle("urgent", video.paused);
}

function toggle() {
  if (video.paused) {
    playback?.start();
    video.play().catch(() => show("blocked"));
    playback?.goLive();
  } else {
    video.pause();
    playback?.stop(); // nothing is fetched for nobody
    show("paused");
  }
}

function full() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if ($("stage").requestFullscreen) $("stage").requestFullscreen();
  else video.webkitEnterFullscreen?.();
}

function mute() {
  video.muted = !video.muted;
}

const KEYS = { " ": toggle, k: toggle, m: mute, f: full, l: () => playback?.goLive() };

function key(event) {
  const action = KEYS[event.key.toLowerCase()];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && event.target instanceof HTMLButtonElement) return; // the button's own
  event.preventDefault();
  action();
}

let counted = { bytes: 0, at: performance.now() };

function measure() {
  if (!playback) return;
  const now = performance.now();
  const rate = ((playback.received - counted.bytes) * 8) / (now - counted.at); // kbit/s
  counted = { bytes: playback.received, at: now };
  if (!playback.received) return;
  $("rate").textContent = rate >= 1000 ? `${(rate / 1000).toFixed(1)} Mbit/s` : `${rate.toFixed(0)} kbit/s`;
  $("buffer").textContent = `${playback.ahead.toFixed(1)} s`;
  $("latency").textContent = `${playback.latency().toFixed(1)} s`;
  $("dropped").textContent = String(video.getVideoPlaybackQuality?.().droppedVideoFrames ?? "–");
  $("edge").dataset.live = String(playback.state === "live" && playback.latency() < 3);
}

const BEGIN = {
  mse: () => mediaSource() && new Playback(video, Object.assign(below("mse"), { protocol: location.protocol.replace("http", "ws") }).href),
  webrtc: () => webRtc() && new WhepPlayback(video, below("whep")),
  hls: () => video.canPlayType("application/vnd.apple.mpegurl") && nativeHls(),
};

/** Plays in the first of these ways that the browser has; the others come next when it turns out not to do. */
function watch([way, ...others], why) {
  if (!way) {
    show("unplayable", why);
    return;
  }
  playback = null;
  const made = BEGIN[way]();
  if (!made) {
    watch(others, why ?? `It has no ${NAMES[way]}.`);
    return;
  }
  $("transport").textContent = NAMES[way];
  for (const link of document.querySelectorAll("[data-via]")) link.ariaCurrent = String(link.dataset.via === way);
  if (made instanceof EventTarget) {
    playback = made;
    made.addEventListener("state", (event) => { if (!made.stopped) show(event.detail); });
    made.addEventListener("refused", (event) => show("refused", event.detail));
    made.addEventListener("tracks", (event) => tracks(event.detail));
    made.addEventListener("unplayable", (event) => watch(others, event.detail));
    made.start();
  }
}

/** Safari's own player, which says little. */
function nativeHls() {
  $("mute").hidden = false;
  video.src = below("index.m3u8");
  video.addEventListener("playing", () => show("live"));
  video.addEventListener("waiting", () => show("buffering"));
  video.addEventListener("error", () => show("unplayable", video.error?.message));
  video.play().catch(() => show("blocked"));
  return true;
}

function links() {
  $("hls").href = below("index.m3u8");
  for (const link of document.querySelectorAll("[data-via], #embed")) {
    const address = new URL(location.href);
    if (link.dataset.via) address.searchParams.set("via", link.dataset.via);
    else address.searchParams.set("embed", "1");
    link.href = address;
  }
}

function begin() {
  document.documentElement.classList.toggle("embed", asked.get("embed") === "1");
  document.title = `${name} · Reelgate`;
  $("name").textContent = name;
  $("full").hidden = !(document.fullscreenEnabled || video.webkitEnterFullscreen);
  for (const [id, action] of [["play", toggle], ["mute", mute], ["full", full], ["edge", () => playback?.goLive()]]) {
    $(id).addEventListener("click", action);
  }
  document.addEventListener("keydown", key);
  for (const event of ["play", "pause", "volumechange"]) video.addEventListener(event, buttons);
  video.muted = true; // browsers start only a silent picture unasked
  buttons();
  show("connecting");
  addEventListener("pagehide", () => playback?.stop());
  addEventListener("pageshow", (event) => { if (event.persisted && !video.paused) playback?.start(); });
  links();
  setInterval(measure, 1000);
  const via = asked.get("via");
  watch(WAYS.includes(via) ? [via] : WAYS);
}

begin();

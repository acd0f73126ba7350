// The player page: chooses a way to play, shows what is going on, and gives the keyboard and the buttons their meaning.

import { Playback, mediaSource } from "/assets/playback.js";

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
  slow: ["Too slow", "warn", "The connection is too slow", "Trying again."],
  ended: ["Ended", "", "The stream has ended", "Should it begin again, so does this page."],
  missing: ["No stream", "bad", "There is no stream of this name", "It will play here as soon as there is one."],
  paused: ["Paused", "", "Paused", ""],
  blocked: ["Ready", "", "Press play", "This browser plays only when asked."],
  unplayable: ["Unplayable", "bad", "This browser cannot play the stream", ""],
};

const $ = (id) => document.getElementById(id);
const video = $("video");
const name = decodeURIComponent(location.pathname.split("/").at(-2));
const address = new URL("mse", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.search = "";

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
  const ranges = video.buffered;
  let ahead = 0;
  for (let index = 0; index < ranges.length; index += 1) {
    if (ranges.start(index) <= video.currentTime) ahead = Math.max(0, ranges.end(index) - video.currentTime);
  }
  const behind = playback.latency();
  if (!ranges.length) return;
  $("rate").textContent = rate >= 1000 ? `${(rate / 1000).toFixed(1)} Mbit/s` : `${rate.toFixed(0)} kbit/s`;
  $("buffer").textContent = `${ahead.toFixed(1)} s`;
  $("latency").textContent = `${behind.toFixed(1)} s`;
  $("dropped").textContent = String(video.getVideoPlaybackQuality?.().droppedVideoFrames ?? "–");
  $("edge").dataset.live = String(playback.state === "live" && behind < 3);
}

/** Safari's own HLS, for who has no Media Source Extensions or not for this codec. */
function nativeHls(why) {
  playback = null;
  if (!video.canPlayType("application/vnd.apple.mpegurl")) {
    show("unplayable", why);
    return;
  }
  $("transport").textContent = "HLS (native)";
  $("mute").hidden = false;
  video.src = "index.m3u8";
  video.addEventListener("playing", () => show("live"));
  video.addEventListener("waiting", () => show("buffering"));
  video.addEventListener("error", () => show("unplayable", why));
  video.play().catch(() => show("blocked"));
}

function begin() {
  document.documentElement.classList.toggle("embed", new URLSearchParams(location.search).get("embed") === "1");
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
  if (!mediaSource()) {
    nativeHls("It has neither Media Source Extensions nor HLS.");
    return;
  }
  playback = new Playback(video, address.href);
  playback.addEventListener("state", (event) => { if (!playback?.stopped) show(event.detail); });
  playback.addEventListener("tracks", (event) => tracks(event.detail));
  playback.addEventListener("unplayable", (event) => nativeHls(`It does not know ${event.detail}.`));
  $("transport").textContent = "MSE over WebSocket";
  setInterval(measure, 1000);
  playback.start();
}

begin();

// What is done to a stream from several places: ended with a way back, paused, taken a picture of.

import { call } from "./api.js";
import { h, icon } from "./dom.js";
import { ask, note, present, trouble } from "./notes.js";
import { go } from "./router.js";
import { clock } from "./words.js";

/** How it was started: [path, body], from its job, or else from what its record tells; null when that is not enough. */
async function origin(stream) {
  if (stream.hasCredentials) return null; // nobody tells a password, not even to start again
  try {
    const { body } = await call(`/jobs/${stream.jobId}`);
    return [body.request.path.replace(/^\/rest-api\/v3/, ""), body.request.body];
  } catch {
    const body = { uri: stream.uri, localStreamName: stream.name };
    if (stream.kind === "vod") return ["/vod/startup", { ...body, loop: stream.loop }];
    if (stream.kind === "rtsp") return ["/rtsp/startup", body];
    return null;
  }
}

/** Asks, ends it, and offers to start it again. Gives whether it was ended. */
export async function terminate(stream) {
  const way = await origin(stream);
  const watched = stream.viewers ? `${stream.viewers} watching. ` : "";
  const text = way
    ? "It can be started again with the same parameters for as long as the note about it stays."
    : "It cannot be started again from here: its address had a password, which is kept nowhere.";
  if (!(await ask(`End ${stream.name}?`, watched + text, "End the stream"))) return false;
  try {
    await call("/stream/terminate", { id: stream.id });
  } catch (error) {
    trouble(error);
    return false;
  }
  note(`${stream.name} was ended.`, way ? { undo: { label: "Undo", act: () => again(stream.name, way) } } : {});
  return true;
}

/** One more try of a stream that was given up. */
export async function retry(stream) {
  const way = await origin(stream);
  if (way) await again(stream.name, way);
  else go("/start/camera");
}

async function again(name, [path, body]) {
  try {
    await call(path, body, { prefer: "respond-async, wait=0" });
    note(`${name} is being started again.`);
  } catch (error) {
    trouble(error);
  }
}

/** The newest picture in a dialog, to be kept. */
export async function snapshot(stream) {
  try {
    const { body } = await call("/stream/snapshot", { streamName: stream.name, format: "jpeg" });
    if (!body.data) throw new Error("There is no picture yet; try again in a moment.");
    const data = Uint8Array.from(atob(body.data), (letter) => letter.charCodeAt(0));
    const address = URL.createObjectURL(new Blob([data], { type: "image/jpeg" }));
    const file = `${stream.name}-${body.takenAt.replaceAll(/[:.]/g, "-")}.jpg`;
    present(`${stream.name}, ${clock(body.takenAt)}`,
      h("img", { src: `${stream.playback.snapshot}?n=${Date.now()}`, alt: `The picture of ${stream.name}` }),
      h("div", { class: "row" }, h("span", { class: "quiet grow" }, `${body.width} × ${body.height} · ${body.age.toFixed(1)} s old`),
        h("a", { class: "button strong", href: address, download: file }, icon("picture"), "Save")));
  } catch (error) {
    trouble(error);
  }
}

export async function pause(stream) {
  try {
    await call(stream.status === "PAUSED" ? "/vod/resume" : "/vod/pause", { localStreamName: stream.name });
  } catch (error) {
    trouble(error);
  }
}

export async function removeMark(stream) {
  try {
    await call("/transcoder/set_watermark", { uri: stream.uri, watermark: null });
    note("The watermark is gone.");
  } catch (error) {
    trouble(error);
  }
}

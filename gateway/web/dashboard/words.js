// How things are said: states, stages, numbers and times, in words.

// status: [word, tone, rank: what needs attention comes first]
export const STATUSES = {
  FAILED: ["Failed", "bad", 0],
  WAITING: ["Waiting", "warn", 1],
  PAUSED: ["Paused", "idle", 2],
  IDLE: ["Idle", "idle", 3],
  LIVE: ["Live", "good", 4],
  STOPPED: ["Ended", "idle", 5],
};

// state of a job: [word, tone]
export const STATES = {
  PENDING: ["Queued", "idle"],
  RUNNING: ["Running", "info"],
  DONE: ["Done", "good"],
  FAILED: ["Failed", "bad"],
  CANCELLED: ["Cancelled", "warn"],
};

export const KINDS = { rtsp: "Camera", vod: "File", transcoder: "Transcoder" };
export const KIND_ICONS = { rtsp: "camera", vod: "file", transcoder: "mark" };

const JOBS = {
  "rtsp.startup": "Open a camera",
  "vod.startup": "Start a file",
  "vod.seek": "Seek",
  "vod.pause": "Pause",
  "vod.resume": "Resume",
  "vod.fault": "Misbehave",
  "transcoder.startup": "Start a transcoder",
  "transcoder.set_watermark": "Set a watermark",
  "watermark.startup": "Check a picture",
  "stream.snapshot": "Take a snapshot",
};

const STAGES = {
  queued: "in the queue",
  starting: "starting a worker",
  resolving: "looking up the address",
  connecting: "connecting",
  options: "greeting the camera",
  describing: "asking what it sends",
  setup: "setting up the session",
  playing: "asking it to play",
  "waiting-keyframe": "waiting for a key frame",
  live: "live",
  opening: "reading the file",
  packaging: "packaging",
  transcoding: "recoding",
  "waiting-source": "waiting for the source",
  admission: "looking for room",
  reading: "reading the picture",
  "waiting-frame": "waiting for the first frame",
  decoding: "decoding",
  waiting: "waiting",
  seeking: "seeking",
  moving: "moving",
};

const CODES = {
  "source-dns": "its name does not resolve",
  "source-refused": "it refuses connections",
  "source-unreachable": "it cannot be reached",
  "source-timeout": "no answer in time",
  "source-busy": "it has no room for one more",
  "source-protocol-error": "the connection broke, or made no sense",
  "source-not-found": "it knows no such stream",
  "source-auth-failed": "it refuses the login",
  "source-auth-or-busy": "it refuses a login that has worked",
  "source-no-keyframe": "no key frame in time",
  "source-no-media": "it sends nothing that can be used",
  "source-untrusted": "its certificate is not trusted",
  "source-forbidden": "its address is not allowed",
  "worker-crashed": "its worker crashed",
  "worker-hung": "its worker stopped responding",
};

export function jobTitle(kind) {
  return JOBS[kind] ?? kind;
}

/** "waiting for a key frame"; what follows a blank (a percentage) stays. */
export function stageWord(stage) {
  const [key, ...rest] = (stage ?? "").split(" ");
  return [STAGES[key] ?? key.replaceAll("-", " "), ...rest].join(" ");
}

export function bitrate(bits) {
  if (bits === null || bits === undefined) return "–";
  if (bits >= 1e6) return `${(bits / 1e6).toFixed(bits >= 1e7 ? 0 : 1)} Mbit/s`;
  return `${Math.round(bits / 1e3)} kbit/s`;
}

export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB"];
  let [value, unit] = [count, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "2 d 4 h", "3 min 10 s", "0.8 s". */
export function duration(seconds) {
  if (!(seconds >= 0)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86_400), Math.floor(whole / 3_600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** Milliseconds as a duration. */
export function took(ms) {
  return ms < 1000 ? `${ms} ms` : duration(ms / 1000);
}

export function ago(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** "in 4 s", or "now" once it is due. */
export function until(time) {
  const seconds = Math.ceil((Date.parse(time) - Date.now()) / 1000);
  return seconds > 0 ? `in ${duration(seconds).replace(/\.0 s$/, " s")}` : "now";
}

/** "14:03:22" today, else with the date. */
export function clock(time) {
  const at = new Date(time);
  const hours = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return at.toDateString() === new Date().toDateString() ? hours : `${at.toLocaleDateString()} ${hours}`;
}

/** Seconds since the newest frame came in. */
export function age(seconds) {
  return seconds === null || seconds === undefined ? "–" : duration(seconds);
}

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** With a capital at its beginning and a stop at its end. */
export function sentence(text) {
  return text ? `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}` : "";
}

/** Why a stream is not there, in one sentence; "" when there is nothing to say. */
export function reason(stream) {
  if (stream.status === "LIVE" || stream.status === "PAUSED") return "";
  if (stream.status === "IDLE") return "Nobody watches; the next viewer wakes it.";
  return sentence(stream.lastError?.detail);
}

/** A code in a few words, where there are any. */
export function codeWord(code) {
  return CODES[code] ?? code.replaceAll("-", " ");
}

/** What a job is about: the stream's name, or what else it was asked for. */
export function subject(job) {
  const body = job.request?.body ?? {};
  const file = typeof body.watermark === "string" ? body.watermark : body.watermark?.file;
  return body.localStreamName ?? body.streamName ?? job.result?.name ?? body.uri ?? file ?? "";
}

export function picture({ video }) {
  return video?.width ? `${video.width} × ${video.height}` : "–";
}

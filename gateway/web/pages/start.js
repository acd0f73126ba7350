// The start page: the list of streams, read again and again, or how to start the first one.

const PERIOD = 3_000; // ms
const TONES = { LIVE: "good", WAITING: "warn", IDLE: "", PAUSED: "", FAILED: "bad", STOPPED: "" };
const KINDS = { rtsp: "Camera", vod: "File", transcoder: "Transcoder" };

const $ = (id) => document.getElementById(id);

function element(tag, text = "", label = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (label) made.dataset.label = label;
  return made;
}

function picture({ video }) {
  const made = element("td", video?.width ? `${video.width} × ${video.height}` : "");
  const more = video ? [video.codec, video.fps ? `${+video.fps.toFixed(2)} fps` : ""].filter(Boolean).join(" · ") : "";
  if (more) made.append(element("small", more));
  return made;
}

function uptime(since) {
  const seconds = Math.floor((Date.now() - Date.parse(since)) / 1000);
  if (!(seconds >= 0)) return "";
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

function row(stream) {
  const made = element("tr");
  const link = element("a", stream.name);
  link.href = `/live/${encodeURIComponent(stream.name)}/`;
  const name = element("td");
  name.append(link);
  if (stream.lastError && stream.status !== "LIVE") name.append(element("small", stream.lastError.detail ?? stream.lastError.code));
  const badge = element("span", stream.status[0] + stream.status.slice(1).toLowerCase());
  badge.className = "badge";
  badge.dataset.tone = TONES[stream.status] ?? "";
  const status = element("td");
  status.append(badge);
  const viewers = element("td", String(stream.viewers ?? 0), "Viewers");
  viewers.className = "number";
  const live = stream.status === "LIVE" && stream.liveSince ? uptime(stream.liveSince) : "";
  made.append(name, status, element("td", KINDS[stream.kind] ?? stream.kind), picture(stream), element("td", live, "Live for"), viewers);
  return made;
}

function show(streams) {
  streams.sort((one, other) => one.name.localeCompare(other.name));
  $("count").textContent = streams.length === 1 ? "1 stream" : streams.length ? `${streams.length} streams` : "";
  $("list").hidden = !streams.length;
  $("empty").hidden = streams.length > 0;
  const focused = document.activeElement?.closest("#rows a")?.getAttribute("href");
  $("rows").replaceChildren(...streams.map(row));
  if (focused) [...$("rows").querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
}

function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

async function refresh() {
  try {
    const answer = await fetch("/rest-api/v3/stream/find_all", { headers: { Accept: "application/json" }, cache: "no-store" });
    const body = await answer.json();
    if (answer.ok) show(body);
    trouble(answer.ok ? "" : `The gateway says: ${body.detail ?? body.title ?? answer.status}`);
  } catch {
    trouble("The gateway does not answer. Trying again.");
  }
}

async function run() {
  await refresh();
  setTimeout(run, document.hidden ? 4 * PERIOD : PERIOD);
}

function curl(path, body) {
  return `curl ${location.origin}/rest-api/v3/${path} \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body)}'`;
}

$("curl-file").textContent = curl("vod/startup", { uri: "vod-live://sample.mp4", localStreamName: "channel-1", loop: true });
$("curl-camera").textContent = curl("rtsp/startup", { uri: "rtsp://camera.local/stream", localStreamName: "camera-1" });
run();

// The streams as a table.

import { mark, say } from "./dom.js";
import { streamPath } from "./router.js";
import { KINDS, STATUSES, age, bitrate, picture, reason, until } from "./words.js";
import { Windowed, line } from "./windowed.js";

const COLUMNS = [["Name"], ["Status"], ["Kind"], ["Picture, or why not", "wide"], ["Bitrate", "number"], ["Last frame", "number"], ["Viewers", "number"], ["Restarts", "number wide"]];

function make() {
  return line({
    name: ["a", "phone"],
    status: ["span", "badge phone"],
    kind: ["span", "quiet"],
    why: ["span", "why phone"],
    rate: ["span", "number phone"],
    age: ["span", "number"],
    viewers: ["span", "number"],
    restarts: ["span", "number wide"],
  });
}

function fill(row, stream) {
  const [word, tone] = STATUSES[stream.status] ?? [stream.status, "idle"];
  say(row.name, stream.name);
  if (row.name.title !== stream.name) {
    row.name.title = stream.name;
    row.name.href = streamPath(stream.name);
  }
  say(row.status, word);
  mark(row.status, "tone", tone);
  say(row.kind, KINDS[stream.kind] ?? stream.kind);
  const retry = stream.status === "WAITING" && stream.nextRetryAt ? `Next try ${until(stream.nextRetryAt)}. ` : "";
  say(row.why, retry + (reason(stream) || `${picture(stream)}${stream.video?.codec ? ` · ${stream.video.codec.toUpperCase()}` : ""}`));
  say(row.rate, stream.status === "LIVE" ? bitrate(stream.bitrate) : "–");
  say(row.age, age(stream.lastFrameAge));
  say(row.viewers, String(stream.viewers));
  say(row.restarts, String(stream.restarts ?? 0));
}

export function streamsTable() {
  const columns = COLUMNS.map(([word, kind]) => [word, word.startsWith("Picture") ? "" : kind]);
  return new Windowed({ label: "Streams", columns, kind: "streams-table", key: (stream) => stream.id, row: { make, fill } });
}

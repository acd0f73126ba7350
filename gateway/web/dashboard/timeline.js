// What happened to a stream: when it was live, when it was not and why, as a strip and as a list.

import { h } from "./dom.js";
import { clock, codeWord, sentence, stageWord, took } from "./words.js";

/** Each attempt as {from, to (ms), tone, text}. An attempt's `at` is its end, and an error in `live` ended a life. */
function happenings(stream) {
  const found = [];
  for (const { at, phase, code, ms } of stream.attempts ?? []) {
    const to = Date.parse(at);
    const text = code === null ? `Live after ${took(ms)}`
      : phase === "live" ? `Went away after ${took(ms)}: ${codeWord(code)}` : `${sentence(stageWord(phase)).slice(0, -1)}: ${codeWord(code)}`;
    found.push({ from: to - ms, to, text, code, tone: code === null ? "good" : "bad", lived: phase === "live" && code !== null });
  }
  if (!found.length && stream.lastError) {
    const at = Date.parse(stream.lastError.at ?? stream.createdAt);
    found.push({ from: at, to: at, text: stream.lastError.detail, tone: "bad" });
  }
  return found;
}

/** The time from the first happening to now in spans without holes: {tone, ms, title}. */
function strip(stream, found, now) {
  const spans = [];
  let at = found[0]?.from ?? Date.parse(stream.liveSince ?? stream.createdAt);
  const add = (to, tone, title) => {
    if (to <= at) return;
    spans.push({ tone, ms: to - at, title: `${title}, ${took(to - at)}` });
    at = to;
  };
  for (const { from, to, tone, text, lived } of found) {
    add(from, "warn", "Waiting");
    if (lived) add(to, "good", "Live");
    else add(to, tone === "good" ? "idle" : "bad", text);
  }
  const [tone, word] = { LIVE: ["good", "Live"], WAITING: ["warn", "Waiting"], FAILED: ["bad", "Failed"] }[stream.status] ?? ["idle", stream.status];
  add(now, tone, word);
  return spans;
}

/** The strip and the list, anew. */
export function timeline(stream) {
  const found = happenings(stream);
  const now = Date.now();
  const spans = strip(stream, found, now);
  const whole = spans.reduce((sum, { ms }) => sum + ms, 0) || 1;
  const bar = h("div", { class: "spans", role: "img", "aria-label": spans.map(({ title }) => title).join("; ") },
    spans.map(({ tone, ms, title }) => {
      const span = h("span", { data: { tone }, title });
      span.style.flexGrow = String(Math.max(0.004, ms / whole));
      return span;
    }));
  if (!found.length) return [bar, h("p", { class: "quiet small" }, "Nothing has gone wrong so far.")];
  const rows = found.reverse().map(({ to, tone, text, code }) => h("li", { title: code },
    h("time", { class: "quiet", dateTime: new Date(to).toISOString() }, clock(to)), h("i", { class: "swatch", data: { tone } }), h("span", {}, text)));
  return [bar, h("ol", { class: "events", tabIndex: 0, "aria-label": "Newest first" }, rows)];
}


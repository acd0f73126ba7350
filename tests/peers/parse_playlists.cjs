// What two parsers make of playlists: a JSON list of texts comes in, a list of [hls-parser's, m3u8-parser's] goes out.
// hls-parser is strict: it throws at what the specification forbids, and that is its answer then.
const HLS = require("hls-parser");
const { Parser } = require("m3u8-parser");

HLS.setOptions({ strictMode: true });

function strict(text) {
  try {
    const made = HLS.parse(text);
    if (made.isMasterPlaylist) return { variants: made.variants.map((one) => one.uri) };
    const parts = made.segments.flatMap((one) => one.parts).filter((one) => !one.hint);
    return { skipped: made.skip, segments: made.segments.map((one) => one.uri).filter(Boolean), parts: parts.map((one) => one.uri) };
  } catch (error) {
    return { refused: error.message };
  }
}

function lenient(text) {
  const parser = new Parser();
  const warnings = [];
  parser.on("warn", ({ message }) => warnings.push(message));
  parser.push(text);
  parser.end();
  const { playlists, segments, skip, preloadSegment } = parser.manifest;
  if (playlists) return { variants: playlists.map((one) => one.uri), warnings };
  const parts = [...segments, preloadSegment ?? {}].flatMap((one) => one.parts ?? []);
  return { skipped: skip?.skippedSegments ?? 0, segments: segments.map((one) => one.uri), parts: parts.map((one) => one.uri), warnings };
}

const chunks = [];
process.stdin.on("data", (chunk) => chunks.push(chunk));
process.stdin.on("end", () => {
  const texts = JSON.parse(Buffer.concat(chunks).toString());
  process.stdout.write(JSON.stringify(texts.map((text) => [strict(text), lenient(text)])));
});

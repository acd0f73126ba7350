#!/bin/sh
# Chromium shows the same film in other colours by MediaSource than by its address.
# Chromium 147.0.7727.0. Video that does not say by which matrix its colours were made is common: cameras, and x264
# unless it is told. At 320x240 Chromium takes BT.601 for it when `<video src>` has the address, and BT.709 when the
# same bytes come through MediaSource (at 1280x720 it takes BT.709 both times). So neither "as ffmpeg does" nor one rule
# for browsers is right; only what is labelled looks the same everywhere.
# Output:
#     HeadlessChrome/147.0.7727.0
#     by its address: red 254, green 0, blue 0
#     by MediaSource: red 255, green 24, blue 0
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check av==18.1.0
npm install --silent --no-audit --no-fund --ignore-scripts --prefix . @sparticuz/chromium@147.0.0 puppeteer-core@24.43.1
export TMPDIR="$folder"
venv/bin/python - <<'EOF'
from fractions import Fraction

import av

with av.open("film.mp4", "w", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}) as container:
    track = container.add_stream("libx264", rate=25, options={"profile": "baseline", "level": "1.3"})
    track.width, track.height = 320, 240
    for index in range(25):
        frame = av.VideoFrame(320, 240, "yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        for plane, value in zip(frame.planes, (81, 90, 240)):  # full red in BT.601
            plane.update(bytes([value]) * plane.buffer_size)
        container.mux(track.encode(frame))
    container.mux(track.encode(None))
EOF
cat >browse.mjs <<'EOF'
import fs from "node:fs";
import http from "node:http";
import chromium from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";

const server = http.createServer(({ url }, answer) => {
  answer.setHeader("Content-Type", url === "/" ? "text/html" : "video/mp4");
  answer.end(url === "/" ? "<body>" : fs.readFileSync("film.mp4"));
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const args = [...chromium.args, "--autoplay-policy=no-user-gesture-required"];
const browser = await puppeteer.launch({ executablePath: await chromium.executablePath(), args, headless: "shell" });
console.log(await browser.version());
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);
const [direct, buffered] = await page.evaluate(async () => {
  const shown = async (video) => {
    document.body.append(video);
    await new Promise((done, failed) => {
      video.onended = done;
      video.onerror = () => failed(video.error);
      video.muted = true;
      video.play().catch(failed);
    });
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.drawImage(video, 0, 0);
    return [...canvas.getImageData(100, 100, 1, 1).data].slice(0, 3);
  };
  const plain = document.createElement("video");
  plain.src = "/film.mp4";
  const fed = document.createElement("video");
  const source = new MediaSource();
  fed.src = URL.createObjectURL(source);
  await new Promise((done) => (source.onsourceopen = done));
  const buffer = source.addSourceBuffer('video/mp4; codecs="avc1.42c00d"');
  buffer.appendBuffer(await (await fetch("/film.mp4")).arrayBuffer());
  await new Promise((done) => (buffer.onupdateend = done));
  source.endOfStream();
  return [await shown(plain), await shown(fed)];
});
const say = (colour) => ["red", "green", "blue"].map((name, index) => `${name} ${colour[index]}`).join(", ");
console.log(`by its address: ${say(direct)}`);
console.log(`by MediaSource: ${say(buffered)}`);
await browser.close();
server.close();
if (direct[1] > 5 || buffered[1] < 15) {
  console.error("This is no longer so.");
  process.exit(1);
}
EOF
node browse.mjs

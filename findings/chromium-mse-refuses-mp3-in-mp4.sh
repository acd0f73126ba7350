#!/bin/sh
# Chromium plays MP3 in MP4 by its address, says "probably" to it, and refuses it in MediaSource.
# Chromium 147.0.7727.0. Editors and old phones write such files. `canPlayType` says "probably" for each of the three
# names of the codec and `<video src>` plays the file to its end; `MediaSource.isTypeSupported` is false for all three.
# MP3 without MP4 around it is taken by both. So what a browser can play depends on the way by which it is handed the
# bytes.
# Output:
#     HeadlessChrome/147.0.7727.0
#     audio/mp4; codecs="mp4a.6B": canPlayType probably, MediaSource false
#     audio/mp4; codecs="mp4a.69": canPlayType probably, MediaSource false
#     audio/mp4; codecs="mp3": canPlayType probably, MediaSource false
#     audio/mpeg: canPlayType probably, MediaSource true
#     film.mp4 by its address: ended after 2.4 s
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
import av

with av.open("film.mp4", "w") as container:
    track = container.add_stream("libmp3lame", rate=48000)
    for index in range(100):
        frame = av.AudioFrame("fltp", "stereo", 1152)
        frame.pts, frame.rate = index * 1152, 48000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
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
const types = ['audio/mp4; codecs="mp4a.6B"', 'audio/mp4; codecs="mp4a.69"', 'audio/mp4; codecs="mp3"', "audio/mpeg"];
const [said, heard] = await page.evaluate(async (types) => {
  const video = document.createElement("video");
  const said = types.map((type) => [type, video.canPlayType(type), MediaSource.isTypeSupported(type)]);
  video.src = "/film.mp4";
  const outcome = await new Promise((done) => {
    video.onended = () => done("ended");
    video.onerror = () => done(video.error.message);
    video.play().catch((error) => done(error.message));
  });
  return [said, `${outcome} after ${video.currentTime.toFixed(1)} s`];
}, types);
for (const [type, can, may] of said) console.log(`${type}: canPlayType ${can}, MediaSource ${may}`);
console.log(`film.mp4 by its address: ${heard}`);
await browser.close();
server.close();
const asSaid = said.every(([type, can, may]) => can === "probably" && may === (type === "audio/mpeg"));
if (!asSaid || !heard.startsWith("ended")) {
  console.error("This is no longer so.");
  process.exit(1);
}
EOF
node browse.mjs

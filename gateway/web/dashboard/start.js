// Starting something: the three forms, and beside them what becomes of the request.

import { call } from "./api.js";
import { h, icon } from "./dom.js";
import { cameraForm } from "./form-camera.js";
import { fileForm } from "./form-file.js";
import { markForm } from "./form-mark.js";
import "./job-life.js";
import { command, preferences } from "./prefer.js";
import { Hearing, store } from "./store.js";
import { took } from "./words.js";

const FORMS = {
  camera: ["Camera", "camera", cameraForm],
  file: ["File", "file", fileForm],
  watermark: ["Watermark", "mark", markForm],
};

class Start extends Hearing {
  static hears = { change: "change", tick: "tick" };
  #asked = null; // {kind, name, since, known: ids} of the request under way
  #job = null;

  begin() {
    const what = this.params.what ?? "camera";
    const tabs = Object.entries(FORMS).map(([key, [word, picture]]) =>
      h("a", { href: `/start/${key}`, "aria-current": key === what ? "page" : null }, icon(picture), word));
    this.prefer = preferences(() => this.#changed());
    this.command = command();
    this.form = FORMS[what][2](() => this.#changed());
    this.send = h("button", { type: "submit", class: "button strong" }, this.form.word);
    this.trouble = h("p", { class: "message", role: "alert", hidden: true, data: { tone: "bad" } });
    this.life = h("div", { class: "inside" }, h("p", { class: "quiet" }, "What becomes of the request appears here: each stage, and how long it took."));
    const fields = h("form", { class: "panel", noValidate: true, onsubmit: (event) => { event.preventDefault(); this.#submit(); } },
      h("div", { class: "inside stack" }, this.form.element, this.prefer.element, this.trouble, h("div", { class: "row" }, this.send)));
    this.append(
      h("header", { class: "page-head" }, h("h1", { tabIndex: -1 }, "Start"), h("nav", { class: "switch", "aria-label": "What to start" }, tabs)),
      h("div", { class: "start-grid" }, h("div", { class: "stack" }, fields),
        h("div", { class: "stack" }, h("section", { class: "panel", "aria-live": "polite" }, h("header", {}, h("h2", {}, "The job")), this.life), this.command.element)));
    this.#changed();
  }

  end() {
    this.form.end?.();
  }

  change({ jobs, listed }) {
    if (listed) this.form.streams?.();
    if (!this.#asked) return;
    for (const id of jobs) if (this.#isMine(store.jobs.get(id))) this.#follow(id);
    if (this.#job && jobs.has(this.#job)) this.shown.update(store.jobs.get(this.#job));
  }

  tick() {
    const job = this.#job && store.jobs.get(this.#job);
    if (job && !job.finishedAt) this.shown.update(job);
  }

  #changed() {
    if (!this.form) return; // it is being made, and finds its stream known already
    const { path, body } = this.form.request();
    this.command.show(path, body, this.prefer.value());
  }

  /** While the request is held nobody has told its job's id: it is the first new one of that kind and name. */
  #isMine(job) {
    const asked = this.#asked;
    if (!job || this.#job || asked.known.has(job.id) || job.kind !== asked.kind) return false;
    const body = job.request.body;
    return body.localStreamName === asked.body.localStreamName || body.uri === asked.body.uri;
  }

  #follow(id) {
    this.#job = id;
    this.shown = document.createElement("rg-job-life");
    this.life.replaceChildren(this.shown);
    if (store.jobs.has(id)) this.shown.update(store.jobs.get(id));
  }

  async #submit() {
    const wrong = this.form.check();
    this.#tell(wrong);
    if (wrong) return;
    const { path, body } = this.form.request();
    this.#job = null;
    this.#asked = { kind: path.slice(1).replace("/", "."), body, known: new Set(store.jobs.keys()) };
    this.send.disabled = true;
    try {
      const answer = await call(path, body, { prefer: this.prefer.value() });
      this.#answered(answer.jobId, answer.status === 202
        ? `Answered 202 after ${took(Math.round(answer.ms))}: the job goes on in the background.`
        : `Answered 200 after ${took(Math.round(answer.ms))}.`);
      this.form.started?.(answer);
    } catch (error) {
      if (error.job) this.#answered(error.job.id, `Answered ${error.status}: ${error.title}.`);
      else this.#tell(error.message);
      for (const { field, detail } of error.errors ?? []) this.form.wrong?.(field, detail);
    } finally {
      this.send.disabled = false;
    }
  }

  #answered(id, text) {
    if (id && this.#job !== id) this.#follow(id);
    this.shown?.answered(text);
  }

  #tell(text) {
    this.trouble.hidden = !text;
    this.trouble.textContent = text ?? "";
  }
}

customElements.define("rg-start", Start);

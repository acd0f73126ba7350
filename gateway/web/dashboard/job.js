// One job: its life, where the time went, what was asked, and what it made.

import { call } from "./api.js";
import { h, icon, say } from "./dom.js";
import { phases } from "./job-life.js";
import { command } from "./prefer.js";
import { Hearing, store } from "./store.js";
import { clock, jobTitle } from "./words.js";

class JobPage extends Hearing {
  static hears = { change: "change", tick: "tick" };

  begin() {
    this.heading = h("h1", { tabIndex: -1 }, "Job");
    this.content = h("div", { class: "stack" });
    this.append(h("header", { class: "page-head" },
      h("a", { class: "button plain bare", href: "/jobs", "aria-label": "All jobs" }, icon("back")), this.heading), this.content);
    this.#find();
  }

  change({ jobs }) {
    if (jobs.has(this.params.id)) this.#show(store.jobs.get(this.params.id));
  }

  tick() {
    const job = store.jobs.get(this.params.id);
    if (job && !job.finishedAt) this.#show(job);
  }

  async #find() {
    const known = store.jobs.get(this.params.id);
    if (known) {
      this.#show(known);
      return;
    }
    try {
      this.#show((await call(`/jobs/${this.params.id}`)).body);
    } catch (error) {
      this.content.replaceChildren(h("section", { class: "empty" }, icon("jobs"), h("h2", {}, "This job is not there"), h("p", { class: "quiet" }, error.message),
        h("a", { class: "button", href: "/jobs" }, "All jobs")));
    }
  }

  #show(job) {
    if (!this.life) this.#build(job);
    say(this.heading, jobTitle(job.kind));
    this.life.update(job);
    this.bar.replaceChildren(phases(job));
    const { result, ...record } = job;
    delete record.seenAt;
    say(this.record, JSON.stringify(result?.data ? { ...record, result: "(a picture)" } : { ...record, result }, null, 2));
    say(this.when, `Asked ${clock(job.createdAt)}${job.finishedAt ? `, ended ${clock(job.finishedAt)}, answer ${job.httpStatus}` : ""}`);
  }

  #build(job) {
    this.life = document.createElement("rg-job-life");
    this.bar = h("div");
    this.when = h("p", { class: "quiet small" });
    this.record = h("code");
    const same = command();
    same.show(job.request.path.replace(/^\/rest-api(\/v3)?/, ""), job.request.body, `respond-async, wait=${job.wait}, timeout=${job.timeout}`);
    this.content.replaceChildren(h("div", { class: "start-grid" },
      h("div", { class: "stack" },
        h("section", { class: "panel", "aria-live": "polite" }, h("div", { class: "inside stack" }, this.life, this.bar, this.when)), same.element),
      h("section", { class: "panel" }, h("header", {}, h("h2", {}, "The record")),
        h("div", { class: "inside" }, h("pre", { tabIndex: 0, "aria-label": "Record of the job" }, this.record)))));
    this.life.more.hidden = true;
  }
}

customElements.define("rg-job", JobPage);

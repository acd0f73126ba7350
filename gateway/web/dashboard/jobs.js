// All jobs, newest first: what was asked, how it ended and why, and where the time went.

import { button, h, here, icon, mark, say, show } from "./dom.js";
import { active, elapsed, phases } from "./job-life.js";
import { trouble } from "./notes.js";
import { remember } from "./router.js";
import { Hearing, store } from "./store.js";
import { STATES, ago, jobTitle, plural, sentence, stageWord, subject, took } from "./words.js";
import { Windowed, line } from "./windowed.js";

const COLUMNS = [["Job"], ["About"], ["State"], ["How it went"], ["Phases", "wide"], ["Took", "number"], ["When", "number"]];

function make() {
  return line({
    name: ["a", "phone"], about: ["span", "about quiet phone"], state: ["span", "badge phone"], why: ["span", "why phone"],
    bar: ["span", "wide"], took: ["span", "number phone"], when: ["span", "number quiet"],
  });
}

function fill(row, job) {
  const about = subject(job);
  const [word, tone] = STATES[job.state];
  say(row.name, jobTitle(job.kind));
  if (row.name.dataset.id !== job.id) {
    row.name.dataset.id = job.id;
    row.name.href = here(`/jobs/${job.id}`);
    row.about.title = about;
  }
  say(row.about, about);
  say(row.state, job.cancelRequested && active(job) ? "Stopping" : word);
  mark(row.state, "tone", tone);
  say(row.why, outcome(job));
  mark(row, "error", String(Boolean(job.error)));
  say(row.took, took(Math.round(elapsed(job))));
  say(row.when, ago(job.createdAt));
  if (row.bar.dataset.revision !== `${job.id} ${job.revision}`) {
    row.bar.dataset.revision = `${job.id} ${job.revision}`;
    row.bar.replaceChildren(phases(job));
  }
}

function outcome(job) {
  if (job.error) return sentence(job.error.detail);
  if (job.state === "PENDING") return job.queuePosition ? `number ${job.queuePosition} in the queue` : "in the queue";
  if (job.state === "RUNNING") return stageWord(job.stage);
  return "";
}

class Jobs extends Hearing {
  static hears = { change: "change", tick: "tick" };
  #older = true;
  #loading = false;

  begin() {
    const query = new URLSearchParams(location.search);
    this.asked = { q: query.get("q") ?? "", state: query.get("state") ?? "" };
    this.count = h("p", { class: "quiet", role: "status" });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "State" });
    const search = h("input", { type: "search", value: this.asked.q, placeholder: "Name, kind, reason or code", "aria-label": "Search jobs", oninput: () => this.#ask({ q: search.value }) });
    this.nothing = h("section", { class: "empty", hidden: true });
    this.table = new Windowed({ label: "Jobs", columns: COLUMNS, kind: "jobs-table", key: (job) => job.id, row: { make, fill } });
    this.append(h("header", { class: "page-head" }, h("h1", { tabIndex: -1 }, "Jobs"), this.count),
      h("div", { class: "toolbar" }, h("div", { class: "search" }, icon("search"), search), this.chips),
      this.nothing, this.table.element);
    this.table.begin();
    this.table.rendered = () => this.#more();
    this.#list();
  }

  end() {
    this.table.end();
  }

  change({ jobs, listed }) {
    if (jobs.size || listed) this.#list();
  }

  tick() {
    this.table.render();
  }

  #ask(change) {
    Object.assign(this.asked, change);
    remember(this.asked);
    this.#list();
  }

  #list() {
    const all = store.newestJobs();
    this.#chips(all);
    const { q, state } = this.asked;
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    const found = !words.length && !state ? all : all.filter((job) => (!state || job.state === state) && matches(job, words));
    show(this.table.element, found.length > 0);
    this.table.items = found;
    say(this.count, store.loaded ? (found.length === all.length ? plural(all.length, "job") : `${found.length} of ${plural(all.length, "job")}`) : "");
    const empty = store.loaded && !found.length;
    show(this.nothing, empty);
    if (empty) this.#empty(all.length > 0);
  }

  #empty(filtered) {
    if (this.nothing.dataset.key === String(filtered)) return;
    this.nothing.dataset.key = String(filtered);
    if (filtered) {
      this.nothing.replaceChildren(icon("search"), h("h2", {}, "No job matches"), h("p", { class: "quiet" }, "Search for less, or show all again."),
        button("Show all", { onclick: () => { this.#ask({ q: "", state: "" }); this.querySelector("input").value = ""; } }));
    } else {
      this.nothing.replaceChildren(icon("jobs"), h("h2", {}, "No jobs yet"),
        h("p", { class: "quiet" }, "Whatever takes longer than a moment is a job: opening a camera, starting a file, changing a watermark."),
        store.can("control") && h("a", { class: "button strong", href: "/start" }, icon("start"), "Start something"));
    }
  }

  #chips(all) {
    const counts = { "": all.length };
    for (const { state } of all) counts[state] = (counts[state] ?? 0) + 1;
    const key = JSON.stringify([counts, this.asked.state]);
    if (key === this.chipped) return;
    this.chipped = key;
    const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.state : null;
    this.chips.replaceChildren(...["", ...Object.keys(STATES)].map((state) => h("button", {
      type: "button", class: "chip", data: { state }, "aria-pressed": String(this.asked.state === state),
      onclick: () => this.#ask({ state: this.asked.state === state ? "" : state }),
    }, state ? STATES[state][0] : "All", h("b", {}, String(counts[state] ?? 0)))));
    if (focused !== null) this.chips.querySelector(`[data-state="${focused}"]`)?.focus();
  }

  async #more() {
    if (this.#loading || !this.#older || !store.loaded || this.table.reached < 0.9) return;
    this.#loading = true;
    try {
      this.#older = await store.olderJobs();
      if (this.#older && this.isConnected) this.#list();
    } catch (error) {
      trouble(error);
    } finally {
      this.#loading = false;
    }
  }
}

function matches(job, words) {
  if (!words.length) return true;
  const text = `${jobTitle(job.kind)} ${job.kind} ${subject(job)} ${job.request?.body?.uri ?? ""} ${job.error?.code ?? ""} ${job.error?.detail ?? ""} ${job.id}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

customElements.define("rg-jobs", Jobs);

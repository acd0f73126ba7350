// The life of one job as it happens: its stages and how long each took, its place in the queue, its end and why.

import { call } from "./api.js";
import { button, h, here, mark, say, show } from "./dom.js";
import { trouble } from "./notes.js";
import { streamPath } from "./router.js";
import { store } from "./store.js";
import { STATES, codeWord, jobTitle, sentence, stageWord, subject, took } from "./words.js";

const ENDS = { DONE: "good", FAILED: "bad", CANCELLED: "warn" };

/** Whether it goes on. */
export function active(job) {
  return !(job.state in ENDS);
}

/** Milliseconds from its acceptance to its end, or to now. */
export function elapsed(job) {
  return active(job) ? job.elapsedMs + (Date.now() - (job.seenAt ?? Date.now())) : job.elapsedMs;
}

/** The stages, the newest with the time that has passed since the record came. */
export function stages(job) {
  const found = (job.stages ?? []).map((each) => ({ ...each }));
  if (active(job) && found.length) found.at(-1).ms += elapsed(job) - job.elapsedMs;
  return found;
}

/** The stages as one bar. */
export function phases(job) {
  const found = stages(job);
  const whole = found.reduce((sum, { ms }) => sum + ms, 0) || 1;
  const label = found.map(({ stage, ms }) => `${stageWord(stage)} ${took(ms)}`).join(", ");
  return h("div", { class: "phases", role: "img", "aria-label": label, title: label }, found.map(({ ms }) => {
    const part = h("i");
    part.style.flexGrow = String(Math.max(0.01, ms / whole));
    return part;
  }));
}

export async function cancel(job) {
  try {
    await call("/jobs/terminate", { id: job.id }, { prefer: "wait=0" });
  } catch (error) {
    trouble(error);
  }
}

/** `outcome`: what the call answered, in words, once it has. */
class JobLife extends HTMLElement {
  #job = null;

  connectedCallback() {
    this.badge = h("span", { class: "badge" });
    this.heading = h("h2", { class: "grow" });
    this.stop = button("Cancel", { kind: "danger", onclick: () => { this.stop.disabled = true; cancel(this.#job); } });
    this.steps = h("ol", { class: "steps" });
    this.gauge = h("i");
    this.clock = h("p", { class: "small quiet" });
    this.why = h("p", { class: "message", hidden: true });
    this.said = h("p", { class: "small", hidden: true });
    this.link = h("a", { class: "button strong", hidden: true });
    this.more = h("a", { class: "button plain" }, "All about this job");
    this.replaceChildren(
      h("div", { class: "row" }, this.heading, this.badge),
      h("div", { class: "meter", role: "presentation" }, this.gauge), this.clock, this.steps, this.why, this.said,
      h("div", { class: "row" }, this.link, this.stop, this.more));
    this.classList.add("stack");
    if (this.#job) this.update(this.#job);
  }

  /** Says what the call was answered. */
  answered(text) {
    say(this.said, text);
    show(this.said, true);
  }

  update(job) {
    this.#job = job;
    if (!this.badge) return;
    const [word, tone] = STATES[job.state];
    const going = active(job);
    say(this.badge, job.cancelRequested && going ? "Stopping" : word);
    mark(this.badge, "tone", tone);
    say(this.heading, `${jobTitle(job.kind)} ${subject(job)}`);
    const ms = elapsed(job);
    this.gauge.style.setProperty("--part", String(Math.min(1, ms / 1000 / job.timeout)));
    const queue = job.queuePosition ? `Number ${job.queuePosition} in the queue. ` : "";
    say(this.clock, `${queue}${took(Math.round(ms))} of at most ${job.timeout} s`);
    this.#stages(job, going);
    this.#end(job, going);
  }

  #stages(job, going) {
    const found = stages(job);
    while (this.steps.children.length > found.length) this.steps.lastChild.remove();
    found.forEach(({ stage, ms }, index) => {
      const last = index === found.length - 1;
      const row = this.steps.children[index] ?? this.steps.appendChild(h("li", {}, h("span"), h("span", { class: "quiet" })));
      say(row.firstChild, stageWord(last && going ? job.stage : stage));
      say(row.lastChild, took(Math.round(ms)));
      row.toggleAttribute("data-now", last && going);
      mark(row, "end", last && !going ? ENDS[job.state] : going && last ? "" : "done");
    });
  }

  #end(job, going) {
    show(this.stop, going && store.can("control"));
    if (job.cancelRequested) this.stop.disabled = true;
    show(this.why, Boolean(job.error));
    if (job.error) {
      say(this.why, `${sentence(job.error.detail)}${job.error.cause ? ` What was seen until then: ${codeWord(job.error.cause)} (${job.error.cause}).` : ""}`);
      mark(this.why, "tone", job.state === "CANCELLED" ? "warn" : "bad");
    }
    const name = job.result?.name;
    show(this.link, Boolean(name));
    if (name) {
      this.link.href = streamPath(name);
      say(this.link, `Watch ${name}`);
    }
    this.more.href = here(`/jobs/${job.id}`);
  }
}

customElements.define("rg-job-life", JobLife);

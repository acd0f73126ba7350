// What is known of streams and jobs: read once, then kept by server-sent events, told on once for each frame.

import { BASE, call } from "./api.js";

const MOST_JOBS = 12_000;
const PAGE = 1_000; // jobs that one call gives
const AGAIN = 2_000; // ms until a lost connection is tried again

/**
 * Events: `change` (detail: {streams, jobs: Sets of ids, listed: whether streams came, went or changed their status,
 * figures: whether there are new ones}), `connection`, `session`, `tick` (each second).
 */
class Store extends EventTarget {
  streams = new Map();
  jobs = new Map();
  session = null;
  connection = "connecting"; // or open, lost, shut (nobody is signed in)
  loaded = false;
  #source = null;
  #held = null; // events that come while everything is read
  #pending = empty();
  #frame = 0;
  #sorted = null;
  #back = null; // the creation of the oldest job that was read; older ones may be known by events

  async start() {
    setInterval(() => { if (!document.hidden) this.dispatchEvent(new Event("tick")); }, 1_000);
    await this.identify();
  }

  can(scope) {
    return this.session?.scopes.includes(scope) ?? false;
  }

  /** Asks who one is, until there is an answer, and begins or ends to listen. */
  async identify() {
    for (let session = null; !session; ) {
      try {
        session = this.session = (await call("/session")).body;
      } catch {
        this.#connected("lost");
        await new Promise((resolve) => setTimeout(resolve, AGAIN));
      }
    }
    this.dispatchEvent(new Event("session"));
    if (this.can("read")) this.#listen();
    else this.#shut();
  }

  async signIn(key) {
    await call("/session/start", { key });
    await this.identify();
  }

  async signOut() {
    await call("/session/end", {});
    this.#shut();
    await this.identify();
  }

  byName(name) {
    for (const stream of this.streams.values()) if (stream.name === name) return stream;
    return null;
  }

  /** All jobs, newest first. */
  newestJobs() {
    this.#sorted ??= [...this.jobs.values()].sort((one, other) => (one.createdAt < other.createdAt ? 1 : one.createdAt > other.createdAt ? -1 : 0));
    return this.#sorted;
  }

  /** Reads jobs older than those that are known; false when there are none. */
  async olderJobs() {
    if (!this.#back || this.jobs.size >= MOST_JOBS) return false;
    const known = this.jobs.size;
    const { body } = await call("/jobs/find", { until: this.#back, limit: PAGE });
    for (const job of body) this.#job(job);
    this.#back = body.at(-1)?.createdAt;
    return this.jobs.size > known;
  }

  #listen() {
    this.#source?.close();
    this.#connected("connecting");
    const source = new EventSource(`${BASE}/events?figures=true`);
    source.onopen = () => this.#connected("open");
    source.onerror = () => this.#lost(source);
    source.addEventListener("job", (event) => this.#take("job", event));
    source.addEventListener("stream", (event) => this.#take("stream", event));
    source.addEventListener("figures", (event) => this.#take("figures", event));
    source.addEventListener("reset", () => this.#read());
    this.#source = source;
    this.#read();
  }

  #lost(source) {
    this.#connected("lost");
    if (source.readyState !== EventSource.CLOSED) return; // the browser comes back by itself, with Last-Event-ID
    setTimeout(() => { if (this.#source === source) this.identify(); }, AGAIN);
  }

  #shut() {
    this.#source?.close();
    this.#source = null;
    this.streams.clear();
    this.jobs.clear();
    this.#sorted = null;
    this.loaded = false;
    this.#connected("shut");
  }

  /** Everything anew. What happens meanwhile is put on top of it. */
  async #read() {
    const held = (this.#held = []);
    try {
      const [streams, jobs] = await Promise.all([call("/stream/find_all"), call(`/jobs/find_all?limit=${PAGE}`)]);
      if (this.#held !== held) return; // begun again meanwhile
      this.streams = new Map(streams.body.map((stream) => [stream.id, stream]));
      this.jobs = new Map(jobs.body.map((job) => [job.id, job]));
      this.#sorted = null;
      this.#back = jobs.body.at(-1)?.createdAt;
      this.loaded = true;
      for (const id of this.streams.keys()) this.#pending.streams.add(id);
      for (const id of this.jobs.keys()) this.#pending.jobs.add(id);
      this.#pending.listed = true;
    } catch (error) {
      if (error.status === 401) await this.identify();
      else setTimeout(() => { if (this.#held === held) this.#read(); }, AGAIN);
      return;
    }
    this.#held = null;
    for (const [type, record] of held) this.#apply(type, record);
    this.#soon();
  }

  #take(type, event) {
    const record = JSON.parse(event.data);
    if (this.#held) this.#held.push([type, record]);
    else this.#apply(type, record);
  }

  #apply(type, record) {
    if (type === "job") this.#job(record);
    else if (type === "stream") this.#stream(record);
    else this.#figures(record);
    this.#soon();
  }

  #job(record) {
    const known = this.jobs.get(record.id);
    if (known && known.revision >= record.revision) return;
    record.seenAt = Date.now();
    this.jobs.set(record.id, record);
    this.#sorted = null;
    this.#pending.jobs.add(record.id);
    if (this.jobs.size > MOST_JOBS) this.jobs.delete(this.newestJobs().at(-1).id);
  }

  #stream(record) {
    const known = this.streams.get(record.id);
    if (record.status === "STOPPED") this.streams.delete(record.id);
    else this.streams.set(record.id, record);
    // The end of one that is not known any more says nothing of the one that has its name now.
    const namesake = !known && record.status !== "STOPPED" && [...this.streams.values()].find((each) => each.name === record.name && each.id !== record.id);
    if (namesake) this.streams.delete(namesake.id); // a failed one gives way without a word
    this.#pending.streams.add(record.id);
    this.#pending.listed = true;
  }

  #figures({ streams }) {
    for (const newest of streams) {
      const stream = this.streams.get(newest.id);
      if (stream) Object.assign(stream, newest);
    }
    this.#pending.figures = true;
  }

  /** One frame, one change, however much happened in it. */
  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      const detail = this.#pending;
      [this.#frame, this.#pending] = [0, empty()];
      performance.mark("update-begins");
      this.dispatchEvent(new CustomEvent("change", { detail }));
      performance.measure("update", "update-begins");
      performance.clearMarks("update-begins");
    });
  }

  #connected(state) {
    if (state === this.connection) return;
    this.connection = state;
    this.dispatchEvent(new Event("connection"));
  }
}

function empty() {
  return { streams: new Set(), jobs: new Set(), listed: false, figures: false };
}

export const store = new Store();

/** An element that hears of the store for as long as it is in the document. `hears`: event -> method's name. */
export class Hearing extends HTMLElement {
  static hears = {};
  #signal = null;

  connectedCallback() {
    this.#signal = new AbortController();
    for (const [event, method] of Object.entries(this.constructor.hears)) {
      store.addEventListener(event, (told) => this[method](told.detail), { signal: this.#signal.signal });
    }
    this.begin?.();
  }

  disconnectedCallback() {
    this.#signal.abort();
    this.end?.();
  }
}

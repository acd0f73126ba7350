// Speaking with the gateway: calls, uploads, and the same as a curl command.

import { PREFIX } from "./dom.js";

export const BASE = `${PREFIX}/rest-api/v3`;

/** An answer that is an error: RFC 9457, with `code` and `detail`. */
export class Problem extends Error {
  constructor(document, status) {
    super(document.detail ?? document.title ?? `The gateway answered ${status}.`);
    this.code = document.code ?? "";
    this.title = document.title ?? "";
    this.status = status;
    this.job = document.job ?? null;
    this.errors = document.errors ?? [];
  }
}

/** What an answer says that is none of the gateway's, as of a proxy in front: in words, with what to change. */
function foreign(status) {
  const detail = {
    413: "A proxy in front of the gateway does not let so large a file pass. Raise its limit: client_max_body_size of nginx, LimitRequestBody of Apache.",
    502: "A proxy in front of the gateway did not reach it.",
    504: "A proxy in front of the gateway did not wait for its answer.",
  }[status];
  return { detail: detail ?? `Something in front of the gateway answered ${status}.` };
}

/** A call; gives {status, body, jobId, ms}. Throws `Problem`, or a TypeError when the gateway does not answer. */
export async function call(path, body, { prefer, method, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (prefer) headers.Prefer = prefer;
  const began = performance.now();
  const answer = await fetch(BASE + path, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    signal,
  });
  const told = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok || (told === null && answer.status !== 204)) throw new Problem(told ?? foreign(answer.status), answer.status);
  return { status: answer.status, body: told, jobId: answer.headers.get("Job-Id"), ms: performance.now() - began };
}

/** Sends a file into the media folder; `progress` hears of parts from 0 to 1. */
export function upload(name, file, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch tells nothing of what is on its way
    request.open("PUT", `${BASE}/media/${name.split("/").map(encodeURIComponent).join("/")}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Problem(request.response ?? foreign(request.status), request.status));
    };
    request.onerror = () => reject(new Error("The connection broke while the file was being sent."));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** What `call` with these arguments is on a command line. */
export function curl(path, body, prefer) {
  const lines = [`curl -i ${location.origin}${BASE}${path}`, "-H 'Content-Type: application/json'"];
  if (prefer) lines.push(`-H 'Prefer: ${prefer}'`);
  lines.push(`-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
  return lines.join(" \\\n  ");
}

/** Where a file of the media folder is read. */
export function mediaPath(name) {
  return `${BASE}/media/${name.split("/").map(encodeURIComponent).join("/")}`;
}

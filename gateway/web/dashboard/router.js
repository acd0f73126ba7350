// Which page belongs to which address; links within the dashboard change the page and load nothing.

import { PREFIX, h, here } from "./dom.js";

// [pattern, element, title]
const ROUTES = [
  [/^\/$/, "rg-overview", "Streams"],
  [/^\/streams\/(?<name>[^/]+)$/, "rg-stream", "Stream"],
  [/^\/start(?:\/(?<what>camera|file|watermark))?$/, "rg-start", "Start"],
  [/^\/jobs$/, "rg-jobs", "Jobs"],
  [/^\/jobs\/(?<id>[0-9a-f]{32})$/, "rg-job", "Job"],
  [/^\/access$/, "rg-access", "Access"],
  [/^\/api$/, "rg-api", "API"],
];

let outlet = null;
let allowed = (tag) => tag; // which element is shown to whom

/** The path in the dashboard, below whatever prefix. */
function place(path) {
  return path.startsWith(`${PREFIX}/`) ? path.slice(PREFIX.length) : path;
}

function match(path) {
  for (const [pattern, tag, title] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return { tag, title, params: mapped(found.groups ?? {}) };
  }
  return null;
}

function mapped(groups) {
  return Object.fromEntries(Object.entries(groups).map(([key, value]) => [key, value && decodeURIComponent(value)]));
}

function render(moved) {
  const found = match(place(location.pathname));
  const page = found ? Object.assign(document.createElement(allowed(found.tag)), { params: found.params }) : missing();
  document.title = `${found?.params.name ?? found?.title ?? "Not found"} · Reelgate`;
  outlet.replaceChildren(page);
  for (const link of document.querySelectorAll("a[data-nav]")) {
    const here = link.dataset.nav === (place(location.pathname).split("/")[1] || "streams");
    link.toggleAttribute("aria-current", here);
    if (here) link.setAttribute("aria-current", "page");
  }
  if (!moved) return;
  scrollTo(0, 0);
  outlet.querySelector("h1")?.focus({ preventScroll: true });
}

function missing() {
  return h("section", { class: "empty" }, h("h1", { tabIndex: -1 }, "There is no such page"), h("p", {}, h("a", { href: "/" }, "All streams")));
}

/** Goes to an address of the dashboard. */
export function go(path) {
  if (here(path) === location.pathname + location.search) return;
  history.pushState(null, "", here(path));
  render(true);
}

/** Puts a page's own state into the address, for a reload and for a bookmark. */
export function remember(values) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
}

export function streamPath(name) {
  return here(`/streams/${encodeURIComponent(name)}`);
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || link.target || link.hasAttribute("download") || !match(place(url.pathname))) return;
  event.preventDefault();
  go(url.pathname + url.search);
}

/** `guard`: an element's name -> the name of that which is shown in its place to who may not see it. */
export function begin(element, guard) {
  const mark = document.querySelector("link[rel=icon]");
  mark.href = new URL(mark.href).href; // it is looked up anew from each page's address
  outlet = element;
  allowed = guard;
  document.addEventListener("click", follow);
  addEventListener("popstate", () => render(true));
  render(false);
}

export function refresh() {
  render(false);
}

// Making elements and changing their text, with as few touches of the document as can be.

const SVG = "http://www.w3.org/2000/svg";

// 24 by 24, drawn with a stroke.
const ICONS = {
  streams: "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z",
  start: "M12 5v14M5 12h14",
  jobs: "M9 6h11M9 12h11M9 18h11M4 6h.01M4 12h.01M4 18h.01",
  api: "M8 7l-5 5 5 5M16 7l5 5-5 5M13.5 5l-3 14",
  access: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.500 20a7.500 7.500 0 0 1 15 0",
  wall: "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z",
  table: "M4 6h16M4 12h16M4 18h16",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4",
  camera: "M4 8h11v9H4zM15 11l5-3v9l-5-3",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  mark: "M12 3l2.500 5.500 6 .6-4.500 4 1.300 5.900L12 16l-5.300 3 1.300-5.900-4.500-4 6-.6z",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.500 9h.01",
  stop: "M6 6h12v12H6z",
  pause: "M8 5v14M16 5v14",
  play: "M7 4v16l13-8z",
  copy: "M8 8h11v12H8zM5 16V4h11",
  back: "M15 5l-7 7 7 7",
  open: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  viewers: "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12zM12 9.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5z",
  restart: "M4.500 12a7.500 7.500 0 1 0 2.400-5.500L4 9M4 4v5h5",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  close: "M6 6l12 12M18 6L6 18",
  upload: "M12 16V4M7 9l5-5 5 5M4 20h16",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  sound: "M4 9v6h4l5 4V5L8 9zM16.500 8.500a5 5 0 0 1 0 7",
  silent: "M4 9v6h4l5 4V5L8 9zM16.500 9.500l5 5M21.500 9.500l-5 5",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M19 5l-2 2M7 17l-2 2",
  dark: "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500z",
  auto: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18",
};

/** The path prefix below which a proxy shows the gateway: "" as a rule. */
export const PREFIX = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** An address of the gateway's, as it is here. One that the gateway has told may have the prefix already. */
export function here(path) {
  return path.startsWith("/") && !path.startsWith(`${PREFIX}/`) ? PREFIX + path : path;
}

/** An element: properties by name, `on…` as listeners, `data…` as data attributes, anything else as an attribute; an
 * `href` or `src` that begins with a slash begins at the gateway's root.
 */
export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if ((name === "href" || name === "src") && String(value).startsWith("/")) made.setAttribute(name, here(value));
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name in made && !name.includes("-") && name !== "list" && name !== "form") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** An SVG element with attributes. */
export function draw(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Changes a text only when it is another one: an untouched node costs no layout. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The same for a data attribute. */
export function mark(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

export function button(label, { picture, kind = "", ...properties } = {}) {
  return h("button", { type: "button", class: `button ${kind}`, ...properties }, picture && icon(picture), h("span", {}, label));
}

/** A row of a description list whose value changes: [element, value]. */
export function fact(term) {
  const value = h("dd", {}, "–");
  return [h("div", { class: "fact" }, h("dt", {}, term), value), value];
}

let counted = 0;

/** An id for a label and what it labels. */
export function unique(prefix) {
  counted += 1;
  return `${prefix}-${counted}`;
}

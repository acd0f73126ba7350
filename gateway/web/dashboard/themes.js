// The switch between light, dark and what the system says.

import { h, icon, unique } from "./dom.js";

const THEMES = [["auto", "As the system"], ["light", "Light"], ["dark", "Dark"]];

export function themes() {
  const name = unique("theme");
  const now = document.documentElement.dataset.theme;
  const choose = (event) => {
    document.documentElement.dataset.theme = event.target.value;
    localStorage.setItem("reelgate-theme", event.target.value);
  };
  return h("div", { class: "themes", role: "radiogroup", "aria-label": "Light or dark" }, THEMES.map(([value, title]) =>
    h("label", { title },
      h("input", { type: "radio", name, value, checked: value === now, "aria-label": title, onchange: choose }), icon(value))));
}

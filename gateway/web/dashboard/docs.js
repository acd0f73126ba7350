// The description of the API, inside the dashboard.

import { h, icon } from "./dom.js";

class Docs extends HTMLElement {
  connectedCallback() {
    this.append(
      h("header", { class: "page-head" }, h("h1", { tabIndex: -1 }, "API"), h("span", { class: "grow" }),
        h("a", { class: "button", href: "/openapi.json", target: "_blank", rel: "noopener" }, "OpenAPI document"),
        h("a", { class: "button", href: "/docs", target: "_blank", rel: "noopener" }, icon("open"), "In a window of its own")),
      h("iframe", { class: "docs", src: "/docs", title: "Description of the API" }));
  }
}

customElements.define("rg-api", Docs);

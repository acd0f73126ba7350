// Shows the gateway's own OpenAPI document; nothing is asked of any other server.
const description = new URL("../openapi.json", document.currentScript.src).href;
const dark = matchMedia("(prefers-color-scheme: dark)");

// As the dashboard's switch says, which frames this page.
function shade() {
  const chosen = localStorage.getItem("reelgate-theme") ?? "auto";
  document.documentElement.classList.toggle("dark-mode", chosen === "dark" || (chosen === "auto" && dark.matches));
}

shade();
dark.addEventListener("change", shade);
window.addEventListener("storage", shade);
window.addEventListener("DOMContentLoaded", () => {
  window.SwaggerUIBundle({
    url: description,
    dom_id: "#docs",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    persistAuthorization: false,
    queryConfigEnabled: false,
    validatorUrl: null,
    presets: [window.SwaggerUIBundle.presets.apis],
  });
});

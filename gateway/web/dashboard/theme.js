// Light or dark, before the first paint: what the switch was set to counts more than what the system says.
document.documentElement.dataset.theme = localStorage.getItem("reelgate-theme") ?? "auto";

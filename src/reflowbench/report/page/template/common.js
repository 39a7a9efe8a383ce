// What the scripts share: the data, the reader's choices, the theme.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const choices = { nfe: Number(byId("nfe").value), hidden: [] };
const listeners = { choice: [], theme: [] };
const tell = (kind) => listeners[kind].forEach((listener) => listener());

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Colours are computed by the browser, since a custom property holds both those of the light and of the dark theme.
function colour(name) {
  const probe = make("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const preference = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (preference.matches ? "dark" : "light")) === "dark";

function showTheme() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", isDark() ? "Use the light theme" : "Use the dark theme");
  tell("theme");
}

function rememberedTheme() {
  try {
    return localStorage.getItem("reflowbench-theme");
  } catch {
    return null; // a browser may refuse storage to files
  }
}

const remembered = rememberedTheme();
if (remembered === "dark" || remembered === "light") document.documentElement.dataset.theme = remembered;
byId("theme").hidden = false;
byId("theme").addEventListener("click", () => {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("reflowbench-theme", next);
  } catch {
    // The choice then lasts as long as the page.
  }
  showTheme();
});
preference.addEventListener("change", showTheme);

byId("nfe").addEventListener("change", (event) => {
  choices.nfe = Number(event.target.value);
  document.querySelectorAll("tr[data-nfe]").forEach((row) => {
    row.hidden = Number(row.dataset.nfe) !== choices.nfe;
  });
  tell("choice");
});
document.querySelectorAll("button[data-method]").forEach((button) => {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    choices.hidden = [...document.querySelectorAll('button[data-method][aria-pressed="false"]')].map(
      (other) => other.dataset.method,
    );
    tell("choice");
  });
});

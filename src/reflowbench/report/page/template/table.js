// The table of all results: filtered and sorted here, one page of rows in the document at a time.
const PAGE = 25;
const TITLES = {
  metric: "metric", method: "method", seed: "seed", round: "round k", nfe: "NFE", text: "mean ± half width",
  value: "value", error: "error over samples", missing: "missing because", solver: "solver", features: "features",
  n_samples: "samples",
};
const WORDS = new Set(["metric", "method", "solver", "features", "missing"]);
const state = { view: "means", page: 0, sort: null, descending: false, filters: {} };

function column(name) {
  const found = data.tables[state.view][name];
  return found.values ?? found.codes.map((code) => found.levels[code]);
}
// A mean is sorted by its number, and shown with its interval.
const keyOf = (name) => (name === "text" ? "mean" : name);
const shownNfe = (nfe) => (nfe === -1 ? "adaptive" : nfe === 0 ? "–" : String(nfe));

let columns, order;
function load() {
  columns = Object.fromEntries(Object.keys(data.tables[state.view]).map((name) => [name, column(name)]));
  if (!(state.sort in columns)) state.sort = null;
  for (const select of document.querySelectorAll("[data-filter]")) {
    const name = select.dataset.filter;
    const values = [...new Set(columns[name])];
    if (!WORDS.has(name)) values.sort((a, b) => a - b);
    const kept = values.some((value) => String(value) === state.filters[name]) ? state.filters[name] : "";
    const labels = values.map((value) => (name === "nfe" ? shownNfe(value) : String(value)));
    const options = values.map((value, i) => make("option", { value: String(value), textContent: labels[i] }));
    select.replaceChildren(make("option", { value: "", textContent: "all" }), ...options);
    select.value = state.filters[name] = kept;
  }
}

function arrange() {
  const active = Object.entries(state.filters).filter(([, value]) => value !== "");
  order = columns.metric.map((_, i) => i).filter((i) => active.every(([name, value]) => String(columns[name][i]) === value));
  if (state.sort) {
    const key = columns[keyOf(state.sort)];
    const sign = state.descending ? -1 : 1;
    order.sort((a, b) => {
      if (key[a] === null || key[b] === null) return (key[a] === null) - (key[b] === null); // missing values last
      return sign * (typeof key[a] === "number" ? key[a] - key[b] : key[a].localeCompare(key[b]));
    });
  }
  state.page = Math.min(state.page, Math.max(0, Math.ceil(order.length / PAGE) - 1));
}

function headerCell(name) {
  const active = state.sort === name;
  const arrow = active ? (state.descending ? " ↓" : " ↑") : "";
  const button = make("button", { type: "button", textContent: TITLES[name] + arrow });
  button.addEventListener("click", () => {
    state.descending = active && !state.descending;
    state.sort = name;
    state.page = 0;
    refresh();
    byId("results").querySelector(`th[data-column="${name}"] button`).focus();
  });
  const cell = make("th", { scope: "col", className: WORDS.has(name) ? "text" : "" }, button);
  cell.dataset.column = name;
  if (active) cell.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
  return cell;
}

function cellText(name, i) {
  const value = columns[name][i];
  if (name === "nfe") return state.view === "means" ? shownNfe(value) : value === 0 ? "–" : String(value);
  if (name === "value" && value === null) return "missing";
  if (name === "n_samples" && value === 0) return "–";
  return value === null ? "" : String(value);
}

function refresh() {
  arrange();
  // The reason has a column only where there is one.
  const names = Object.keys(TITLES).filter((name) => name in columns && (name !== "missing" || columns.missing.some(Boolean)));
  const rows = order.slice(state.page * PAGE, (state.page + 1) * PAGE).map((i) =>
    make("tr", {}, ...names.map((name) =>
      make("td", { textContent: cellText(name, i), className: WORDS.has(name) ? "text" : "" }))));
  const head = make("thead", {}, make("tr", {}, ...names.map(headerCell)));
  byId("results").replaceChildren(head, make("tbody", {}, ...rows));
  const pages = Math.max(1, Math.ceil(order.length / PAGE));
  byId("count").textContent = `${order.length} of ${columns.metric.length} rows`;
  byId("page").textContent = `Page ${state.page + 1} of ${pages}`;
  byId("previous").disabled = state.page === 0;
  byId("next").disabled = state.page + 1 >= pages;
}

byId("view").addEventListener("change", (event) => {
  Object.assign(state, { view: event.target.value, page: 0 });
  load();
  refresh();
});
for (const select of document.querySelectorAll("[data-filter]")) {
  select.addEventListener("change", () => {
    state.filters[select.dataset.filter] = select.value;
    state.page = 0;
    refresh();
  });
}
for (const [id, step] of [["previous", -1], ["next", 1]]) {
  byId(id).addEventListener("click", () => {
    state.page += step;
    refresh();
  });
}
load();
refresh();

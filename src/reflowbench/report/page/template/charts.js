// Charts by Vega-Lite; what they look like in the theme at hand.
const views = new Map();

function config() {
  const [ink, muted, line] = ["--ink", "--muted", "--line"].map(colour);
  return {
    background: "transparent",
    font: getComputedStyle(document.body).fontFamily,
    axis: {
      labelColor: muted, titleColor: ink, domainColor: line, tickColor: line, gridColor: line, gridOpacity: 0.6,
      labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, titlePadding: 8, labelFlush: false,
    },
    axisX: { labelOverlap: true },
    axisY: { domain: false, ticks: false, tickCount: 5, labelOverlap: true },
    view: { stroke: null },
    style: {
      curve: { strokeWidth: 2 },
      marker: { filled: true, size: 75, opacity: 1 },
      interval: { strokeWidth: 1.5, opacity: 0.75 },
      frontier: { color: line, strokeWidth: 12 },
      base: { color: muted, strokeDash: [6, 4], strokeWidth: 1.5 },
      real: { color: muted, strokeDash: [1.5, 3.5], strokeWidth: 2 },
      round: { align: "left", dx: 7, dy: -8, fontSize: 11 },
    },
  };
}

// Colours that depend on the theme: on a dark page, black, dark blue and dark red would be hard to see.
function themed(spec) {
  const own = {
    "@muted": colour("--muted"), "#000000": colour("--ink"), "#0072B2": colour("--blue"), "#882255": colour("--red"),
  };
  return JSON.parse(JSON.stringify(spec), (_, value) => (typeof value === "string" ? (own[value] ?? value) : value));
}

async function draw(place) {
  const spec = themed(data.charts[place.dataset.chart]);
  spec.height = place.closest(".small") ? 220 : 320;
  spec.params = spec.params.map((param) => ({ ...param, value: choices[param.name] }));
  views.get(place)?.finalize();
  const made = await window.vegaEmbed(place, spec, {
    mode: "vega-lite",
    renderer: "svg",
    actions: false,
    ast: true, // the page's policy forbids code made from text
    config: config(),
    tooltip: { theme: "custom", disableDefaultStyle: true },
  });
  views.set(place, made);
  place.dataset.drawn = isDark() ? "dark" : "light";
}

const places = [...document.querySelectorAll(".chart")];
const drawAll = () => Promise.all(places.map(draw));
listeners.theme.push(drawAll);
listeners.choice.push(() => {
  for (const { view } of views.values()) view.signal("nfe", choices.nfe).signal("hidden", choices.hidden).runAsync();
});
showTheme();

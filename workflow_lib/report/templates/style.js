// Colours, symbols and the layout that all plots share. Colours come from the style sheet, so that dark and print follow.

// Seven colours that colour-blind readers can tell apart (after Okabe & Ito), times six symbols: 42 looks for bins.
const BIN_COLOURS = {
  light: ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#8a7a00"],
  dark: ["#4aa8e0", "#f0b429", "#2fbf94", "#f08a3c", "#9ad7fa", "#dd9cc0", "#cfc04a"],
};
const BIN_SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "star"];
const GROUP_SYMBOLS = { known: "circle", novel: "diamond", ambiguous: "square", none: "x-thin-open" };
const GROUP_LABELS = { known: "known", ambiguous: "ambiguous", novel: "novel", none: "no call" };
const GROUP_ORDER = ["known", "ambiguous", "novel", "none"];

function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function isDark() {
  const forced = document.documentElement.dataset.theme;
  return forced !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function binLook(index) {
  const colours = BIN_COLOURS[isDark() ? "dark" : "light"];
  return {
    color: colours[index % colours.length],
    symbol: BIN_SYMBOLS[Math.floor(index / colours.length) % BIN_SYMBOLS.length],
  };
}

// Plotly reads a little HTML in its texts; names must not be read so.
function escapeText(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function axis(title, extra = {}) {
  return {
    title: { text: title, standoff: 8 }, gridcolor: cssColour("grid"), linecolor: cssColour("line"),
    zerolinecolor: cssColour("line"), automargin: true, ...extra,
  };
}

function layout(extra = {}) {
  return {
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: cssColour("text") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 60, r: 28, t: 48, b: 48 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: cssColour("none"), activecolor: cssColour("text") },
    hoverlabel: { bgcolor: cssColour("panel"), bordercolor: cssColour("line"), font: { color: cssColour("text") }, align: "left" },
    legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", traceorder: "normal", font: { size: 12 } },
    bargap: 0.08,
    ...extra,
  };
}

// Draw a plot, or hide its figure where there is nothing to draw; `summary` is what a screen reader says.
function drawPlot(id, traces, plotLayout, caption, summary) {
  const place = document.getElementById(id);
  const figure = place.closest("figure");
  figure.hidden = traces === null;
  if (traces === null) {
    Plotly.purge(place);
    return;
  }
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", summary || caption);
  document.getElementById(id.replace("plot-", "caption-")).textContent = caption;
  Plotly.react(place, traces, plotLayout, {
    displaylogo: false,
    responsive: true,
    plotlyServerURL: "", // nothing of a sample may leave the page
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: `novabin_${id.replace("plot-", "")}` },
  });
}

function plural(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

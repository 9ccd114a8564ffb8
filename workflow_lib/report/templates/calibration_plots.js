// Does the error rate hold: the calibration tried on clades of the reference that it did not see.

const RATE = { level: 0, stratum: 1, rank: 2, alpha: 3, units: 4, queries: 5, realised: 6, error: 7, pNull: 8, power: 9 };

function calibrationKinds() {
  return [...new Set(run.calibration.rates.map((row) => `${row[RATE.level]}\t${row[RATE.stratum]}`))];
}

function kindLabel(kind) {
  const [level, stratum] = kind.split("\t");
  return level === "bin" ? "bins" : `contigs of ${stratum} bp`;
}

function drawRates(kind) {
  const rows = run.calibration.rates.filter((row) => `${row[RATE.level]}\t${row[RATE.stratum]}` === kind);
  const ranks = [...new Set(rows.map((row) => row[RATE.rank]))];
  const line = (name, value, error) => ranks.map((rank, index) => {
    const own = rows.filter((row) => row[RATE.rank] === rank);
    return {
      type: "scatter", mode: "lines+markers", name: rank, x: own.map((row) => row[RATE.alpha]), y: own.map((row) => row[value]),
      line: { color: binLook(index).color }, marker: { color: binLook(index).color, symbol: BIN_SYMBOLS[index % BIN_SYMBOLS.length], size: 9 },
      error_y: error === null ? undefined : { array: own.map((row) => 2 * row[error]), thickness: 1, width: 4 },
      hovertemplate: `${name} %{y:.3f} at %{x}, ${rank}<extra></extra>`,
    };
  });
  const nominal = { type: "scatter", mode: "lines", name: "nominal", x: [0, 0.22], y: [0, 0.22], line: { color: cssColour("none"), dash: "dash" }, hoverinfo: "skip" };
  const range = { range: [0, 0.22], tickvals: [0.05, 0.1, 0.2] };
  const traces = ranks.length ? [nominal, ...line("realised", RATE.realised, RATE.error)] : null;
  drawPlot("plot-rates", traces, layout({ xaxis: axis("nominal false discovery rate", range), yaxis: axis("realised", { rangemode: "tozero" }) }),
    `Realised false discovery rate on clades held out of the calibration, ${kindLabel(kind)}, with two standard errors. On or below the dashed line is what is promised.`);
  const power = ranks.length ? line("found", RATE.power, null) : null;
  drawPlot("plot-power", power, layout({ xaxis: axis("nominal false discovery rate", range), yaxis: axis("share found", { range: [-0.02, 1.02] }) }),
    `How many of the truly novel queries are found, ${kindLabel(kind)}, half of the queries being novel; known: how many of those whose species is in the index. Little is found where the calibration has few units.`);
}

function drawDensities(kind) {
  const densities = run.calibration.distances[kind.split("\t")[1]];
  if (!densities) {
    drawPlot("plot-densities", null);
    return;
  }
  const names = Object.keys(densities);
  const traces = names.map((name, index) => ({
    type: "scatter", mode: "lines", name: index ? `without its ${name}` : "in the index, without itself", fill: "tozeroy",
    x: densities[name].density.map((_, i) => (densities[name].edges[i] + densities[name].edges[i + 1]) / 2), y: densities[name].density,
    line: { color: binLook(index).color, shape: "spline", smoothing: 0.6 }, opacity: 0.9, fillcolor: `${binLook(index).color}22`,
    hovertemplate: `distance %{x:.3f}<br>density %{y:.2f}, without ${name}<extra></extra>`,
  }));
  drawPlot("plot-densities", traces, layout({ xaxis: axis("distance to the nearest reference genome"), yaxis: axis("density") }),
    `Distances in and out of the index's domain: pieces of reference genomes (${kindLabel(kind)}) searched without their own genome, species, and so on up. Where the curves lie over each other, distance cannot tell novel from known.`);
}

function drawIdentities() {
  const { genomes, distance, ani } = run.calibration.identities;
  const found = ani.map((value, index) => index).filter((index) => ani[index] !== null);
  const boundary = { type: "line", x0: 95, x1: 95, y0: 0, y1: 1, yref: "paper", line: { color: cssColour("none"), dash: "dash" } };
  const trace = {
    type: "scatter", mode: "markers", x: found.map((index) => ani[index]), y: found.map((index) => distance[index]),
    text: found.map((index) => escapeText(genomes[index])), marker: { color: cssColour("known"), size: 7, opacity: 0.75 },
    hovertemplate: "%{text}<br>ANI %{x:.1f}%, distance %{y:.3f}<extra></extra>",
  };
  drawPlot("plot-ani", found.length ? [trace] : null, layout({ xaxis: axis("average nucleotide identity (%)"), yaxis: axis("distance in the embedding"), shapes: [boundary], showlegend: false }),
    `Distance of a reference genome to its nearest against their identity (skani); ${plural(ani.length - found.length, "further pair")} too far apart for it. The dashed line is the usual species boundary.`);
}

function drawCalibrationTables() {
  drawTable(place("strata"), {
    caption: "What a call can rest on: calibration units, and the smallest p that they can ever give: the smallest q where every query counts alike (novelty.fdr: benjamini_hochberg), which adaptive can lower.",
    columns: [
      { label: "level", kind: "text", title: "contig or bin" }, { label: "stratum", kind: "text", title: "length in bp; bins: class:contigs" },
      { label: "test", kind: "text", title: "rank whose taxon is taken to be in the index; reference: any genome like it; known: the opposite test" },
      { label: "units", kind: "integer", title: "genomes or clades" }, { label: "smallest p", kind: "decimal", title: "1 / (units + 1)" },
    ],
    rows: run.calibration.strata,
  });
}

function drawCalibration() {
  const kind = document.getElementById("calibration-kind").value;
  if (kind) {
    drawRates(kind);
    drawDensities(kind);
  }
  drawIdentities();
}

function startCalibration() {
  const select = document.getElementById("calibration-kind");
  select.replaceChildren(...calibrationKinds().map((kind) => element("option", { value: kind }, kindLabel(kind))));
  select.addEventListener("change", drawCalibration);
  show("calibration-controls", select.options.length > 0);
  ["rates", "power", "densities"].forEach((name) => { document.getElementById(`plot-${name}`).closest("figure").hidden = !select.options.length; });
  drawCalibrationTables();
}

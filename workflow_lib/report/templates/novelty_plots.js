// Plots of the novelty stage: calls, distances, distance against length, p values.

const LENGTH_TICKS = [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7];
// What the p value of a test supposes: as the choice is written, and as a sentence goes on.
const HYPOTHESES = {
  known: ["species not in the reference", "the contig's species is not in the reference"],
  reference: ["as near as the references are", "the contig is as near to the reference as its genomes are to each other"],
};

function hypothesis(name) {
  return HYPOTHESES[name] || [`${name} in the reference`, `the contig's ${name} is in the reference`];
}

// Calls of one group, novel at six ranks, share a colour.
function callPattern(index) {
  const shape = ["", "/", "x", ".", "-", "|"][index % 6];
  return { shape, fillmode: "overlay", fgcolor: cssColour("page"), fgopacity: 0.7, size: 7, solidity: 0.3 };
}

function drawCalls(novelty) {
  const rows = novelty.calls;
  if (!rows.length) {
    drawPlot("plot-calls", null);
    return;
  }
  const totals = ["bins", "bp", "contigs"].map((key) => rows.reduce((sum, row) => sum + row[key], 0) || 1);
  const sameGroup = {};
  const traces = rows.map((row) => {
    const group = callGroup(row.call);
    const index = sameGroup[group] = (sameGroup[group] ?? -1) + 1;
    const shown = [plural(row.bins, "bin"), formatBasePairs(row.bp), plural(row.contigs, "contig")];
    return {
      type: "bar", orientation: "h", name: escapeText(row.call), y: ["bins", "base pairs", "contigs"],
      x: ["bins", "bp", "contigs"].map((key, i) => row[key] / totals[i]), hoverinfo: "text",
      hovertext: shown.map((text) => `${escapeText(row.call)}: ${text}`),
      marker: { color: cssColour(group), pattern: callPattern(index), line: { color: cssColour("page"), width: 1 } },
    };
  });
  drawPlot("plot-calls", traces, layout({
    barmode: "stack", xaxis: axis("", { tickformat: ".0%", range: [0, 1] }), yaxis: { automargin: true },
    margin: { l: 60, r: 28, t: 28, b: 40 }, legend: { orientation: "h", x: 0, y: -0.1, yanchor: "top", traceorder: "normal", font: { size: 12 } },
  }), "Calls by share of the bins, of the base pairs and of the contigs.");
}

function drawDistances(novelty) {
  const found = novelty.distances;
  if (!found) {
    drawPlot("plot-distances", null);
    return;
  }
  const { edges, counts } = found;
  const key = (group) => (group === "none" ? "no call" : group);
  const traces = GROUP_ORDER.filter((group) => counts[key(group)]).map((group) => ({
    type: "bar", name: GROUP_LABELS[group], x: counts[key(group)].map((_, i) => (edges[i] + edges[i + 1]) / 2), y: counts[key(group)],
    width: counts[key(group)].map((_, i) => edges[i + 1] - edges[i]), marker: { color: cssColour(group) },
    hovertemplate: `distance %{x:.3f}<br>%{y:,} contigs, ${GROUP_LABELS[group]}<extra></extra>`,
  }));
  drawPlot("plot-distances", traces, layout({ barmode: "stack", xaxis: axis("distance to the nearest reference genome"), yaxis: axis("contigs") }),
    "Distance of all contigs to the nearest reference genome in the embedding, by call.");
}

function drawNoveltyPoints(sample) {
  const points = sample.map;
  const groups = groupIndices((points.call || []).map((call, i) => (points.d1[i] === null ? "missing" : call < 0 ? "none" : callGroup(points.calls[call]))));
  groups.delete("missing");
  if (!groups.size) {
    drawPlot("plot-novelty", null);
    return;
  }
  const traces = ["none", "known", "ambiguous", "novel"].filter((group) => groups.has(group)).map((group) => {
    const indices = groups.get(group);
    return {
      type: "scatter", mode: "markers", name: GROUP_LABELS[group], x: indices.map((i) => points.length[i]), y: indices.map((i) => points.d1[i]),
      hovertext: indices.map((i) => hoverText(sample, i)), hoverinfo: "text",
      marker: { size: 6, color: cssColour(group), symbol: GROUP_SYMBOLS[group], opacity: 0.65, line: { width: group === "none" ? 1 : 0, color: cssColour(group) } },
    };
  });
  drawPlot("plot-novelty", traces, layout({
    xaxis: axis("contig length", { type: "log", tickvals: LENGTH_TICKS, ticktext: LENGTH_TICKS.map(formatBasePairs) }), yaxis: axis("distance to the nearest reference genome"), hovermode: "closest",
  }), "Distance against length, for the contigs of the map. Short contigs lie farther out by chance alone, which the p values take into account.");
}

function drawPValues(novelty, name) {
  const column = novelty.p_values.find((entry) => entry.name === name);
  if (!column) {
    drawPlot("plot-p", null);
    return;
  }
  const n = column.counts.length;
  const level = novelty.alpha === null || column.below_alpha === null ? "" :
    ` ${plural(column.below_alpha, "contig")} reach q ≤ ${novelty.alpha}.`;
  drawPlot("plot-p", [{
    type: "bar", x: column.counts.map((_, i) => (i + 0.5) / n), y: column.counts, width: 1 / n, marker: { color: cssColour("accent"), line: { color: cssColour("page"), width: 1 } },
    hovertemplate: "p %{x:.3f}<br>%{y:,} contigs<extra></extra>",
  }], layout({
    bargap: 0, xaxis: axis("p value", { range: [0, 1] }), yaxis: axis("contigs"),
    shapes: [{ type: "line", x0: 0, x1: 1, y0: column.n / n, y1: column.n / n, line: { color: cssColour("soft"), dash: "dash", width: 1.5 } }],
  }), `p values of ${plural(column.n, "contig")} under the hypothesis that ${hypothesis(name)[1]}; the dashed line is what chance alone would give.${level}`);
}

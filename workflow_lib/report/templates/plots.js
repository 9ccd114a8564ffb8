// Plots of the embedding, the threshold, depth, evaluation and filter.

const LABELLED_BINS = 12; // bins whose name is written on the map
const LEGEND_BINS = 42; // as many as there are looks

// Area of a point grows with the length, from 10 kbp to 400 kbp; where there are few points they are drawn larger.
function pointSize(length, nPoints) {
  const scale = Math.min(2, Math.max(1, Math.sqrt(600 / nPoints)));
  return Math.min(26, scale * Math.max(4, 4 * Math.sqrt(length / 10000)));
}

function hoverText(sample, index) {
  const points = sample.map;
  const bin = points.bin[index];
  const lines = [
    `<b>${escapeText(points.contig[index])}</b>`,
    bin < 0 ? "in no bin" : escapeText(sample.binNames[bin]),
    formatBasePairs(points.length[index]),
  ];
  if (points.call) {
    lines.push(points.call[index] < 0 ? "no call" : escapeText(points.calls[points.call[index]]));
    if (points.d1[index] !== null) lines.push(`distance ${formatValue(points.d1[index], "decimal")}`);
    if (points.nearest && points.nearest[index]) lines.push(`nearest ${escapeText(points.nearest[index])}`);
  }
  return lines.join("<br>");
}

function pointsTrace(sample, indices, name, marker, extra = {}) {
  const points = sample.map;
  return {
    type: "scatter", mode: "markers", name, x: indices.map((i) => points.x[i]), y: indices.map((i) => points.y[i]),
    hovertext: indices.map((i) => hoverText(sample, i)), hoverinfo: "text",
    marker: {
      size: indices.map((i) => pointSize(points.length[i], points.x.length)), opacity: 0.78,
      line: { width: 0.6, color: cssColour("page") }, ...marker,
    },
    ...extra,
  };
}

function groupIndices(values) {
  const groups = new Map();
  values.forEach((value, index) => {
    if (!groups.has(value)) groups.set(value, []);
    groups.get(value).push(index);
  });
  return groups;
}

function tracesByBin(sample, chosen) {
  const groups = groupIndices(sample.map.bin);
  const traces = [];
  if (groups.has(-1)) {
    traces.push(pointsTrace(sample, groups.get(-1), "in no bin", { color: cssColour("grey"), opacity: 0.45 }, { legendrank: 9999 }));
  }
  const order = [...groups.keys()].filter((bin) => bin >= 0).sort((a, b) => a - b);
  for (const bin of order) {
    const look = binLook(bin);
    const faded = chosen !== null && chosen !== bin;
    const marker = { color: faded ? cssColour("grey") : look.color, symbol: look.symbol, opacity: faded ? 0.2 : 0.78 };
    traces.push(pointsTrace(sample, groups.get(bin), escapeText(sample.binNames[bin]), marker, {
      showlegend: bin < LEGEND_BINS, legendrank: bin,
    }));
  }
  return traces;
}

function tracesByCall(sample) {
  const points = sample.map;
  const groups = groupIndices(points.call.map((call) => (call < 0 ? "none" : callGroup(points.calls[call]))));
  return ["none", "known", "ambiguous", "novel"].filter((group) => groups.has(group)).map((group) => {
    const marker = { color: cssColour(group), symbol: GROUP_SYMBOLS[group].replace("-thin-open", ""), opacity: group === "none" ? 0.4 : 0.75 };
    return pointsTrace(sample, groups.get(group), GROUP_LABELS[group], marker);
  });
}

function binLabels(sample, chosen) {
  const points = sample.map;
  const groups = groupIndices(points.bin);
  const bins = chosen === null ? [...groups.keys()].filter((bin) => bin >= 0 && bin < LABELLED_BINS) : [chosen];
  const quantile = (values, share) => values.sort((a, b) => a - b)[Math.floor(share * (values.length - 1))];
  return bins.filter((bin) => groups.has(bin)).map((bin) => {
    const indices = groups.get(bin);
    return {
      x: quantile(indices.map((i) => points.x[i]), 0.5), y: quantile(indices.map((i) => points.y[i]), 0.95),
      text: escapeText(sample.binNames[bin]), showarrow: false, font: { size: 11, color: cssColour("text") },
      yshift: 14, bgcolor: cssColour("page"), opacity: 0.8, borderpad: 0,
    };
  });
}

function drawMap(sample, colourBy, chosen) {
  const points = sample.map;
  if (!points.x.length) {
    drawPlot("plot-map", null);
    return;
  }
  const byCall = colourBy === "call" && points.call;
  const hidden = { visible: false, range: [-400, 10400] };
  const drawn = points.x.length === points.total
    ? `all ${plural(points.total, "contig")} that passed the filter`
    : `${points.x.length.toLocaleString("en")} of ${plural(points.total, "contig")} that passed the filter (the bins' medoids, the others drawn at random)`;
  const reading = points.method === "t-SNE"
    ? "Near points have similar sequence composition; distances between far groups and the sizes of groups mean little."
    : "The first two principal components: there are too few contigs, or too little difference, for t-SNE.";
  const caption = `${points.method} of the embedding: ${drawn}; the area of a point grows with the contig's length. ${reading}`;
  const labels = byCall ? [] : binLabels(sample, chosen);
  drawPlot("plot-map", byCall ? tracesByCall(sample) : tracesByBin(sample, chosen), layout({
    xaxis: { ...hidden, scaleanchor: "y" }, yaxis: hidden, margin: { l: 0, r: 0, t: 8, b: 8 }, hovermode: "closest",
    dragmode: "pan", annotations: labels, showlegend: true,
    legend: { orientation: "v", x: 1.01, y: 0.96, yanchor: "top", itemsizing: "constant", font: { size: 12 }, tracegroupgap: 0 },
  }), caption);
}

function stepTrace(edges, counts, name, colour) {
  const total = counts.reduce((sum, n) => sum + n, 0) || 1;
  return {
    type: "bar", name, x: counts.map((_, i) => (edges[i] + edges[i + 1]) / 2), y: counts.map((n) => n / total),
    width: counts.map((_, i) => edges[i + 1] - edges[i]), marker: { color: colour }, opacity: 0.6,
    hovertemplate: "similarity %{x:.3f}<br>%{y:.1%} of the pairs<extra></extra>",
  };
}

function shareFrom(edges, counts, threshold) {
  const total = counts.reduce((sum, n) => sum + n, 0);
  const above = counts.reduce((sum, n, i) => sum + ((edges[i] + edges[i + 1]) / 2 >= threshold ? n : 0), 0);
  return total ? above / total : 0;
}

function drawThreshold(sample) {
  const { value, histogram } = sample.threshold;
  if (!histogram) {
    drawPlot("plot-threshold", null);
    return;
  }
  const { edges, same, different } = histogram;
  const traces = [
    stepTrace(edges, different, "random pairs of contigs", cssColour("none")),
    stepTrace(edges, same, "two halves of one contig", cssColour("known")),
  ];
  const line = value === null ? [] : [{
    type: "line", x0: value, x1: value, y0: 0, y1: 1, yref: "paper", line: { color: cssColour("novel"), width: 2, dash: "dash" },
  }];
  const note = value === null ? [] : [{
    x: value, y: 1, yref: "paper", text: `threshold ${formatValue(value, "decimal")}`, showarrow: false, xanchor: "right", xshift: -6,
    font: { color: cssColour("novel") },
  }];
  const shares = value === null ? "" : ` The threshold lets about ${formatValue(shareFrom(edges, same, value), "percent")} of the halves of one contig ` +
    `and ${formatValue(shareFrom(edges, different, value), "percent")} of the random pairs join.`;
  drawPlot("plot-threshold", traces, layout({
    barmode: "overlay", bargap: 0, shapes: line, annotations: note, xaxis: axis("similarity"),
    yaxis: axis("share of the pairs", { tickformat: ".0%" }),
  }), `Similarity, as the binning sees it, of the two halves of a contig (one genome for certain) and of random pairs of contigs (mostly two genomes).${shares}`);
}

function drawDepth(sample) {
  const { libraries, values } = sample.depth;
  if (libraries.length < 2 || !values.length) {
    drawPlot("plot-depth", null);
    return;
  }
  const names = sample.binNames.slice(0, values.length);
  const logged = values.map((row) => row.map((value) => (value === null ? null : Math.log10(Math.max(value, 0.01)))));
  const ticks = [0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000];
  drawPlot("plot-depth", [{
    type: "heatmap", x: libraries.map((_, i) => i), y: names.map((_, i) => i), z: logged, colorscale: "Cividis", xgap: 1, ygap: 1,
    hovertext: values.map((row, i) => row.map((value, j) => `${escapeText(names[i])}<br>${escapeText(libraries[j])}<br>${formatValue(value, "depth")}`)),
    hoverinfo: "text", colorbar: { title: { text: "depth" }, tickvals: ticks.map(Math.log10), ticktext: ticks.map((t) => `${t}×`), thickness: 12 },
  }], layout({
    xaxis: axis("", { tickvals: libraries.map((_, i) => i), ticktext: libraries.map(escapeText), showgrid: false }),
    yaxis: axis("", { tickvals: names.length <= 25 ? names.map((_, i) => i) : [], ticktext: names.map(escapeText), autorange: "reversed", showgrid: false }),
  }), `Mean depth of ${names.length < sample.bins.total ? `the ${names.length} longest of ${sample.bins.total.toLocaleString("en")} bins` : "each bin"} in each library, on a logarithmic scale.`);
}

function drawEvaluation(sample) {
  const column = (key) => sample.bins.columns.findIndex((entry) => entry.key === key);
  const [complete, contaminated, genome, length] = ["completeness", "contamination", "genome", "length_bp"].map(column);
  const rows = complete < 0 || contaminated < 0 ? [] : sample.bins.rows.filter((row) => row[complete] !== null && row[contaminated] !== null);
  if (!rows.length) {
    drawPlot("plot-evaluation", null);
    return;
  }
  const box = (x0, y1) => ({ type: "rect", x0, x1: 1, y0: 0, y1, line: { color: cssColour("soft"), width: 1, dash: "dot" }, layer: "below" });
  const text = rows.map((row) => [row[0], genome < 0 ? null : row[genome], `${formatValue(row[complete], "percent")} complete`,
    `${formatValue(row[contaminated], "percent")} contaminated`].filter(Boolean).map(escapeText).join("<br>"));
  const count = (a, b) => rows.filter((row) => row[complete] > a && row[contaminated] < b).length;
  drawPlot("plot-evaluation", [{
    type: "scatter", mode: "markers", x: rows.map((row) => row[complete]), y: rows.map((row) => row[contaminated]), hovertext: text, hoverinfo: "text",
    marker: { size: rows.map((row) => Math.min(24, 8 + 7 * Math.sqrt(row[length] / 1e6))), color: cssColour("known"), opacity: 0.7 },
    cliponaxis: false,
  }], layout({
    shapes: [box(0.9, 0.05), box(0.5, 0.1)], hovermode: "closest",
    xaxis: axis("completeness", { range: [0, 1], tickformat: ".0%" }), yaxis: axis("contamination", { tickformat: ".0%", rangemode: "tozero" }),
  }), `Each point is a bin, its area grows with its length. The boxes hold bins over 90% complete and under 5% contaminated (${count(0.9, 0.05)}) ` +
    `and over 50% and under 10% (${count(0.5, 0.1)}).`);
}

function drawStatuses(sample) {
  const rows = sample.statuses.filter((row) => row.contigs);
  if (!rows.length) {
    drawPlot("plot-statuses", null);
    return;
  }
  const colours = { binned: cssColour("known"), unbinned: cssColour("grey") };
  const total = { contigs: 0, bp: 0 };
  rows.forEach((row) => { total.contigs += row.contigs; total.bp += row.bp; });
  const filtered = [cssColour("novel"), cssColour("ambiguous"), cssColour("none")];
  const traces = rows.map((row, index) => ({
    type: "bar", orientation: "h", name: row.status.replace(/_/g, " "), y: ["base pairs", "contigs"],
    x: [total.bp ? row.bp / total.bp : 0, row.contigs / total.contigs],
    marker: { color: colours[row.status] || filtered[index % filtered.length] },
    hovertext: [`${row.status.replace(/_/g, " ")}: ${formatBasePairs(row.bp)}`, `${row.status.replace(/_/g, " ")}: ${plural(row.contigs, "contig")}`],
    hoverinfo: "text",
  }));
  drawPlot("plot-statuses", traces, layout({
    barmode: "stack", xaxis: axis("share", { tickformat: ".0%", range: [0, 1] }), yaxis: { automargin: true },
  }), "What became of every contig that came in.");
}

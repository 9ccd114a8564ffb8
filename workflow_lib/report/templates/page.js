// The page: shows one sample at a time and keeps the address (#sample=name) in step.

const run = JSON.parse(document.getElementById("run").textContent);
const view = { index: 0, sample: null, colourBy: "bin", chosenBin: null, pColumn: null, overview: null, bins: null };

function place(name) {
  return document.querySelector(`[data-table="${name}"]`);
}

function show(id, visible) {
  document.getElementById(id).hidden = !visible;
}

function loadSample(index) {
  const sample = JSON.parse(document.getElementById(`sample-${index}`).textContent);
  sample.binNames = sample.bins.rows.map((row) => row[0]);
  return sample;
}

function drawTiles(sample) {
  const { counts, novelty } = sample;
  const tiles = [
    ["contigs in", counts.contigs.toLocaleString("en")], ["base pairs in", formatBasePairs(counts.bp)],
    ["contigs kept", counts.kept.toLocaleString("en")], ["contigs binned", counts.binned.toLocaleString("en")],
    ["base pairs binned", formatBasePairs(counts.binned_bp)], ["bins", counts.bins.toLocaleString("en")],
  ];
  if (novelty) {
    tiles.push(["novel bins", novelty.counts.bins.novel.toLocaleString("en")], ["novel contigs", novelty.counts.contigs.novel.toLocaleString("en")]);
  }
  const nodes = tiles.map(([label, value]) => element("div", {}, element("dt", {}, label), element("dd", {}, value)));
  document.getElementById("tiles").replaceChildren(...nodes);
}

function drawWords(sample) {
  document.getElementById("story").replaceChildren(...sample.story.map((text) => element("p", {}, text)));
  show("warnings", sample.warnings.length > 0);
  document.getElementById("warnings").replaceChildren(...sample.warnings.map((text) => element("p", { class: "warning" }, text)));
}

function drawBins(sample) {
  const { columns, rows, total } = sample.bins;
  show("bins-block", rows.length > 0);
  if (!rows.length) return;
  view.bins = drawTable(place("bins"), {
    caption: `${plural(total, "bin")}. Choose a heading to sort by it, a bin to find it on the map.`,
    columns, rows, onChoose: (row) => chooseBin(row[0]),
  });
  document.getElementById("bins-note").textContent =
    rows.length < total ? `The first ${rows.length.toLocaleString("en")} of ${total.toLocaleString("en")} bins are shown; bins.tsv has all.` : "";
}

function chooseBin(name) {
  const bin = view.sample.binNames.indexOf(name);
  view.chosenBin = view.chosenBin === bin ? null : bin;
  view.colourBy = "bin";
  document.getElementById("colour-by").value = "bin";
  view.bins.mark(view.chosenBin === null ? null : name);
  drawMap(view.sample, view.colourBy, view.chosenBin);
  if (view.chosenBin !== null) document.getElementById("map-block").scrollIntoView({ block: "start" });
}

const CALL_COLUMNS = [
  { key: "call", label: "call", kind: "call", title: "what the novelty stage says" },
  { key: "contigs", label: "contigs", kind: "integer", title: "contigs with this call" },
  { key: "bp", label: "length", kind: "bp", title: "their base pairs" },
  { key: "bins", label: "bins", kind: "integer", title: "bins with this call" },
];

function drawNovelty(sample) {
  const { novelty } = sample;
  show("novelty-block", Boolean(novelty && novelty.calls.length));
  if (!novelty || !novelty.calls.length) return;
  const calibration = novelty.n_calibration ? ` The contigs called known or novel rest on ${[...new Set(novelty.n_calibration)].join(" to ")} calibration units (genomes or clades).` : "";
  document.getElementById("novelty-note").textContent =
    `Calls are made at a false discovery rate of ${novelty.alpha === null ? "the configured level" : formatValue(novelty.alpha, "percent")} a rank.${calibration}` +
    (novelty.index_id ? ` Index ${novelty.index_id}.` : "");
  const select = document.getElementById("p-column");
  const names = novelty.p_values.map((column) => column.name);
  if (!names.includes(view.pColumn)) view.pColumn = names.find((name) => !["reference", "known"].includes(name)) || names[0]; // the lowest rank
  select.replaceChildren(...names.map((name) => element("option", { value: name }, hypothesis(name)[0])));
  select.value = view.pColumn;
  drawTable(place("calls"), {
    caption: "Calls", columns: CALL_COLUMNS, rows: novelty.calls.map((row) => [row.call, row.contigs, row.bp, row.bins]),
  });
  const reasons = place("abstain");
  reasons.replaceChildren();
  if (novelty.abstain.length) {
    const integer = (label) => ({ label, kind: "integer", title: `${label} without a call for this reason` });
    drawTable(reasons, {
      caption: "Why no call is made", columns: [{ label: "reason", kind: "text", title: "" }, integer("contigs"), integer("bins")], rows: novelty.abstain,
    });
  }
}

function drawEvaluationTable(sample) {
  const { evaluation } = sample;
  show("evaluation-block", Boolean(evaluation));
  if (!evaluation) return;
  const heading = ([by, unbinned]) => [by && `by ${by}`, unbinned && unbinned.replace(/_/g, " ")].filter(Boolean).join(", ") || "value";
  const columns = [{ label: "measure", kind: "text", title: "as AMBER and the DNABERT-S paper define it; see docs/methods.md" }];
  columns.push(...evaluation.settings.map((setting) => ({ label: heading(setting), kind: "measure", title: "" })));
  drawTable(place("evaluation"), {
    caption: "Measures against the truth; contigs in no bin are counted, counted if the filter kept them, or ignored.", columns,
    rows: evaluation.rows.map(([metric, ...values]) => [metric.replace(/_/g, " "), ...values]),
  });
}

function drawReview(sample) {
  const { review } = sample;
  if (!place("review")) return;
  show("review-block", Boolean(review));
  if (!review) return;
  document.getElementById("review-note").textContent = review.note;
  drawTable(place("review"), { caption: "The bins that were given, those with something to mend first.", ...review });
}

function drawFilter(sample) {
  const integer = { label: "contigs", kind: "integer", title: "contigs" };
  const bp = { label: "length", kind: "bp", title: "their base pairs" };
  drawTable(place("statuses"), {
    caption: "Status of every contig that came in", sortable: false, columns: [{ label: "status", kind: "text", title: "" }, integer, bp],
    rows: sample.statuses.map((row) => [row.status.replace(/_/g, " "), row.contigs, row.bp]),
  });
  place("reasons").replaceChildren();
  if (sample.reasons.length) {
    drawTable(place("reasons"), {
      caption: "Why contigs that passed the filter are in no bin", sortable: false,
      columns: [{ label: "reason", kind: "text", title: "" }, integer, bp], rows: sample.reasons,
    });
  }
  place("reads").replaceChildren();
  if (sample.reads) drawTable(place("reads"), { caption: "Short reads before and after filtering (fastp)", ...sample.reads });
}

function drawPlots() {
  const { sample } = view;
  show("map-block", sample.map.x.length > 0);
  drawMap(sample, view.colourBy, view.chosenBin);
  if (sample.novelty && sample.novelty.calls.length) {
    drawCalls(sample.novelty);
    drawDistances(sample.novelty);
    drawNoveltyPoints(sample);
    drawPValues(sample.novelty, view.pColumn);
  }
  if (sample.evaluation) drawEvaluation(sample);
  show("binning-block", Boolean(sample.threshold.histogram || (sample.depth.libraries.length > 1 && sample.depth.values.length)));
  drawThreshold(sample);
  drawDepth(sample);
  drawStatuses(sample);
  if (run.calibration) drawCalibration();
}

// After a change of the width that is no resize of the window.
function fitPlots() {
  drawPlots();
  document.querySelectorAll(".js-plotly-plot").forEach((plot) => {
    if (plot.offsetParent) Plotly.Plots.resize(plot);
  });
}

function showSample(index, { focus = false } = {}) {
  view.index = (index + run.samples.length) % run.samples.length;
  view.sample = loadSample(view.index);
  view.chosenBin = null;
  const { sample } = view;
  const title = document.getElementById("sample-title");
  title.textContent = sample.group === sample.sample ? sample.sample : `${sample.sample} (group ${sample.group})`;
  if (view.overview) {
    document.getElementById("choose").value = String(view.index);
    view.overview.mark(sample.sample);
  }
  show("map-controls", Boolean(sample.map.call));
  if (!sample.map.call) view.colourBy = "bin";
  document.getElementById("colour-by").value = view.colourBy;
  drawTiles(sample);
  drawWords(sample);
  drawBins(sample);
  drawNovelty(sample);
  drawEvaluationTable(sample);
  drawReview(sample);
  drawFilter(sample);
  drawPlots();
  if (focus) {
    title.focus({ preventScroll: true });
    title.scrollIntoView();
  }
}

function sampleOfAddress() {
  const name = new URLSearchParams(window.location.hash.slice(1)).get("sample");
  return Math.max(0, run.samples.indexOf(name));
}

function go(index) {
  const name = run.samples[(index + run.samples.length) % run.samples.length];
  window.location.hash = new URLSearchParams({ sample: name }).toString();
}

function start() {
  document.getElementById("colour-by").addEventListener("change", (event) => {
    view.colourBy = event.target.value;
    drawMap(view.sample, view.colourBy, view.chosenBin);
  });
  document.getElementById("p-column").addEventListener("change", (event) => {
    view.pColumn = event.target.value;
    drawPValues(view.sample.novelty, view.pColumn);
  });
  if (run.samples.length > 1) {
    const { columns, rows } = run.overview;
    view.overview = drawTable(place("overview"), {
      caption: `${plural(rows.length, "sample")}. Choose a sample to see its detail below.`, columns, rows,
      onChoose: (row) => go(run.samples.indexOf(row[0])),
    });
    document.getElementById("choose").addEventListener("change", (event) => go(Number(event.target.value)));
    document.getElementById("previous").addEventListener("click", () => go(view.index - 1));
    document.getElementById("next").addEventListener("click", () => go(view.index + 1));
    window.addEventListener("hashchange", () => {
      if (window.location.hash.includes("sample=")) showSample(sampleOfAddress(), { focus: true });
    });
  }
  if (run.genomes) {
    const { columns, rows, total } = run.genomes;
    drawTable(place("genomes"), {
      caption: `${plural(total, "genome")}: bins of all samples that are one species, with the best of each${rows.length < total ? `; the first ${rows.length.toLocaleString("en")} are shown` : ""}.`,
      columns, rows,
    });
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPlots);
  window.addEventListener("beforeprint", () => { document.documentElement.dataset.theme = "light"; fitPlots(); });
  window.addEventListener("afterprint", () => { delete document.documentElement.dataset.theme; fitPlots(); });
  if (run.calibration) startCalibration();
  showSample(sampleOfAddress());
}

start();

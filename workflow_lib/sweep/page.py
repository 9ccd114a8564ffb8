"""What the sweep shows: one table, three plots, and a recommendation that can be written to the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import yaml

from workflow_lib.evaluate.plots import save_svg
from workflow_lib.files import atomic_open
from workflow_lib.scoreboard.stage import write_table
from workflow_lib.sweep.data import SweepData
from workflow_lib.sweep.split import GROUPS, KNOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F7F7F")  # Okabe & Ito
_MARKERS = "os^DvPX*"
_GROUP_NAMES = {KNOWN: "known genomes", "genus": "held-out genera", "phylum": "held-out phyla"}
_PARAMETERS = ("nprobe", "ef_search", "k_factor")
_WORTHWHILE = 2.0  # times as fast as exact search that a recommended kind is at least
_FALSE_NOVEL_SLACK = 0.01  # of the known queries that it may call novel more than exact search does
# column -> heading, format
_MARKDOWN = {
    "factory": ("configuration", "{}"), "parameters": ("parameters", "{}"), "accuracy_species": ("species", "{:.3f}"),
    "accuracy_genus": ("genus", "{:.3f}"),
    "recall_1_known": ("recall@1", "{:.3f}"), "recall_k_known": ("recall@k", "{:.3f}"),
    "recall_1_genus": ("recall@1 genera out", "{:.3f}"), "recall_1_phylum": ("recall@1 phyla out", "{:.3f}"),
    "false_novel": ("false novel", "{:.3f}"), "index_s": ("index s", "{:.2f}"), "search_s": ("search s", "{:.3f}"),
    "calls_s": ("calls s", "{:.3f}"), "index_mb": ("index MB", "{:.1f}"), "peak_mb": ("peak MB", "{:.0f}"),
    "pareto": ("Pareto", "{}"),
}  # fmt: skip


def write_sweep(
    folder: str | Path, measures: pd.DataFrame, data: SweepData, *, recall: float, title: str
) -> dict[str, object]:
    """Write sweep.tsv, sweep.md, recommendation.yaml and plots/ to `folder`; return the recommendation.

    Parameters
    ----------
    measures : rows of `measure_factory`, exact search (`Flat`) among them, and of `measure_mmseqs`.
    recall : recall@1 that a recommended kind reaches for every group of queries.
    """
    folder = Path(folder)
    measures = measures.copy()
    measures["pareto"] = pareto_front(measures)
    chosen = recommend(measures, recall=recall)
    write_table(folder / "sweep.tsv", measures)
    with atomic_open(folder / "recommendation.yaml") as handle:
        handle.write(f"# {chosen['reason']}\n")
        yaml.safe_dump({"index": chosen["index"]}, handle, sort_keys=False)
    with atomic_open(folder / "sweep.md") as handle:
        handle.write(_format_page(measures, data, chosen, title))
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    save_svg(lambda figure: _draw_pareto(figure, measures, recall), folder / "plots/pareto.svg", size=(9.0, 5.4))
    save_svg(lambda figure: _draw_recall(figure, measures), folder / "plots/recall.svg", size=(10.0, 4.4))
    save_svg(lambda figure: _draw_distances(figure, data), folder / "plots/distances.svg", size=(6.4, 4.4))
    return chosen


def least_recall(measures: pd.DataFrame) -> pd.Series:
    """Recall@1 of the group of queries in which it is least."""
    return measures[[f"recall_1_{group}" for group in GROUPS if f"recall_1_{group}" in measures]].min(axis=1)


def pareto_front(measures: pd.DataFrame) -> pd.Series:
    """bool: no other row has at least its least recall@1 at less search time; MMseqs2 stands apart."""
    usable = measures["search_s"].notna() & (measures["factory"] != "MMseqs2")
    recall, seconds = least_recall(measures).to_numpy(), measures["search_s"].to_numpy(dtype=float)
    front = [
        bool(usable.iloc[row]) and not ((recall[usable] >= recall[row]) & (seconds[usable] < seconds[row])).any()
        for row in range(len(measures))
    ]
    return pd.Series(front, index=measures.index)


def recommend(measures: pd.DataFrame, *, recall: float) -> dict[str, object]:
    """The kind with true distances that is right often enough and calls fastest; exact search where none is worth it.

    Returns
    -------
    index : entries for the section `index` of the configuration. reason : in words.
    """
    exact = measures[measures["factory"] == "Flat"].iloc[0]
    right = (
        (least_recall(measures) >= recall)
        & (measures["true_distances"].fillna(False).astype(bool))
        & (measures["false_novel"] <= exact["false_novel"] + _FALSE_NOVEL_SLACK)
        & (measures["calls_s"] * _WORTHWHILE <= exact["calls_s"])
    )
    if not right.any():
        reason = (
            f"no kind reaches recall@1 {recall:g} on every group and makes calls at {_WORTHWHILE:g} times the speed: "
            "exact search"
        )
        return {"index": {"factory": "Flat", **dict.fromkeys(_PARAMETERS)}, "reason": reason}
    best = measures[right].sort_values("calls_s", kind="stable").iloc[0]
    parameters = {key: None if pd.isna(best.get(key)) else int(best[key]) for key in _PARAMETERS}
    times = exact["calls_s"] / best["calls_s"]
    reason = (
        f"recall@1 {least_recall(measures)[best.name]:.4f} where it is least, makes calls {times:.1f} times as fast as "
        "exact search"
    )
    return {"index": {"factory": best["factory"], **parameters}, "reason": reason}


def _format_page(measures: pd.DataFrame, data: SweepData, chosen: dict, title: str) -> str:
    counts = ", ".join(f"{(data.groups == group).sum()} of {_GROUP_NAMES[group]}" for group in GROUPS)
    table = measures.copy()
    table["parameters"] = [
        " ".join(f"{key} {int(row[key])}" for key in _PARAMETERS if key in row and not pd.isna(row[key]))
        for _, row in measures.iterrows()
    ]
    table["pareto"] = ["yes" if on else "" for on in measures["pareto"]]
    columns = [column for column in _MARKDOWN if column in table]
    lines = [
        f"# {title}",
        "",
        f"{len(data.table)} windows of {len(data.table.genomes)} genomes, {data.vectors.shape[1]} columns.",
        f"Queries: {counts}.",
        f"k = {data.rows.shape[1]}. Recall is against exact search; species and genus: share of known queries whose "
        "nearest window is of their taxon. Search: the k nearest windows; calls: the nearest genomes, as novelty calls "
        "search; both for all queries. Pareto: by search.",
        "",
        "| " + " | ".join(_MARKDOWN[column][0] for column in columns) + " |",
        "| " + " | ".join("---" for _ in columns) + " |",
    ]
    for _, row in table.iterrows():
        if isinstance(row.get("error"), str):
            lines.append(f"| {row['factory']} | not built: {row['error']} |" + " |" * (len(columns) - 2))
            continue
        cells = [_MARKDOWN[column][1].format(row[column]) for column in columns]
        lines.append("| " + " | ".join("" if cell == "nan" else cell for cell in cells) + " |")
    section = yaml.safe_dump({"index": chosen["index"]}, sort_keys=False)
    return "\n".join([*lines, "", f"Recommended: {chosen['reason']}.", "", "```yaml", section.rstrip(), "```", ""])


def _series(measures: pd.DataFrame) -> list[tuple[str, pd.DataFrame, dict]]:
    """(name, rows, style) of each configuration that was measured."""
    drawn = measures[measures["search_s"].notna()]
    styles = [{"color": _COLOURS[i % 8], "marker": _MARKERS[(i + i // 8) % 8]} for i in range(drawn["asked"].nunique())]
    names = list(dict.fromkeys(drawn["asked"]))
    return [(name, drawn[drawn["asked"] == name], style) for name, style in zip(names, styles, strict=True)]


def _draw_pareto(figure: Figure, measures: pd.DataFrame, recall: float) -> None:
    axes: Axes = figure.add_subplot()
    for name, rows, style in _series(measures):
        axes.plot(rows["search_s"], least_recall(rows), linestyle=":", linewidth=1.0, label=name, **style)
    front = measures[measures["pareto"]].sort_values("search_s")
    axes.plot(
        front["search_s"],
        least_recall(front),
        color="#999999",
        linewidth=5.0,
        alpha=0.4,
        label="Pareto front",
        zorder=0,
    )
    axes.axhline(recall, color="#BBBBBB", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set(xlabel="Search time of all queries (s)", ylabel="Recall@1 of the worst group", ylim=(-0.02, 1.02))
    axes.set_title("Speed against what is missed", pad=12)
    figure.legend(loc="outside right upper", frameon=False)


def _draw_recall(figure: Figure, measures: pd.DataFrame) -> None:
    panels = figure.subplots(1, len(GROUPS), sharey=True)
    for axes, group in zip(panels, GROUPS, strict=True):
        for name, rows, style in _series(measures):
            axes.plot(
                rows["search_s"], rows.get(f"recall_1_{group}"), linestyle=":", linewidth=1.0, label=name, **style
            )
        axes.set_xscale("log")
        axes.set(xlabel="Search time (s)", title=f"Queries of {_GROUP_NAMES[group]}", ylim=(-0.02, 1.02))
    panels[0].set_ylabel("Recall@1")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)


def _draw_distances(figure: Figure, data: SweepData) -> None:
    axes: Axes = figure.add_subplot()
    top = float(data.distances[:, 0].max()) or 1.0
    for group, colour, line in zip(GROUPS, _COLOURS[1:], ("-", "--", "-."), strict=False):
        values = data.distances[data.groups == group, 0]
        if len(values):
            heights, edges = np.histogram(values, bins=50, range=(0, top), density=True)
            label = f"{_GROUP_NAMES[group]}: {len(values)}"
            axes.stairs(heights, edges, color=colour, linestyle=line, linewidth=1.8, label=label)
    axes.set(xlabel="Chord distance to the nearest window", ylabel="Density", xlim=(0, top))
    axes.set_title("Known and held-out queries, exact search", pad=12)
    axes.legend(frameon=False)

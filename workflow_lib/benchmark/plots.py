"""The plot of the comparison: genomes recovered, time and memory of every binner on every set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_lib.evaluate.plots import save_svg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours; markers tell the binners apart too.
_STYLES = {
    "novabin": ("#0072B2", "o"),
    "novabin_reference": ("#56B4E9", "P"),
    "metabat2": ("#E69F00", "s"),
    "vamb": ("#009E73", "^"),
    "semibin2": ("#D55E00", "D"),
}
# Column, title, y axis, whether y is logarithmic.
_PANELS = (
    ("recovered_90_5", "> 90% complete, < 5% contaminated", "Genomes", False),
    ("recovered_50_10", "> 50% complete, < 10% contaminated", "Genomes", False),
    ("seconds", "Contigs and depth to bins", "Wall seconds", True),
    ("peak_mb", "Peak memory", "MB", False),
)
_STEP = 0.18  # of the x axis, between binners of a set


def plot_scores(scores: pd.DataFrame, path: str | Path) -> None:
    """Draw recovered genomes at both levels, wall time and memory: a dot a seed, a bar at the median.

    Parameters
    ----------
    scores : rows with set, seed, binner and the columns of the panels.
    path : SVG to write.
    """
    sets = list(dict.fromkeys(scores["set"]))
    binners = list(dict.fromkeys(scores["binner"]))

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, 2).flat
        for axes, panel in zip(panels, _PANELS, strict=True):
            _draw_panel(axes, scores, sets, binners, *panel)
        handles = [axes.scatter([], [], c=_STYLES[name][0], marker=_STYLES[name][1]) for name in binners]
        figure.legend(handles, binners, loc="outside lower center", ncols=len(binners), frameon=False)

    save_svg(draw, path, size=(max(8.0, 2.4 * len(sets) + 2), 7.6))


def _draw_panel(
    axes: Axes,
    scores: pd.DataFrame,
    sets: list[str],
    binners: list[str],
    column: str,
    title: str,
    label: str,
    is_log: bool,
) -> None:
    for number, binner in enumerate(binners):
        colour, marker = _STYLES[binner]
        shift = _STEP * (number - (len(binners) - 1) / 2)
        for place, name in enumerate(sets):
            values = scores[(scores["set"] == name) & (scores["binner"] == binner)][column].to_numpy()
            if len(values):
                axes.scatter(np.full(len(values), place + shift), values, c=colour, marker=marker, s=22, zorder=3)
                median = np.median(values)
                axes.plot([place + shift - 0.07, place + shift + 0.07], [median] * 2, color=colour, linewidth=2)
    if is_log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xticks(range(len(sets)), sets)
    axes.set_ylabel(label)
    axes.set_title(title, loc="left", fontsize=12)
    axes.grid(axis="y", color="#E3E3E3", linewidth=0.6)
    axes.set_axisbelow(True)

"""Plots of an evaluation as SVG; the same tables give the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_lib.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Okabe & Ito's colours, which readers with colour blindness tell apart; every class has its own marker too.
_CLASSES = (
    ("> 90% complete, < 5% contaminated", 0.9, 0.05, "#0072B2", "o"),
    ("other bins > 50% complete, < 10% contaminated", 0.5, 0.1, "#E69F00", "^"),
    ("lower quality", -1.0, 2.0, "#7F7F7F", "x"),
)
_LINES = (("completeness of genomes", "#0072B2", "-"), ("contamination of bins", "#D55E00", "--"))
_STYLE = {"svg.hashsalt": "novabin", "svg.fonttype": "none", "font.size": 11, "font.family": "sans-serif"}
_MARKER_AREA = (20.0, 220.0)  # square points of the smallest and the largest bin


def plot_bin_quality(bins: pd.DataFrame, path: str | Path) -> None:
    """Draw every bin at its completeness and purity (bp, percent); marker area grows with bin length.

    Parameters
    ----------
    bins : table of an `Evaluation`; bins whose contigs are all absent from the truth are not drawn.
    path : SVG to write.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        drawn = bins[bins["completeness_bp"].notna() & bins["purity_bp"].notna()]
        areas = np.interp(drawn["length_bp"], (0, max(drawn["length_bp"].max(), 1)), _MARKER_AREA) if len(drawn) else []
        classes = _classify(drawn)
        for number, (label, _, _, colour, marker) in enumerate(_CLASSES):
            rows = drawn[classes == number]
            style = {"facecolors": "none", "edgecolors": colour} if marker != "x" else {"color": colour}
            axes.scatter(
                100 * rows["completeness_bp"], 100 * rows["purity_bp"], s=np.asarray(areas)[classes == number],
                marker=marker, linewidths=1.4, label=f"{label}: {len(rows)}", clip_on=False, zorder=3, **style,
            )  # fmt: skip
        for complete, pure in ((50, 90), (90, 95)):
            axes.axvline(complete, color="#BBBBBB", linewidth=0.8, linestyle=":")
            axes.axhline(pure, color="#BBBBBB", linewidth=0.8, linestyle=":")
        axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="Completeness (% of bp)", ylabel="Purity (% of bp)")
        axes.set_title("Bins against the truth", pad=14)
        legend = axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
        for handle in legend.legend_handles:
            handle.set_sizes([60.0])
        _note_empty(axes, len(drawn), "no bins")

    save_svg(draw, path, size=(6.4, 6.4))


def plot_ranked(bins: pd.DataFrame, genomes: pd.DataFrame, path: str | Path) -> None:
    """Draw the completeness of genomes, best first, and the contamination of bins, least first (bp, percent)."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        completeness = np.sort(genomes["completeness_bp"].dropna())[::-1]
        contamination = np.sort(bins["contamination_bp"].dropna())
        for values, (label, colour, line) in zip((completeness, contamination), _LINES, strict=True):
            axes.plot(
                np.arange(1, len(values) + 1), 100 * values, color=colour, linestyle=line, linewidth=1.8,
                marker="." if len(values) <= 50 else None, label=f"{label} ({len(values)})", clip_on=False,
            )  # fmt: skip
        axes.set(xlim=(1, max(len(completeness), len(contamination), 2)), ylim=(0, 100))
        axes.set(xlabel="Rank", ylabel="% of bp")
        axes.set_title("Genomes and bins, ranked", pad=14)
        axes.grid(color="#DDDDDD", linewidth=0.6)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
        _note_empty(axes, len(completeness) + len(contamination), "nothing to evaluate")

    save_svg(draw, path, size=(6.4, 5.4))


def _classify(bins: pd.DataFrame) -> np.ndarray:
    """Number of the first class of `_CLASSES` that each bin meets, int64 (n,)."""
    meets = [
        (bins["completeness_bp"] > complete) & (bins["purity_bp"] > 1 - contaminated)
        for _, complete, contaminated, _, _ in _CLASSES
    ]
    return np.argmax(np.stack([condition.to_numpy() for condition in meets]), axis=0)


def _note_empty(axes, n_drawn: int, text: str) -> None:
    if n_drawn == 0:
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#555555")


def save_svg(draw: Callable[[Figure], None], path: str | Path, *, size: tuple[float, float]) -> None:
    """Have `draw` fill a figure of `size` (inches) and write it as SVG; the same drawing gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), atomic_path(path) as temporary:
        figure = Figure(figsize=size, layout="constrained")  # inches
        FigureCanvasSVG(figure)
        draw(figure)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})

"""The plots of the scoreboard, one SVG a labelled set; the same tables give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workflow_lib.evaluate.plots import save_svg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours, which readers with colour blindness tell apart; markers and line styles tell them apart too.
_COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F7F7F")
_MARKERS = "osD^vPX*"
_LINES = ("-", "--", "-.", ":")
_NEXT_TICK = 1.5  # times the one before
# measure, title, x axis, whether x is logarithmic to base 2, y axis
_PANELS = (
    ("probe_macro_f1", "Few-shot probing", "Labelled sequences of each species", True, "Macro F1"),
    ("species_f1_gt", "Species recovered by K-medoid", "F1 above", False, "Species"),
    ("ari_length", "Effect of length", "Length (bp)", True, "K-means ARI"),
    ("ari_dim", "Effect of dimension (average pooling)", "Dimensions", True, "K-means ARI"),
)


def plot_set(summary: pd.DataFrame, path: str | Path) -> None:
    """Draw the four curves of one set: shots, F1 levels, lengths, dimensions; bars are one standard deviation.

    Parameters
    ----------
    summary : rows of one set of `summarise_scores`; those of variant plain are drawn.
    path : SVG to write.
    """
    plain = summary[summary["variant"] == "plain"]
    embedders = list(dict.fromkeys(plain["embedder"]))

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, 2).flat
        for axes, (measure, *texts) in zip(panels, _PANELS, strict=True):
            _draw_panel(axes, plain[plain["measure"] == measure], embedders, *texts)
        handles = [_line(axes, number) for number in range(len(embedders))]
        figure.legend(handles, embedders, loc="outside lower center", ncols=4, frameon=False)

    save_svg(draw, path, size=(10.0, 8.4))


def _style(number: int) -> dict[str, object]:
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": _LINES[number // len(_COLOURS) % len(_LINES)],
    }


def _line(axes: Axes, number: int):
    return axes.plot([], [], **_style(number))[0]


def _draw_panel(
    axes: Axes, rows: pd.DataFrame, embedders: list[str], title: str, x_label: str, doubling: bool, y_label: str
) -> None:
    from matplotlib.ticker import ScalarFormatter

    drawn = rows[rows["mean"].notna()]
    for number, embedder in enumerate(embedders):
        curve = drawn[drawn["embedder"] == embedder].sort_values("level")
        axes.errorbar(
            curve["level"], curve["mean"], yerr=curve["sd"].fillna(0), linewidth=1.6, markersize=5, capsize=2,
            **_style(number),
        )  # fmt: skip
    if doubling:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xticks(_ticks(drawn["level"], doubling))
    axes.minorticks_off()
    axes.tick_params(axis="x", labelsize=9)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_ylim(bottom=min(0, drawn["mean"].min() if len(drawn) else 0))
    axes.grid(color="#E3E3E3", linewidth=0.6)
    axes.set_axisbelow(True)
    if drawn.empty:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color="#555555")


def _ticks(levels: pd.Series, doubling: bool) -> list[float]:
    """Levels in ascending order; on a logarithmic axis without those whose numbers would touch."""
    ticks: list[float] = []
    for level in sorted(set(levels)):
        if not (doubling and ticks and level < _NEXT_TICK * ticks[-1]):
            ticks.append(level)
    return ticks

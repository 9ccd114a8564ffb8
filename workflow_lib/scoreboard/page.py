"""The scoreboard as a page (HTML) and as text (Markdown): a table a set, the plots, and what was not run."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workflow_lib import __version__
from workflow_lib.files import atomic_open
from workflow_lib.scoreboard.evaluation import BASELINE, summarise_scores
from workflow_lib.scoreboard.plots import plot_set
from workflow_lib.scoreboard.stage import write_table

logger = logging.getLogger(__name__)

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class _Column:
    """A column of the page's table: a measure at a level, in a variant, with so many decimals."""

    title: str
    variant: str
    measure: str
    level: float | None
    decimals: int
    note: str


def _columns(shots: Sequence[int]) -> list[_Column]:
    few = [n for n in (1, 2, 10) if n in shots] or list(shots[:3])
    return [
        _Column("ARI", "plain", "ari", None, 3, "K-means with the true number of species"),
        _Column("gap closed", "plain", "gap_closed", None, 2, f"share of the way from the mean ARI of {BASELINE} to 1"),
        *(
            _Column(f"{n}-shot F1", "plain", "probe_macro_f1", n, 3,
                    f"macro F1 of a logistic regression that has seen {n} of each species")
            for n in few
        ),
        _Column("species F1 > 0.5", "plain", "species_f1_gt", 0.5, 1, "recovered by K-medoid, unbinned counted"),
        _Column("species F1 > 0.9", "plain", "species_f1_gt", 0.9, 1, "the same, nearly whole and pure"),
        _Column("adapted ARI", "adapted", "ari", None, 3, "after adaptation to the set itself, without labels"),
        _Column("adapted gap closed", "adapted", "gap_closed", None, 2, f"from the mean ARI of plain {BASELINE}"),
        _Column("adapted species F1 > 0.5", "adapted", "species_f1_gt", 0.5, 1, "K-medoid after it"),
    ]  # fmt: skip


def write_scoreboard(
    folder: str | Path,
    scores: Mapping[tuple[str, str], str | Path],
    facts: Mapping[str, str | Path],
    *,
    shots: Sequence[int],
    not_run: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Write scoreboard.tsv, plots/{set}.svg, scoreboard.md and scoreboard.html.

    Parameters
    ----------
    folder : of these files.
    scores : (set, embedder) -> its scores.tsv (of `score_set`), in the order of the page.
    facts : set -> its set.json.
    shots : of the probing; some of them are shown in the table, all in the plots.
    not_run : embedder -> why it was not run; the page says so.

    Returns
    -------
    The summary, as `summarise_scores`.
    """
    folder = Path(folder)
    tables = [
        pd.read_csv(path, sep="\t").assign(set=name, embedder=embedder) for (name, embedder), path in scores.items()
    ]
    summary = summarise_scores(pd.concat(tables, ignore_index=True))
    columns = _columns(shots)
    sets = []
    for name, path in facts.items():
        rows = summary[summary["set"] == name]
        plot = folder / "plots" / f"{name}.svg"
        plot_set(rows, plot)
        described = json.loads(Path(path).read_text(encoding="utf-8"))
        sets.append(
            {
                "name": name,
                "story": f"{_tell_set(described)} {_tell_probing(rows, described['n_species'], shots)}",
                "columns": (measured := [column for column in columns if _is_measured(rows, column)]),
                "rows": _rows(rows, measured),
                "plot": base64.b64encode(plot.read_bytes()).decode(),
            }
        )
    write_table(folder / "scoreboard.tsv", summary)
    shown = [column for column in columns if _is_measured(summary, column)]
    content = {
        "sets": sets, "columns": shown, "n_seeds": int(summary["seeds"].max()), "version": __version__,
        "not_run": not_run or {}, "baseline": BASELINE,
    }  # fmt: skip
    for name in ("scoreboard.md", "scoreboard.html"):
        with atomic_open(folder / name) as handle:
            handle.write(_environment().get_template(name).render(content))
    logger.info("scoreboard of %d sets and %d embedders", len(sets), summary["embedder"].nunique())
    return summary


def _tell_set(facts: dict) -> str:
    """A sentence on what a set is."""
    if facts["fewest"] == facts["most"]:
        each = f"{facts['most']} sequences of each"
    else:
        each = f"{facts['fewest']} to {facts['most']} sequences of each"
    source = facts["sequences"] or f"cut from the genomes of {facts['genomes']}; those of one genome do not overlap"
    lengths = f"median {facts['median_bp']:,} bp"
    if facts["genomes"]:
        spread = f", log-normal around {facts['length']:,} bp with sigma {facts['sigma']:g}" if facts["sigma"] else ""
        lengths += spread or ", all alike"
    left_out = ""
    if facts["n_left_out"]:
        left_out = f" {facts['n_left_out']} species had too few sequences and were left out."
    return (
        f"{facts['n_species']} species, {each}, {facts['total_bp'] / 1e6:,.1f} Mbp; {lengths}; {source}; "
        f"seed {facts['seed']}.{left_out}"
    )


def _tell_probing(summary: pd.DataFrame, n_species: int, shots: Sequence[int]) -> str:
    """A sentence on which species few-shot probing took in, and how many of their sequences it set aside."""
    pool, n_probed = summary.loc[summary["measure"] == "probed_species", ["level", "mean"]].iloc[0]
    if not n_probed:
        return f"No few-shot probing: fewer than two species have more than {min(shots)} sequences."
    left_out = int(n_species - n_probed)
    which = f"{int(n_probed)} of {n_species}" if left_out else f"all {n_species}"
    text = f"Few-shot probing: {which} species, {int(pool)} sequences of each set aside to train on"
    if left_out:
        text += f"; {left_out} with no more than these took no part"
    return text + (f"; not measured from more than {int(pool)}." if pool < max(shots) else ".")


def _is_measured(summary: pd.DataFrame, column: _Column) -> bool:
    """Whether any embedder of a set has a value in a column of the page."""
    chosen = summary[(summary["variant"] == column.variant) & (summary["measure"] == column.measure)]
    if column.level is not None:
        chosen = chosen[chosen["level"] == column.level]
    return bool(chosen["mean"].notna().any())


def _rows(summary: pd.DataFrame, columns: list[_Column]) -> list[dict]:
    """A row an embedder: its name and for each column mean, deviation, whether it is the best, share of the best."""
    keyed = summary.assign(level=summary["level"].fillna(-1)).set_index(["embedder", "variant", "measure", "level"])
    found = {key: (row["mean"], row["sd"]) for key, row in keyed[["mean", "sd"]].to_dict("index").items()}
    embedders = list(dict.fromkeys(summary["embedder"]))
    rows = [{"embedder": embedder, "cells": []} for embedder in embedders]
    for column in columns:
        level = -1 if column.level is None else column.level
        cells = [found.get((name, column.variant, column.measure, level), (float("nan"),) * 2) for name in embedders]
        means = {mean for mean, _ in cells if mean == mean}
        best = max(means, default=0)
        for row, (mean, deviation) in zip(rows, cells, strict=True):
            row["cells"].append(
                {
                    "mean": "" if mean != mean else f"{mean:.{column.decimals}f}",
                    "sd": "" if deviation != deviation else f"{deviation:.{column.decimals}f}",
                    "best": mean == best and len(means) > 1,
                    "share": max(0, round(100 * mean / best)) if mean == mean and best > 0 else 0,
                }
            )
    return rows


def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=select_autoescape(["html"]), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip

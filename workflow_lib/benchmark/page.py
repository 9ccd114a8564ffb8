"""The page of the comparison: a table a set, who loses which genomes, versions and commands; and a plot."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from workflow_lib.benchmark.lost import list_lost, summarise_lost
from workflow_lib.benchmark.plots import plot_scores
from workflow_lib.files import atomic_open
from workflow_lib.scoreboard.stage import write_table

logger = logging.getLogger(__name__)

_TEMPLATES = Path(__file__).parent / "templates"
# Column of the page, of the scores, format of its values, whether the most or the least is best.
_COLUMNS = (
    ("> 90% / < 5%", "recovered_90_5", "{:.0f}", max),
    ("missed", "missed_90_5", "{:.0f}", min),
    ("> 50% / < 10%", "recovered_50_10", "{:.0f}", max),
    ("missed", "missed_50_10", "{:.0f}", min),
    ("purity", "purity", "{:.3f}", max),
    ("assigned", "assigned", "{:.3f}", max),
    ("wall s", "seconds", "{:.0f}", min),
    ("CPU s", "cpu_seconds", "{:.0f}", min),
    ("peak MB", "peak_mb", "{:.0f}", min),
)


def write_comparison(
    folder: str | Path,
    *,
    scores: Iterable[str | Path],
    genomes: Iterable[str | Path],
    facts: Iterable[str | Path],
    sets: Mapping[str, Mapping],
    min_bin_length: int,
    not_run: Sequence[str],
) -> pd.DataFrame:
    """Write binning.tsv, lost.tsv, binning.svg and binning.md.

    Parameters
    ----------
    folder : of these files.
    scores : a table a run, of `score_binning` with columns set, seed, binner and those of `binners.Usage`.
    genomes : a table a run, of `score_binning`, with set, seed and binner.
    facts : a table a set and seed, of `facts.describe_genomes`, with set and seed.
    sets : name -> options of each set, in the order of the page.
    min_bin_length : bp below which no bin was scored.
    not_run : sentences on what was left out.

    Returns
    -------
    The scores of all runs.
    """
    folder = Path(folder)
    table, states, described = (_read_all(paths) for paths in (scores, genomes, facts))
    lost = list_lost(states, described)
    write_table(folder / "binning.tsv", table)
    write_table(folder / "lost.tsv", lost)
    plot_scores(table, folder / "binning.svg")
    content = {
        "columns": [title for title, *_ in _COLUMNS],
        "sets": [
            {
                "name": name,
                "story": _tell_set(options, table[table["set"] == name], described[described["set"] == name]),
                "rows": _rows(table[table["set"] == name]),
                "lost": summarise_lost(lost[lost["set"] == name], states[states["set"] == name]),
            }
            for name, options in sets.items()
        ],
        "seeds": sorted(set(table["seed"])),
        "runs": table.drop_duplicates("binner")[["binner", "version", "command"]].to_dict("records"),
        "machines": sorted(set(table["machine"])),
        "min_bin_kbp": f"{min_bin_length / 1000:g}",
        "not_run": not_run,
    }
    with atomic_open(folder / "binning.md") as handle:
        handle.write(_environment().get_template("binning.md").render(content))
    logger.info("%d runs of %d binners on %d sets", len(table), table["binner"].nunique(), len(sets))
    return table


def _read_all(paths: Iterable[str | Path]) -> pd.DataFrame:
    text = dict.fromkeys(("set", "genome", "bin", "mixed_with", "nearest", "version", "command", "machine"), str)
    # Only an empty field is missing: "NA" may be a name.
    tables = [pd.read_csv(path, sep="\t", dtype=text, keep_default_na=False, na_values="") for path in paths]
    table = pd.concat(tables, ignore_index=True)
    named = [column for column in text if column in table]
    return table.assign(**table[named].fillna(""))


def _tell_set(options: Mapping, scores: pd.DataFrame, facts: pd.DataFrame) -> str:
    """A sentence on what a set is."""
    strains = ""
    if options["strains"]:
        low, high = options["strain_identity"]
        strains = f", {options['strains']} of them strains with {low:.0%} to {high:.0%} identity to another"
    source = "depth from simulated read pairs mapped by minimap2" if options["reads"] else "depth drawn"
    made = f"of median {options['contig_median']:,} bp (log-normal, sigma {options['contig_sigma']:g})"
    if options["assembled"]:
        made = "assembled by MEGAHIT from the reads of all libraries"
    if options["replication"] > 1:
        source += f", up to {options['replication']:g} times as much at the origin of a genome as at its terminus"
    contigs = facts.groupby("seed")["n_contigs"].sum().median()
    return (
        f"{options['genomes']} genomes{strains}; libraries: {options['libraries']}, of mean depth "
        f"{options['mean_depth']:g}, {source}; contigs {made}, of which the {contigs:,.0f} of at least "
        f"{options['min_length']:,} bp are binned. {scores['recoverable'].median():.0f} genomes are recoverable."
    )


def _rows(scores: pd.DataFrame) -> list[dict]:
    """A row a binner: for each column the median, the values by seed where there are several, whether it is best."""
    groups = list(scores.groupby("binner", sort=False))
    rows = [{"binner": binner, "cells": []} for binner, _ in groups]
    for _, column, form, best in _COLUMNS:
        medians = [group[column].median() for _, group in groups]
        for row, median, (_, group) in zip(rows, medians, groups, strict=True):
            values = group.sort_values("seed")[column]
            seeds = ", ".join(form.format(value) for value in values) if len(values) > 1 else ""
            is_best = len(groups) > 1 and median == best(medians)
            row["cells"].append({"median": form.format(median), "seeds": seeds, "best": is_best})
    return rows


def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=False, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip

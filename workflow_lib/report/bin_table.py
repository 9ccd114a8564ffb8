"""The table of a sample's bins: what binning, novelty and evaluation say about each, in one row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workflow_lib.errors import InputError
from workflow_lib.quality import read_quality
from workflow_lib.report.inputs import number, read_table
from workflow_lib.taxonomy import RANKS

if TYPE_CHECKING:
    import pandas as pd

BIN_COLUMNS = ("bin", "n_contigs", "length_bp", "n50", "gc", "medoid", "tightness")
DEPTH_PREFIX = "depth_"
TESTS = ("known", *reversed(RANKS), "reference")  # of the novelty stage: a p_ and a q_ column each, where it was made
_NOVELTY_COLUMNS = ("query", "call")
_MAX_DEPTH_COLUMNS = 4  # libraries shown a column each; with more, their mean and the profile

# key -> (label, kind, what it means); the kind decides how the page writes and sorts a value.
_SPECIFICATION = {
    "bin": ("bin", "name", "name of the bin; bin.1 is the longest"),
    "n_contigs": ("contigs", "integer", "contigs in the bin"),
    "length_bp": ("length", "bp", "sum of the contigs' lengths, in base pairs"),
    "n50": ("N50", "bp", "half of the bin lies in contigs of at least this length"),
    "gc": ("GC", "percent", "share of G and C among A, C, G and T"),
    "tightness": (
        "tightness",
        "decimal",
        "mean similarity of the bin's contigs to the direction of their mean; 1 is identical",
    ),
    "completeness": ("completeness", "percent", "share of the bin's genome that is in the bin, by bp (from the truth)"),
    "contamination": ("contamination", "percent", "share of the bin that is of other genomes, by bp (from the truth)"),
    "marker_completeness": (
        "completeness (markers)",
        "percent",
        "share of the genome that is in the bin, estimated from marker genes or by CheckM2",
    ),
    "marker_contamination": (
        "contamination (markers)",
        "percent",
        "what the bin holds twice or of other genomes, estimated from marker genes or by CheckM2",
    ),
    "genome": ("true genome", "name", "genome that most of the bin comes from, by bp (from the truth)"),
    "call": ("novelty call", "call", "known, novel at a rank, ambiguous, or why no call is made"),
    "q": ("q", "decimal", "smallest false discovery rate at which the call holds"),
    "nearest_genome": ("nearest genome", "name", "nearest reference genome in the embedding"),
    "nearest_taxon": ("nearest taxon", "name", "taxon of the nearest reference genome"),
    "d1": ("distance", "decimal", "distance to the nearest reference genome in the embedding"),
    "medoid": ("medoid", "name", "the contig nearest to the centre of the bin"),
}


def bin_table(
    bins: str | Path,
    *,
    novelty: str | Path | None = None,
    evaluation: str | Path | None = None,
    quality: str | Path | None = None,
) -> tuple[dict, dict[str, list[float]]]:
    """Merge what the stages say about the bins.

    Parameters
    ----------
    bins : bins.tsv of the bin stage.
    novelty : bins.tsv of the novelty stage, if it ran.
    evaluation : bins.tsv of the evaluate stage, if there is a truth.
    quality : completeness and contamination from marker genes (`quality.read_quality`), if they were looked for.

    Returns
    -------
    table : {"columns": [{key, label, kind, title}], "rows": [[value, ...]]} in the order of bins.tsv; a value is a
        string, a number, or None.
    depth : {"libraries": [names], "values": [[mean depth in x a library] a bin]}.

    Raises
    ------
    InputError
        when a required column is missing or another table names a bin that bins.tsv does not have.
    """
    table = read_table(bins, required=BIN_COLUMNS, numeric=(*BIN_COLUMNS[1:5], "tightness"))
    libraries = [column for column in table.columns if column.startswith(DEPTH_PREFIX)]
    if novelty is not None:
        table = _join(table, _novelty(novelty), novelty)
    if evaluation is not None:
        table = _join(table, _evaluation(evaluation), evaluation)
    if quality is not None:
        table = _join(table, _quality(quality), quality)
    columns, values = [], []
    for key, (label, kind, title) in _SPECIFICATION.items():
        if key in table.columns and not (key not in BIN_COLUMNS and (table[key].isna() | (table[key] == "")).all()):
            columns.append({"key": key, "label": label, "kind": kind, "title": title})
            values.append(_plain(table[key], kind))
        if key == "gc":
            _add_depth(table, libraries, columns, values)
    depth = {
        "libraries": [name.removeprefix(DEPTH_PREFIX) for name in libraries],
        "values": [[number(value) for value in row] for row in table[libraries].to_numpy()],
    }
    return {"columns": columns, "rows": [list(row) for row in zip(*values, strict=True)]}, depth


def _add_depth(table: pd.DataFrame, libraries: list[str], columns: list, values: list) -> None:
    import pandas as pd

    # As float: columns without rows stay text, of which there is no mean.
    depths = table[libraries].apply(pd.to_numeric, errors="coerce").astype(float)
    shown = libraries if len(libraries) <= _MAX_DEPTH_COLUMNS else []
    for column in shown:
        name = column.removeprefix(DEPTH_PREFIX)
        title = f"mean depth of the bin in library {name}, times covered"
        columns.append({"key": column, "label": f"depth {name}", "kind": "depth", "title": title})
        values.append(_plain(depths[column], "depth"))
    if len(libraries) > _MAX_DEPTH_COLUMNS:
        title = f"mean depth of the bin over {len(libraries)} libraries, times covered"
        columns.append({"key": "depth", "label": "mean depth", "kind": "depth", "title": title})
        values.append(_plain(depths.mean(axis=1), "depth"))


def _plain(values: pd.Series, kind: str) -> list:
    if kind in ("name", "call"):
        return [value if isinstance(value, str) and value else None for value in values]
    return [number(value) for value in values]


def _join(table: pd.DataFrame, other: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    unknown = sorted(set(other["bin"]) - set(table["bin"]))
    if unknown:
        raise InputError(
            f"names the bin {', '.join(unknown[:3])}, which the sample's bins.tsv does not have",
            path=path,
            remedy="it comes from an earlier run: delete it and run again",
        )
    return table.merge(other.drop_duplicates("bin"), on="bin", how="left", validate="one_to_one")


def _novelty(path: str | Path) -> pd.DataFrame:
    table = read_table(path, required=_NOVELTY_COLUMNS, numeric=("d1", *(f"q_{test}" for test in TESTS)))
    table["bin"] = table["query"]
    table["q"] = call_q(table)
    table["call"] = call_text(table)
    if "nearest_taxon" in table.columns:
        table["nearest_taxon"] = table["nearest_taxon"].map(_lowest_rank)
    wanted = ["bin", "call", "q", "nearest_genome", "nearest_taxon", "d1"]
    return table[[column for column in wanted if column in table.columns]]


def _lowest_rank(lineage: str) -> str:
    """The lowest rank that a lineage names: "s__Escherichia coli", or "g__Escherichia" where the species is open."""
    named = [part for part in lineage.split(";") if not part.endswith("__")]
    return named[-1].strip() if named else ""


def call_q(table: pd.DataFrame) -> pd.Series:
    """The q value behind each row's call, `q_<call_rank>`; NaN where nothing is decided."""
    import numpy as np
    import pandas as pd

    values = pd.Series(np.nan, index=table.index)
    decided = table["call"].str.match("known|novel")
    for test in TESTS:
        if f"q_{test}" in table.columns and "call_rank" in table.columns:
            rows = decided & (table["call_rank"] == test)
            values[rows] = table.loc[rows, f"q_{test}"]
    return values


def call_text(table: pd.DataFrame) -> pd.Series:
    """The call of each row as the page writes it: "novel genus" for novel_genus."""
    return table["call"].str.replace("_", " ")


def _quality(path: str | Path) -> pd.DataFrame:
    import pandas as pd

    rows = [(name, of.completeness, of.contamination) for name, of in read_quality(path).items()]
    table = pd.DataFrame(rows, columns=["bin", "marker_completeness", "marker_contamination"])
    return table.astype({"bin": object})


def _evaluation(path: str | Path) -> pd.DataFrame:
    table = read_table(path, required=("bin",))
    import pandas as pd

    for key in ("completeness", "contamination", "purity"):
        source = next((name for name in (f"{key}_bp", key) if name in table.columns), None)
        if source is not None:
            table[key] = pd.to_numeric(table[source], errors="coerce").astype(float)
    if "contamination" not in table.columns and "purity" in table.columns:
        table["contamination"] = 1 - table["purity"]
    return table[[column for column in ("bin", "genome", "completeness", "contamination") if column in table.columns]]

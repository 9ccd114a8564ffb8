"""One sample in numbers, tables and points: everything that the page shows of it, as plain JSON values."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.report.bin_table import bin_table
from workflow_lib.report.embedding_map import choose_rows, project
from workflow_lib.report.evaluation_summary import evaluation_summary
from workflow_lib.report.genomes import review_table
from workflow_lib.report.inputs import number, read_json, read_table, to_json
from workflow_lib.report.novelty_summary import novelty_summary, read_novelty
from workflow_lib.report.reads import read_filtering_table
from workflow_lib.report.threshold import threshold_summary
from workflow_lib.store import read_store

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

STATUSES = ("binned", "unbinned", "too_short", "n_rich", "duplicate_name")
KEPT = ("binned", "unbinned")  # statuses of the contigs that passed the filter
_CONTIG_COLUMNS = ("contig", "length", "status", "bin", "reason")
FORMAT = 1  # of the summary; the page refuses others
_MAX_REASONS = 8


@dataclass(frozen=True)
class SampleFiles:
    """What a sample's summary is made from; None where a stage did not run for it.

    Attributes
    ----------
    contigs, bins, binning : contigs.tsv, bins.tsv and binning.json of the bin stage.
    embeddings : folder of the sample's embedding store.
    novelty_contigs, novelty_bins : tables of the novelty stage (only with a reference).
    metrics, evaluation_bins : tables of the evaluate stage (only with a truth).
    quality : completeness and contamination of the bins from marker genes (only where they are looked for).
    review_bins, review_merges : tables of the review (only where the sample came with bins).
    fastp : library name -> fastp.json, of the libraries of short reads.
    """

    contigs: str | Path
    bins: str | Path
    binning: str | Path
    embeddings: str | Path
    novelty_contigs: str | Path | None = None
    novelty_bins: str | Path | None = None
    metrics: str | Path | None = None
    evaluation_bins: str | Path | None = None
    quality: str | Path | None = None
    review_bins: str | Path | None = None
    review_merges: str | Path | None = None
    fastp: dict[str, str | Path] = field(default_factory=dict)


def summarise_sample(
    sample: str,
    files: SampleFiles,
    *,
    group: str | None = None,
    libraries: dict[str, str] | None = None,
    max_points: int = 3000,
    seed: int = 1,
) -> dict:
    """Summarise a sample.

    Parameters
    ----------
    sample, group : names from the samples table.
    files : what the other stages wrote.
    libraries : name -> kind (paired, single, long, bam, depth) of the libraries counted on the sample; a depth
        table of several columns is as many of them.
    max_points : contigs drawn on the map at most; 2-D t-SNE of 3,000 takes about 10 s and 100 MB.
    seed : of the choice of contigs and of t-SNE.

    Returns
    -------
    A dict of plain JSON values; the same input gives the same dict.

    Raises
    ------
    InputError
        when a file lacks a required column, or two files are not of the same contigs.
    """
    start = time.monotonic()
    contigs = read_table(files.contigs, required=_CONTIG_COLUMNS, numeric=("length",))
    bins, depth = bin_table(
        files.bins, novelty=files.novelty_bins, evaluation=files.evaluation_bins, quality=files.quality
    )
    novelty_table = None if files.novelty_contigs is None else read_novelty(files.novelty_contigs)
    has_novelty = novelty_table is not None and files.novelty_bins is not None
    binning = read_json(files.binning)
    embedding, points = _map(contigs, files, bins, novelty_table, max_points, seed)
    summary = {
        "format": FORMAT,
        "sample": sample,
        "group": group or sample,
        "libraries": _libraries(libraries or {}, depth["libraries"]),
        "counts": _counts(contigs, len(bins["rows"])),
        "statuses": _statuses(contigs),
        "reasons": _reasons(contigs),
        "embedding": embedding,
        "map": points,
        "bins": bins,
        "depth": depth,
        "threshold": threshold_summary(binning),
        "reads": read_filtering_table(files.fastp),
        "novelty": novelty_summary(novelty_table, read_novelty(files.novelty_bins)) if has_novelty else None,
        "evaluation": None if files.metrics is None else evaluation_summary(files.metrics),
        "review": review_table(files.review_bins, files.review_merges) if files.review_bins else None,
    }
    logger.info(
        "%s: %d contigs, %d bins, %d points drawn by %s; %.1f s",
        sample, len(contigs), len(bins["rows"]), len(points["x"]), points["method"], time.monotonic() - start,
    )  # fmt: skip
    return summary


def write_summary(path: str | Path, summary: dict) -> None:
    """Write a summary as JSON, atomically."""
    with atomic_open(path) as handle:
        handle.write(to_json(summary) + "\n")


def _counts(contigs: pd.DataFrame, n_bins: int) -> dict:
    kept, binned = contigs["status"].isin(KEPT), contigs["status"] == "binned"
    return {
        "contigs": len(contigs),
        "bp": int(contigs["length"].sum()),
        "kept": int(kept.sum()),
        "kept_bp": int(contigs.loc[kept, "length"].sum()),
        "binned": int(binned.sum()),
        "binned_bp": int(contigs.loc[binned, "length"].sum()),
        "longest": int(contigs["length"].max()) if len(contigs) else 0,
        "bins": n_bins,
    }


def _statuses(contigs: pd.DataFrame) -> list[dict]:
    rows = []
    for status in (*STATUSES, *sorted(set(contigs["status"]) - set(STATUSES))):
        chosen = contigs["status"] == status
        rows.append(
            {"status": status, "contigs": int(chosen.sum()), "bp": int(contigs.loc[chosen, "length"].sum())},
        )
    return rows


def _reasons(contigs: pd.DataFrame) -> list[list]:
    """Why contigs that passed the filter are in no bin: [reason, contigs, bp], the most frequent first.

    What follows a colon differs from contig to contig (sizes) and is left out.
    """
    unbinned = contigs[(contigs["status"] == "unbinned") & (contigs["reason"] != "")]
    grouped = unbinned.groupby(unbinned["reason"].str.split(":").str[0])["length"].agg(["size", "sum"])
    rows = [[reason, int(n), int(bp)] for reason, n, bp in grouped.itertuples()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:_MAX_REASONS]


def _libraries(kinds: dict[str, str], columns: list[str]) -> list[dict[str, str]]:
    """Name and kind of every column of depth; a depth table of several has them as {library}.{column}."""
    longest_first = sorted(kinds, key=len, reverse=True)
    of: dict[str, list[str]] = {name: [] for name in kinds}
    for column in columns:
        owner = next((name for name in longest_first if column == name or column.startswith(f"{name}.")), None)
        if owner is not None:
            of[owner].append(column)
    return [{"name": column, "kind": kind} for name, kind in kinds.items() for column in of[name] or [name]]


def _map(
    contigs: pd.DataFrame,
    files: SampleFiles,
    bins: dict,
    novelty: pd.DataFrame | None,
    max_points: int,
    seed: int,
) -> tuple[dict, dict]:
    """The embedder's identity, and the points of the map in order of priority (fewer points: a prefix)."""
    store = read_store(files.embeddings, mmap=True, verify=False)
    kept = contigs[contigs["status"].isin(KEPT)].reset_index(drop=True)
    store.check_names(kept["contig"].tolist(), str(files.contigs))
    row_of = {name: row for row, name in enumerate(store.names)}
    medoid = [column["key"] for column in bins["columns"]].index("medoid")
    medoids = [row_of[row[medoid]] for row in bins["rows"] if row[medoid] in row_of]
    rows = choose_rows(len(kept), max_points, always=medoids, seed=seed)
    grid, method = project(np.asarray(store.vectors[rows]), seed=seed)
    chosen = kept.iloc[rows]
    bin_index = {row[0]: index for index, row in enumerate(bins["rows"])}
    unknown = sorted(set(chosen["bin"]) - set(bin_index) - {""})
    if unknown:
        raise InputError(f"bin {unknown[0]!r} is not in {files.bins}", path=files.contigs, remedy="run the bins anew")
    points = {
        "method": method,
        "total": len(kept),
        "seed": seed,
        "contig": chosen["contig"].tolist(),
        "x": grid[:, 0].tolist(),
        "y": grid[:, 1].tolist(),
        "bin": [bin_index.get(name, -1) for name in chosen["bin"]],
        "length": [int(length) for length in chosen["length"]],
    }
    if novelty is not None:
        points.update(_calls_of_points(chosen["contig"].tolist(), novelty))
    identity = {key: store.manifest.get(key) for key in ("embedder", "name", "fingerprint", "dim")}
    name = identity.pop("embedder") or identity["name"]
    return {**identity, "name": name if isinstance(name, str) else None}, points


def _calls_of_points(names: list[str], novelty: pd.DataFrame) -> dict:
    """Call (index into `calls`, -1: none) and distance of every point."""
    rows = novelty.drop_duplicates("query").set_index("query").reindex(names)
    calls = sorted(set(novelty["shown"]))
    index = {call: position for position, call in enumerate(calls)}
    return {
        "calls": calls,
        "call": [index.get(call, -1) for call in rows["shown"]],
        "d1": [number(value) for value in rows["d1"]],
        "nearest": rows["nearest_genome"].fillna("").tolist() if "nearest_genome" in rows.columns else None,
    }

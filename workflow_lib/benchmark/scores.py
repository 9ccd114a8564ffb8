"""The scores of one binner on one set, the same for all binners."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_lib.errors import InputError
from workflow_lib.evaluate import evaluate_binning

logger = logging.getLogger(__name__)

# Quality of a recovered genome: name, completeness above, contamination below.
LEVELS = (("90_5", 0.90, 0.05), ("50_10", 0.50, 0.10))
_RECOVERABLE = 0.90  # share of a genome's bp in the assembly that the contigs which binners get must hold


@dataclass(frozen=True)
class Truth:
    """Contigs of an assembly: contig -> genome, contig -> bp, and those that binners get."""

    genomes: dict[str, str]
    lengths: dict[str, int]
    kept: set[str]


def read_truth(path: str | Path) -> Truth:
    """Read the truth of a set: contig, genome, length, kept of every contig of the assembly."""
    with open(path, encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return Truth(
        {row["contig"]: row["genome"] for row in rows},
        {row["contig"]: int(row["length"]) for row in rows},
        {row["contig"] for row in rows if row["kept"] == "1"},
    )


def score_binning(
    clusters: dict[str, str], truth: Truth, *, min_bin_length: int
) -> tuple[dict[str, float], pd.DataFrame]:
    """Score a binning by what the contigs hold that all binners get.

    Bins below `min_bin_length` bp count as unbinned, whoever made them. The completeness of a bin is the share of its
    main genome's bp, among the contigs that binners get, that it holds; its contamination is 1 - purity, the share of
    its bp that are of another genome. A genome is recovered at a level of `LEVELS` if a bin whose main genome it is
    meets both limits; it is missed if it is not, although the contigs that binners get hold over 90% of what the
    assembly has of it.

    Parameters
    ----------
    clusters : contig -> bin, binned contigs only.
    truth : of every contig of the assembly.
    min_bin_length : bp.

    Returns
    -------
    scores : bins, genomes, recoverable, recovered_* and missed_* at each level, purity and assigned (shares of the bp).
    genomes : a row a genome: genome, length_bp, assembly_bp, recoverable, bin, completeness, purity of the bin that
        holds most of it, the main other genome in that bin (mixed_with), recovered_* at each level.

    Raises
    ------
    InputError
        when a binner names a contig that it did not get.
    """
    lengths = {contig: bp for contig, bp in truth.lengths.items() if contig in truth.kept}
    unknown = [contig for contig in clusters if contig not in lengths]
    if unknown:
        raise InputError(f"{len(unknown)} binned contigs are not in the set, e.g. {unknown[0]!r}")
    sizes = Counter()
    for contig, name in clusters.items():
        sizes[name] += lengths[contig]
    kept = {contig: name for contig, name in clusters.items() if sizes[name] >= min_bin_length}
    evaluation = evaluate_binning(kept, {contig: truth.genomes[contig] for contig in lengths}, lengths)
    genomes = _describe_genomes(evaluation.bins, evaluation.genomes, truth, kept, lengths)
    scores: dict[str, float] = {
        "bins": len(evaluation.bins),
        "genomes": len(genomes),
        "recoverable": int(genomes["recoverable"].sum()),
    }
    for level, _, _ in LEVELS:
        recovered = genomes[f"recovered_{level}"]
        scores[f"recovered_{level}"] = int(recovered.sum())
        scores[f"missed_{level}"] = int((genomes["recoverable"] & ~recovered).sum())
    scores["purity"] = evaluation.value("purity")
    scores["assigned"] = evaluation.value("assigned")
    return scores, genomes


def _describe_genomes(
    bins: pd.DataFrame, genomes: pd.DataFrame, truth: Truth, clusters: dict[str, str], lengths: dict[str, int]
) -> pd.DataFrame:
    assembly, content = Counter(), {}
    for contig, bp in truth.lengths.items():
        assembly[truth.genomes[contig]] += bp
    for contig, name in clusters.items():
        content.setdefault(name, Counter())[truth.genomes[contig]] += lengths[contig]
    table = pd.DataFrame({"genome": sorted(assembly)}).merge(genomes, on="genome", how="left")
    table["length_bp"] = table["length_bp"].fillna(0).astype(np.int64)
    table["assembly_bp"] = table["genome"].map(assembly).astype(np.int64)
    table["recoverable"] = table["length_bp"] > _RECOVERABLE * table["assembly_bp"]
    table["bin"] = table["bin"].fillna("")
    table["mixed_with"] = [
        _main_other(content.get(name), genome) for genome, name in zip(table["genome"], table["bin"], strict=True)
    ]
    for level, complete, contaminated in LEVELS:
        good = bins[(bins["completeness_bp"] > complete) & (bins["contamination_bp"] < contaminated)]
        table[f"recovered_{level}"] = table["genome"].isin(set(good["genome"]))
    columns = ["genome", "length_bp", "assembly_bp", "recoverable", "bin", "completeness_bp", "purity_bp", "mixed_with"]
    table = table[[*columns, *(f"recovered_{level}" for level, _, _ in LEVELS)]]
    return table.rename(columns={"completeness_bp": "completeness", "purity_bp": "purity"})


def _main_other(content: Counter | None, genome: str) -> str:
    """The genome, other than `genome`, that has most bp in a bin; empty where there is none."""
    others = [(-bp, name) for name, bp in (content or {}).items() if name != genome]
    return min(others)[1] if others else ""

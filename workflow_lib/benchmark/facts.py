"""What may explain that a genome is lost: its size, its depth, and the genome of its set that is most like it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_lib.benchmark.scores import Truth
from workflow_lib.bin.outputs import n50
from workflow_lib.fasta import read_fasta
from workflow_lib.simulate.strains import STRAIN_SUFFIX

logger = logging.getLogger(__name__)

_LEAST_DEPTH = 0.01  # x; lower depths count as this in ratios


def describe_genomes(contigs: str | Path, depth: str | Path, truth: Truth) -> pd.DataFrame:
    """Describe the genomes of a set by the contigs that binners get.

    Returns
    -------
    A row a genome, by name: genome, strain (of an evolved pair), n_contigs, n50 (bp), depth (x, mean over the
    libraries, contigs weighted by length), nearest (the genome of the set with the highest average nucleotide identity
    by skani; empty below about 80%), ani, depth_ratio (root mean square over libraries of the log2 ratio of the two
    genomes' depths: 0 means that depth cannot tell them apart).
    """
    sequences: dict[str, list[bytes]] = {}
    for record in read_fasta(contigs):
        sequences.setdefault(truth.genomes[record.name], []).append(record.sequence)
    names = sorted(sequences)
    lengths = {name: np.array([len(sequence) for sequence in sequences[name]]) for name in names}
    depths = _genome_depths(depth, truth)
    nearest = _nearest(sequences)
    rows = []
    for name in names:
        other, ani = nearest.get(name, ("", float("nan")))
        ratio = (
            np.log2(np.maximum(depths[name], _LEAST_DEPTH) / np.maximum(depths[other], _LEAST_DEPTH)) if other else []
        )
        rows.append(
            {
                "genome": name,
                "strain": name.endswith(STRAIN_SUFFIX) or name + STRAIN_SUFFIX in sequences,
                "n_contigs": len(lengths[name]),
                "n50": n50(lengths[name]),
                "depth": float(np.mean(depths[name])),
                "nearest": other,
                "ani": ani,
                "depth_ratio": float(np.sqrt(np.mean(np.square(ratio)))) if other else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def _genome_depths(path: str | Path, truth: Truth) -> dict[str, np.ndarray]:
    """Depth of each genome in each library, at least `_LEAST_DEPTH`: the mean of its contigs weighted by length."""
    table = pd.read_csv(path, sep="\t", dtype={"contig": str}, keep_default_na=False, na_values="").fillna(0.0)
    values = table.iloc[:, 2::2].to_numpy(dtype=np.float64)
    weights = table["length"].to_numpy(dtype=np.float64)
    codes, names = pd.factorize(table["contig"].map(truth.genomes))
    total = np.bincount(codes, weights=weights)
    means = np.stack([np.bincount(codes, weights=weights * column) / total for column in values.T], axis=1)
    return dict(zip(names.tolist(), np.maximum(means, _LEAST_DEPTH), strict=True))


def _nearest(sequences: dict[str, list[bytes]]) -> dict[str, tuple[str, float]]:
    """Genome -> the other one of highest average nucleotide identity, and the identity (share)."""
    import pyskani

    database = pyskani.Database()
    for name, contigs in sequences.items():
        database.sketch(name, *contigs)
    nearest = {}
    for name, contigs in sequences.items():
        hits = [hit for hit in database.query(name, *contigs) if hit.reference_name != name]
        if hits:
            best = max(hits, key=lambda hit: (hit.identity, hit.reference_name))
            nearest[name] = (best.reference_name, best.identity)
    return nearest

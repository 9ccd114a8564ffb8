"""Which bins are two genomes, and which pairs of bins are one, told by how far apart the halves of all bins are."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np

from workflow_lib.bin.groups import rows_of_bins
from workflow_lib.bin.parts import two_parts
from workflow_lib.blocks import one_blas_thread
from workflow_lib.review.contigs import (
    BEYOND_DOUBT,
    FITS,
    MIN_BIN_CONTIGS,
    MISPLACED,
    OUTLIER,
    bin_distances,
    bin_sums,
    scaled_distances,
    upper_tail,
)

logger = logging.getLogger(__name__)

MIN_BINS = 8  # with at least five contigs, below which nothing is known of how far apart halves are
_MERGE_QUANTILE = 0.2  # of the distances between parts
_MIN_PART_CONTIGS = 3  # in the smaller part of a bin that is to be split
_MIN_PART_SHARE = 0.1  # of the bin's bp
_LEAST_SPREAD = 0.3  # of the log of the distance: so many genomes are never alike, and few bins tell little of it
_WIDEST = 1.15  # cube root of the smaller part's distances to its mean, over what is typical; strangers: 1.2 to 2
_SMALLEST = 1e-6


@dataclass(frozen=True)
class BinVerdicts:
    """What is thought of b bins.

    Attributes
    ----------
    distances : float64 (b,) 1 - cosine between the means of a bin's two parts; NaN where it has too few contigs.
    p_values : float64 (b,) that the parts of one genome are so far apart; NaN where not judged.
    split : bool (b,) whether the bin should be split.
    parts : int64 (n,) part of a contig, 1 (more bp) or 2; 0 where its bin has none.
    merges : (bin, bin, 1 - cosine between their means), the nearest pair first.
    limit : distance up to which two bins are taken for one genome; NaN where bins are too few.
    """

    distances: np.ndarray
    p_values: np.ndarray
    split: np.ndarray
    parts: np.ndarray
    merges: list[tuple[int, int, float]] = field(default_factory=list)
    limit: float = float("nan")


def judge_bins(
    vectors: np.ndarray,
    labels: np.ndarray,
    lengths: np.ndarray,
    verdicts: np.ndarray | None = None,
    *,
    false_alarm: float = 0.01,
) -> BinVerdicts:
    """Judge bins: each is cut in the two parts that differ most, which in most bins are of one genome.

    The two parts are those of K-means (from the first principal axis). The smaller one may be a genome if it has 3
    contigs and a tenth of the bp, and its contigs hold together: the median cube root of their distances to its mean is
    at most 1.15 of what is typical for their lengths (strays from several genomes lie farther out). Where it is none,
    the bin is cut anew without its misplaced contigs, and if that does not help, without its outliers: so strays do not
    stand for how far apart parts of a genome are, and a small second genome is not taken for strays.

    The distance D, 1 - cosine of the parts' means, is log-normal among bins of one genome, its median and standard
    deviation (at least 0.3) taken from the lower side. A bin is to be split where the p of its D is below a tenth of
    `false_alarm` and its smaller part may be a genome. Two bins are to be merged where their means, without misplaced
    contigs and outliers, are no farther apart than the 20th percentile of D: closer than the parts of one genome mostly
    are.

    Parameters
    ----------
    vectors, labels, lengths : as for `contigs.judge_contigs`; contigs with rows of zeros are left out.
    verdicts : of that function on the n contigs; None: no contig is misplaced or an outlier.
    false_alarm : ten times the p below which a bin is to be split.

    Returns
    -------
    The verdicts; with fewer than 8 bins of 5 embedded contigs nothing is judged.
    """
    kept = vectors.any(axis=1) & (labels >= 0)
    verdicts = np.full(len(labels), FITS) if verdicts is None else verdicts
    parts, distances = _cut(vectors, labels, lengths, kept)
    p_values, split = np.full(len(distances), np.nan), np.zeros(len(distances), dtype=bool)
    if np.isfinite(distances).sum() < MIN_BINS:
        return BinVerdicts(distances, p_values, split, parts)
    genome = _second_is_a_genome(vectors, labels, lengths, parts)
    for verdict in (MISPLACED, OUTLIER):
        leave = kept & (verdicts == verdict) & ~np.append(genome, False)[labels]
        if leave.any():
            kept &= ~leave
            parts, distances = _cut(vectors, labels, lengths, kept)
            genome = _second_is_a_genome(vectors, labels, lengths, parts)
    judged = np.flatnonzero(np.isfinite(distances))
    if len(judged) < MIN_BINS:
        return BinVerdicts(distances, p_values, split, parts)
    p_values[judged] = upper_tail(np.log(np.maximum(distances[judged], _SMALLEST)), least_spread=_LEAST_SPREAD)
    split = genome & (np.nan_to_num(p_values, nan=1.0) < BEYOND_DOUBT * false_alarm)
    parts = _with_strays(vectors, labels, lengths, parts, split)
    limit = float(np.quantile(distances[judged], _MERGE_QUANTILE))
    belong = kept & ~np.isin(verdicts, (MISPLACED, OUTLIER))
    with one_blas_thread():
        merges = _near_pairs(bin_sums(vectors, labels, lengths, belong)[0], judged, limit)
    found = (len(judged), split.sum(), len(merges), limit)
    logger.info("%d bins judged: %d to be split, %d pairs to be merged (within %.4f)", *found)
    return BinVerdicts(distances, p_values, split, parts, merges, limit)


def _cut(
    vectors: np.ndarray, labels: np.ndarray, lengths: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Part of each contig, int64 (n,), and distance between the parts of each bin, float64 (b,), as in `BinVerdicts`.

    Contigs that are not `kept` have part 0.
    """
    distances, parts = np.full(int(labels.max(initial=-1)) + 1, np.nan), np.zeros(len(labels), dtype=np.int64)
    with one_blas_thread():
        for label, rows in enumerate(rows_of_bins(np.where(kept, labels, -1))):
            if len(rows) >= MIN_BIN_CONTIGS:
                in_second, distances[label] = two_parts(vectors[rows], lengths[rows])
                parts[rows] = 1 + in_second
    return parts, distances


def _with_strays(
    vectors: np.ndarray, labels: np.ndarray, lengths: np.ndarray, parts: np.ndarray, split: np.ndarray
) -> np.ndarray:
    """The parts, int64 (n,); in bins to be split contigs that were left out of the cut join the part that is nearer."""
    left = np.flatnonzero((parts == 0) & vectors.any(axis=1) & np.append(split, False)[labels])
    cosines = []
    for part in (1, 2):
        sums = bin_sums(vectors, labels, lengths, parts == part)[0][labels[left]]
        cosines.append(np.einsum("ij,ij->i", vectors[left], sums) / np.maximum(np.linalg.norm(sums, axis=1), 1e-12))
    joined = parts.copy()
    joined[left] = 1 + (cosines[1] > cosines[0])
    return joined


def _second_is_a_genome(vectors: np.ndarray, labels: np.ndarray, lengths: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Whether the smaller part of each bin is large, and its contigs hold together as those of bins do: bool (b,)."""
    rows = np.flatnonzero(parts)
    n_bins = int(labels.max(initial=-1)) + 1
    own = bin_distances(vectors, labels, lengths, parts > 0)[0]
    _, typical = scaled_distances(own, lengths, rows)
    apart = np.where(parts == 2, labels + n_bins, labels)
    roots, _ = scaled_distances(bin_distances(vectors, apart, lengths, parts > 0)[0], lengths, rows)
    found = np.zeros(n_bins, dtype=bool)
    for label, members in enumerate(rows_of_bins(np.where(parts > 0, labels, -1))):
        second, total = members[parts[members] == 2], lengths[members].sum()
        if len(second) >= _MIN_PART_CONTIGS and lengths[second].sum() >= _MIN_PART_SHARE * total:
            found[label] = np.median(roots[second] / typical[second]) <= _WIDEST
    return found


def _near_pairs(sums: np.ndarray, bins: np.ndarray, limit: float) -> list[tuple[int, int, float]]:
    """Pairs of `bins` whose sums are within `limit` (1 - cosine), the nearest first."""
    directions = sums[bins] / np.maximum(np.linalg.norm(sums[bins], axis=1), 1e-12)[:, None]
    found = []
    for at, label in enumerate(bins[:-1]):
        distance = 1 - directions[at + 1 :] @ directions[at]
        found += [(int(label), int(bins[at + 1 + i]), float(distance[i])) for i in np.flatnonzero(distance <= limit)]
    return sorted(found, key=lambda pair: (pair[2], pair[0], pair[1]))

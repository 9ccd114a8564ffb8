"""Tell numbers of reads from depth: they grow with the length of a contig."""

from __future__ import annotations

import numpy as np

from workflow_lib.bin.fuse import Depth
from workflow_lib.blocks import one_blas_thread
from workflow_lib.errors import InputError

_CONTIGS = 4000  # looked at, spread over all
_MIN_RATIO = 1.5  # of the lengths of two contigs that are compared
_MIN_PAIRS = 30
# Growth is 0 for depth and 1 for counts. On 135 simulated samples, of 53 contigs and more, it was -0.12 to 0.12 and
# 0.87 to 1.13.
_MAX_GROWTH = 0.5


def refuse_read_counts(depth: Depth, vectors: np.ndarray, lengths: np.ndarray) -> None:
    """Refuse a depth that grows with the length of contigs as numbers of reads do.

    Parameters
    ----------
    depth : of n contigs.
    vectors : float32 (n, d) unit rows, the embeddings.
    lengths : int64 (n,) bp.

    Raises
    ------
    InputError
        naming the libraries that hold counts.
    """
    growth = growth_with_length(depth, vectors, lengths)
    counts = [name for name, value in zip(depth.libraries, growth, strict=True) if value > _MAX_GROWTH]
    if counts:
        raise InputError(
            f"the depth of {', '.join(counts)} grows with the length of contigs, as numbers of reads do: between "
            f"contigs alike in composition as the power {growth[growth > _MAX_GROWTH].max():.2f} of length; depth does "
            "not grow (0)",
            remedy="give mean coverage (jgi_summarize_bam_contig_depths, `coverm contig -m mean`), reads, or BAM files",
        )


def growth_with_length(depth: Depth, vectors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Power of length that depth grows with, float64 (L,): between a contig and the one nearest in composition.

    Most of these pairs are of one genome, so that how deep and how fragmented genomes are does not matter. It is the
    median over pairs whose lengths differ, weighted by the difference in log length; NaN with fewer than 30 pairs.
    """
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _CONTIGS)).astype(np.int64))
    rows = rows[vectors[rows].any(axis=1)]
    growth = np.full(len(depth.libraries), np.nan)
    if len(rows) < _MIN_PAIRS:
        return growth
    with one_blas_thread():
        similarity = vectors[rows] @ vectors[rows].T.copy()
    np.fill_diagonal(similarity, -np.inf)
    nearest = rows[similarity.argmax(axis=1)]
    log_ratio = np.log(lengths[rows] / lengths[nearest])
    differ = np.abs(log_ratio) > np.log(_MIN_RATIO)
    for column, mean in enumerate(depth.mean.T):
        usable = differ & (mean[rows] > 0) & (mean[nearest] > 0)  # NaN is not
        if np.count_nonzero(usable) >= _MIN_PAIRS:
            power = np.log(mean[rows][usable] / mean[nearest][usable]) / log_ratio[usable]
            growth[column] = _weighted_median(power, np.abs(log_ratio[usable]))
    return growth


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])

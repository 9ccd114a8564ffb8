"""Tell numbers of reads from depth: they grow with the length of a contig."""

from __future__ import annotations

import numpy as np

from workflow_lib.bin.fuse import Depth
from workflow_lib.blocks import one_blas_thread
from workflow_lib.errors import InputError

_CONTIGS = 4000  # looked at, spread over all
_MIN_RATIO = 1.5  # of the lengths of two contigs that are compared
# Share of pairs nearer to counts than to depth from which on it is counts, if that is certain. On 386 simulated
# samples (941 libraries, of 53 contigs and more, strains of one species among them) it was at most 0.55 with depth, and
# 0.70 or more in 95% of them with counts.
_COUNTS = 2 / 3
_ERRORS = 3  # standard errors by which it exceeds a half


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
    share, n_pairs = share_like_counts(depth, vectors, lengths)
    # Two contigs that are nearest to each other are one pair that is counted twice.
    certain = share - 0.5 > _ERRORS * 0.5 / np.sqrt(np.maximum(n_pairs, 1) / 2)
    found = np.flatnonzero((share > _COUNTS) & certain)
    if len(found):
        raise InputError(
            f"the depth of {', '.join(depth.libraries[column] for column in found)} grows with the length of contigs, "
            f"as numbers of reads do: in {100 * share[found].max():.0f}% of the pairs of contigs alike in composition "
            "it grows more like length than not at all",
            remedy="give mean coverage (jgi_summarize_bam_contig_depths, `coverm contig -m mean`), reads, or BAM files",
        )


def share_like_counts(depth: Depth, vectors: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many pairs of a contig and the one nearest in composition have depths in the ratio of their lengths.

    Most pairs are of one genome, so that how deep and how fragmented genomes are matters little. Of such a pair the
    depths are alike, and the counts in the ratio of the lengths. Where a genome has a strain, deeper and in longer
    contigs, at most the pairs of the two, about a half, look like counts.

    Returns
    -------
    share : float64 (L,), of the pairs with another length and depth in both, those in which the ratio of depths is
        above the square root of the ratio of lengths; 0 without pairs. n_pairs : int64 (L,).
    """
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _CONTIGS)).astype(np.int64))
    rows = rows[vectors[rows].any(axis=1)]
    if len(rows) < 2:
        return np.zeros(len(depth.libraries)), np.zeros(len(depth.libraries), dtype=np.int64)
    with one_blas_thread():
        similarity = vectors[rows] @ vectors[rows].T.copy()
    np.fill_diagonal(similarity, -np.inf)
    nearest = rows[similarity.argmax(axis=1)]
    log_ratio = np.log(lengths[rows] / lengths[nearest])
    mean, other = depth.mean[rows], depth.mean[nearest]
    # What is not known is not above 0.
    compared = (np.abs(log_ratio) > np.log(_MIN_RATIO))[:, None] & (mean > 0) & (other > 0)
    growth = np.log(np.where(compared, mean, 1) / np.where(compared, other, 1)) * np.sign(log_ratio)[:, None]
    like_counts = compared & (growth > 0.5 * np.abs(log_ratio)[:, None])
    n_pairs = compared.sum(axis=0)
    return like_counts.sum(axis=0) / np.maximum(n_pairs, 1), n_pairs

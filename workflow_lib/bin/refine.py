"""After the medoids: contigs move to the bin whose mean they are nearest to, and leftovers join where they fit."""

from __future__ import annotations

import logging

import numpy as np

from workflow_lib.bin.groups import weighted_sums
from workflow_lib.bin.kmedoid import UNBINNED
from workflow_lib.blocks import block_pool

logger = logging.getLogger(__name__)

_SLACK = 0.9  # of the threshold: similarity to the mean of a bin at which a contig may be in it
_MARGIN = 0.05  # by which a leftover's first bin has to beat the second, in cosine
_BLOCK, _LEAST_BLOCK, _BLOCK_SIZE = 4096, 64, 1 << 24  # contigs at a time, and contigs x bins


def refine(
    vectors: np.ndarray, labels: np.ndarray, lengths: np.ndarray, threshold: float, *, passes: int = 5
) -> np.ndarray:
    """Assign contigs to the means of bins, as K-means does, but only where they are similar enough.

    K-medoid gives a contig to the first medoid that takes it; a later one may fit better. In each pass every contig
    finds the bin whose mean (weighted by the square root of the length) has the largest cosine with it. It goes there
    if its inner product with the mean, not scaled, is at least 0.9 x threshold; an unbinned one only if the second
    bin's cosine is 0.05 lower or more. No contig becomes unbinned.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows; rows of zeros stay unbinned.
    labels : int64 (n,) bins 0, 1, ..., -1 unbinned.
    lengths : int64 (n,) bp.
    threshold : similarity that K-medoid used.
    passes : at most; it ends when nothing moves.

    Returns
    -------
    int64 (n,), with the same numbers of bins; a bin may end up smaller, or empty. The same at any number of threads.
    """
    labels = labels.copy()
    embedded = vectors.any(axis=1)
    for number in range(passes):
        means = _means(vectors, labels, lengths)
        if not len(means):
            break
        nearest, inner, margin = _nearest_means(vectors, means)
        fits = embedded & (inner >= _SLACK * threshold)
        moves = fits & ((labels != UNBINNED) | (margin >= _MARGIN)) & (labels != nearest)
        logger.info(
            "pass %d: %d contigs change their bin, %d leftovers join one", number + 1,
            np.count_nonzero(moves & (labels != UNBINNED)), np.count_nonzero(moves & (labels == UNBINNED)),
        )  # fmt: skip
        if not moves.any():
            break
        labels[moves] = nearest[moves]
    return labels


def _means(vectors: np.ndarray, labels: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean of each bin, float32 (bins, d); zeros for an empty one."""
    sums, total = weighted_sums(vectors, labels, np.sqrt(lengths))
    return (sums / np.maximum(total, 1e-12)[:, None]).astype(np.float32)


def _nearest_means(vectors: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each vector the mean of the largest cosine, its inner product with it, what the second one lacks."""
    norms = np.linalg.norm(means, axis=1)
    turned = np.ascontiguousarray((means / np.maximum(norms, 1e-12)[:, None]).T)
    block = max(_LEAST_BLOCK, min(_BLOCK, _BLOCK_SIZE // max(len(means), 1)))

    def search(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cosines = vectors[start : start + block] @ turned
        cosines[:, norms == 0] = -np.inf
        rows = np.arange(len(cosines))
        best = cosines.argmax(axis=1)
        highest = cosines[rows, best]
        cosines[rows, best] = -np.inf
        return best, highest * norms[best], highest - cosines.max(axis=1, initial=-1.0)

    with block_pool() as map_blocks:
        parts = list(map_blocks(search, range(0, len(vectors), block)))
    if not parts:
        return np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

"""After the medoids: contigs move to the bin whose mean they are nearest to, and leftovers join where they fit."""

from __future__ import annotations

import logging

import numpy as np

from workflow_lib.bin.groups import weighted_sums
from workflow_lib.bin.kmedoid import UNBINNED
from workflow_lib.bin.near_bins import Block, all_pairs, check_near, near_pairs, nearest_bins, sample_rows
from workflow_lib.blocks import block_pool

logger = logging.getLogger(__name__)

_SLACK = 0.9  # of the threshold: similarity to the mean of a bin at which a contig may be in it
_MARGIN = 0.05  # by which a leftover's first bin has to beat the second, in cosine
_BLOCK = 4096  # contigs at a time, at most


def refine(
    vectors: np.ndarray,
    labels: np.ndarray,
    lengths: np.ndarray,
    threshold: float,
    *,
    passes: int = 5,
    near_only: bool = False,
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
    near_only : compare a contig with the means near that of its bin, or near the one that it was nearest to in the pass
        before (`near_bins`); unbinned ones with all in the first pass.

    Returns
    -------
    int64 (n,), with the same numbers of bins; a bin may end up smaller, or empty. The same at any number of threads.
    """
    labels = labels.copy()
    embedded = vectors.any(axis=1)
    nearest = labels
    for number in range(passes):
        means = _means(vectors, labels, lengths)
        if not len(means):
            break
        nearest, inner, margin = _nearest_means(vectors, means, nearest if near_only else None)
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


def _nearest_means(
    vectors: np.ndarray, means: np.ndarray, home: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each vector the mean of the largest cosine, its inner product with it, what the second one lacks.

    Among all means, or with a `home` (n,) among those near it. In float64: some contigs lie in the middle of two means
    but for the rounding of float32, which depends on the block.
    """
    norms = np.linalg.norm(means, axis=1)
    units = means / np.maximum(norms, 1e-12)[:, None]
    turned, numbers = np.ascontiguousarray(units.T, dtype=np.float64), np.arange(len(means))
    best, inner, margin = (np.zeros(len(vectors), dtype=dtype) for dtype in (np.int64, np.float64, np.float64))

    def search(block: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, bins = block
        cosines = vectors[rows] @ turned[:, bins]
        cosines[:, norms[bins] == 0] = -np.inf
        rows = np.arange(len(cosines))
        best = cosines.argmax(axis=1)
        highest = cosines[rows, best]
        cosines[rows, best] = -np.inf
        return numbers[bins][best], highest * norms[bins][best], highest - cosines.max(axis=1, initial=-1.0)

    with block_pool() as map_blocks:
        if home is None:
            blocks = all_pairs(len(vectors), len(means), _BLOCK)
        else:
            blocks = near_pairs(*_near_means(units, norms, home), _BLOCK)
        for (rows, _), found in zip(blocks, map_blocks(search, blocks), strict=True):
            best[rows], inner[rows], margin[rows] = found
        if home is not None:
            sample = sample_rows(len(vectors))
            check_near(best[sample], search((sample, slice(None)))[0])
    return best, inner, margin


def _near_means(units: np.ndarray, norms: np.ndarray, home: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The homes that are no empty bins, and for each bin the bins near it; no empty bin is."""
    present = np.flatnonzero(norms > 0)
    nearest = nearest_bins(units[present])
    near = np.zeros((len(units), nearest.shape[1]), dtype=np.int64)
    near[present] = present[nearest]
    return np.where((home != UNBINNED) & (norms[home] > 0), home, UNBINNED), near

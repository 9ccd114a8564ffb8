"""Genomes of shorter contigs than the others of a sample: what the mixture leaves out is binned by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from workflow_lib.bin.kmedoid import UNBINNED, drop_small_bins
from workflow_lib.bin.metric import Pieces
from workflow_lib.bin.threshold import label_free

logger = logging.getLogger(__name__)

_MIN_LEFT = 20  # contigs, and halves as short
LIBRARIES_OF_LEFTOVERS = 2  # at least: composition and one depth do not part short contigs well enough


def bin_leftovers(
    labels: np.ndarray,
    vectors: np.ndarray,
    pieces: Pieces,
    lengths: np.ndarray,
    find_medoids: Callable[[np.ndarray, float], np.ndarray],
    *,
    min_bin_size: int,
    min_bin_length: int,
    seed: int,
) -> np.ndarray:
    """Bin the contigs that are in no bin, and too short to be one, by a threshold for contigs as short as they are.

    Where most genomes have long contigs, those of a genome in short ones are too noisy for the threshold that is good
    for the others; and without a bin of theirs the mixture cannot give them to it. The threshold is that of the halves
    that are no longer than the median contig left.

    Parameters
    ----------
    labels : int64 (n,), -1 is unbinned.
    vectors : float32 (n, d) unit rows; rows of zeros stay unbinned.
    pieces : halves of contigs in the same space.
    lengths : int64 (n,) bp.
    find_medoids : labels, int64 (m,), of the K-medoid of some vectors (m, d) at a threshold.
    min_bin_size, min_bin_length : contigs and bp, both, of a new bin.
    seed : of `label_free`.

    Returns
    -------
    The labels, new bins having the highest; the same array where there is nothing to add, as where fewer than
    20 contigs are left or fewer halves are as short.
    """
    left = np.flatnonzero((labels == UNBINNED) & vectors.any(axis=1) & (lengths < min_bin_length))
    if len(left) < _MIN_LEFT or lengths[left].sum() < min_bin_length:
        return labels
    alike = pieces.lengths <= np.median(lengths[left])
    if np.count_nonzero(alike) < _MIN_LEFT:
        return labels
    short = Pieces(pieces.rows[alike], pieces.lengths[alike], pieces.vectors[alike])
    threshold = label_free(vectors, short, seed=seed).value
    found = drop_small_bins(find_medoids(vectors[left], threshold), min_bin_size)
    bp = np.bincount(found[found >= 0], lengths[left][found >= 0], minlength=1)
    joined = (found >= 0) & (bp[found] >= min_bin_length)
    if not joined.any():
        return labels
    _, number = np.unique(found[joined], return_inverse=True)
    logger.info("%d of %d leftovers make %d bins", np.count_nonzero(joined), len(left), number.max() + 1)
    extended = labels.copy()
    extended[left[joined]] = labels.max(initial=UNBINNED) + 1 + number
    return extended

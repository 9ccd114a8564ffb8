"""Which bins the contigs of a large sample are compared with: those near the bin that they were nearest to before.

All pairs of contigs and bins grow with the square of the sample. The contigs of one bin are compared with the same
bins, so that a bin is a block of a matrix product.
"""

from __future__ import annotations

import logging

import numpy as np

from workflow_lib.bin.groups import rows_of_bins
from workflow_lib.bin.kmedoid import UNBINNED

logger = logging.getLogger(__name__)

NEAR = 64  # bins that a contig is compared with
_SAMPLE = 500  # contigs that are compared with all bins, to see whether the near ones are enough
_TOLERANCE = 0.01  # share of these with a better bin elsewhere, above which a warning is due
_BLOCK = 512  # bins whose similarities to all are held at a time
_LEAST_BLOCK, _BLOCK_SIZE = 64, 1 << 24  # contigs at a time, and contigs x bins

Block = tuple[slice | np.ndarray, slice | np.ndarray]


def all_pairs(
    n: int, n_bins: int, most: int, size: int = _BLOCK_SIZE, *, rows: np.ndarray | None = None
) -> list[Block]:
    """Blocks of n contigs, or of some `rows` of them, with all bins: at most `most` contigs and about `size` pairs."""
    block = min(most, max(_LEAST_BLOCK, size // max(n_bins, 1)))
    parts = [slice(start, start + block) for start in range(0, n if rows is None else len(rows), block)]
    return [(part if rows is None else rows[part], slice(None)) for part in parts]


def near_pairs(home: np.ndarray, near: np.ndarray, most: int, size: int = _BLOCK_SIZE) -> list[Block]:
    """Blocks of rows with the bins that they are compared with: those near their home, or all.

    Parameters
    ----------
    home : int64 (n,) a bin; -1: not known, all bins are looked at.
    near : int64 (K, m) the bins near each bin, ascending; see `nearest_bins`.
    most, size : see `all_pairs`.

    Returns
    -------
    Every contig once: rows int64, ascending, and bins, int64 or a slice of all.
    """
    found = []
    for rows, bins in zip(rows_of_bins(home, len(near)), near, strict=True):
        found += [(rows[start : start + most], bins) for start in range(0, len(rows), most)]
    return found + all_pairs(len(home), len(near), most, size, rows=np.flatnonzero(home == UNBINNED))


def nearest_bins(points: np.ndarray) -> np.ndarray:
    """The bins nearest to each bin, itself included, by distance: int64 (K, min(K, NEAR)), ascending in a row.

    `points` (K, d) are places of the bins; the caller keeps BLAS on one thread.
    """
    points, n_bins = points.astype(np.float64), len(points)
    n_near = min(NEAR, n_bins)
    half_squares = np.einsum("ij,ij->i", points, points) / 2
    turned = points.T.copy()
    near = np.empty((n_bins, n_near), dtype=np.int64)
    for start in range(0, n_bins, _BLOCK):
        farness = half_squares - points[start : start + _BLOCK] @ turned
        farness[np.arange(len(farness)), start + np.arange(len(farness))] = -np.inf
        near[start : start + _BLOCK] = np.sort(np.argpartition(farness, n_near - 1, axis=1)[:, :n_near], axis=1)
    return near


def sample_rows(n: int) -> np.ndarray:
    """Up to 500 rows spread over n: int64, ascending. For `check_near`."""
    return np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64))


def check_near(found: np.ndarray, among_all: np.ndarray) -> None:
    """Log for how many of a sample the best of the near bins, (m,), is the best of all; warn where it often is not."""
    missed = np.count_nonzero(found != among_all)
    is_often = missed > _TOLERANCE * len(found)
    logger.log(
        logging.WARNING if is_often else logging.INFO,
        "of %d contigs %d have a better bin that is not among the %d near theirs", len(found), missed, NEAR,
    )  # fmt: skip

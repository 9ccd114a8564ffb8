"""Contigs by bin, in one pass over all contigs, however many bins there are."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

_COLUMNS = 32  # of vectors that are summed in float64 at a time


def rows_of_bins(labels: np.ndarray, n_bins: int | None = None) -> list[np.ndarray]:
    """Rows of each of the bins 0, 1, ..., ascending; none has a negative label. `n_bins`: if the last may be empty."""
    order = np.argsort(labels, kind="stable")
    n_bins = int(labels.max(initial=-1)) + 1 if n_bins is None else n_bins
    return np.split(order, np.searchsorted(labels[order], np.arange(n_bins)))[1:] if n_bins else []


def weighted_sums(vectors: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the vectors of each bin times their weights, and the sum of the weights.

    Parameters
    ----------
    vectors : float32 (n, d).
    labels : int64 (n,) bins 0, 1, ..., negative: in none.
    weights : float64 (n,).

    Returns
    -------
    float64 (bins, d) and (bins,), summed in the order of the rows.
    """
    member = np.flatnonzero(labels >= 0)
    n_bins = int(labels.max(initial=-1)) + 1
    rows = csr_array((weights[member], (labels[member], member)), shape=(n_bins, len(vectors)))
    sums = np.empty((n_bins, vectors.shape[1]))
    for start in range(0, vectors.shape[1], _COLUMNS):
        sums[:, start : start + _COLUMNS] = rows @ vectors[:, start : start + _COLUMNS].astype(np.float64)
    return sums, np.bincount(labels[member], weights[member], minlength=n_bins)

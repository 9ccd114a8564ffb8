"""The two parts of a bin that differ most."""

from __future__ import annotations

import numpy as np

_STEPS = 50


def two_parts(vectors: np.ndarray, lengths: np.ndarray, start: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """Cut a bin in two by K-means, contigs weighted by the square root of their length.

    Parameters
    ----------
    vectors : float32 (n, d), n at least 2.
    lengths : int64 (n,) bp.
    start : bool (n,) the second part to begin with; None begins with the sides of the first principal axis.

    Returns
    -------
    bool (n,) whether a contig is in the second part (that of fewer bp), and 1 - cosine between the means of the parts.
    Nothing in it, and 0, where the bin does not fall apart (all vectors are the same).
    """
    weights = np.sqrt(lengths)[:, None]
    second = start
    if start is None:
        centred = vectors - (weights * vectors).sum(axis=0) / weights.sum()
        second = centred @ np.linalg.svd(centred * np.sqrt(weights), full_matrices=False)[2][0] > 0
    for _ in range(_STEPS):
        if not second.any() or second.all():
            return np.zeros(len(vectors), dtype=bool), 0.0
        means = [np.average(vectors[rows], axis=0, weights=weights[rows, 0]) for rows in (~second, second)]
        squares = [((vectors - mean) ** 2).sum(axis=1) for mean in means]
        moved = squares[1] < squares[0]
        if (moved == second).all():
            break
        second = moved
    norms = np.maximum(np.linalg.norm(means[0]) * np.linalg.norm(means[1]), 1e-12)
    if lengths[second].sum() > lengths[~second].sum():
        second = ~second
    return second, float(1 - means[0] @ means[1] / norms)

"""How well K-means finds the species of vectors, by the number of species alone."""

from __future__ import annotations

import warnings

import numpy as np

_STARTS = 3  # the best of them counts


def kmeans_ari(vectors: np.ndarray, codes: np.ndarray, *, seed: int) -> float:
    """Adjusted Rand index of K-means (k-means++, the best of 3 starts) with the true number of species.

    Parameters
    ----------
    vectors : float32 (n, d).
    codes : int64 (n,).
    seed : of the starts.

    Notes
    -----
    Zhou et al. 2024, DNABERT-S, section 5; Hubert and Arabie 1985.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than species: a poor score
        clusters = KMeans(len(np.unique(codes)), n_init=_STARTS, random_state=seed).fit_predict(vectors)
    return float(adjusted_rand_score(codes, clusters))

"""The 2-D map of a sample's embedding: which contigs are drawn, and where."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

GRID = 10_000  # the map's coordinates are whole numbers from 0 to this
_MIN_TSNE = 12  # contigs; below, t-SNE has no neighbourhoods to keep and PCA is drawn
_PERPLEXITY = 30.0  # the usual value of van der Maaten & Hinton 2008 (they advise 5 to 50)


def choose_rows(n: int, max_points: int, *, always: Iterable[int] = (), seed: int = 1) -> np.ndarray:
    """Rows of a sample to draw, in order of priority: a shorter list is a prefix of a longer one.

    Parameters
    ----------
    n : rows there are.
    max_points : rows to draw at most.
    always : rows that come first, in this order (the medoids of the bins).
    seed : of the random order of the others.

    Returns
    -------
    int64 (min(n, max_points),), each row at most once.
    """
    first = np.fromiter(dict.fromkeys(always), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(n)
    return np.concatenate([first, order[~np.isin(order, first)]])[:max_points]


def project(vectors: np.ndarray, *, seed: int = 1) -> tuple[np.ndarray, str]:
    """Lay vectors out on a plane: t-SNE with PCA initialisation, or PCA where there are too few or no differences.

    Parameters
    ----------
    vectors : float32 (n, d); n may be 0.
    seed : of t-SNE.

    Returns
    -------
    coordinates : int64 (n, 2), 0 to `GRID`, the same scale on both axes.
    method : "t-SNE" or "PCA".

    Notes
    -----
    One thread whatever the machine: t-SNE adds up its forces in the order of the threads, and the same input must give
    the same map. Source: van der Maaten & Hinton 2008 (t-SNE); Kobak & Berens 2019 (PCA initialisation).
    """
    from threadpoolctl import threadpool_limits

    vectors = np.asarray(vectors, dtype=np.float64)
    with threadpool_limits(limits=1):
        start = _principal_components(vectors)
        if len(vectors) < _MIN_TSNE or start[:, 0].std() < 1e-6:
            return _to_grid(start), "PCA"
        return _to_grid(_tsne(vectors, start, seed)), "t-SNE"


def _principal_components(vectors: np.ndarray) -> np.ndarray:
    """The first two principal components, float64 (n, 2); the largest loading is positive, so the sign is fixed."""
    n, d = vectors.shape
    if n < 2 or d == 0:
        return np.zeros((n, 2))
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    axes = directions[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    scores = centred @ axes
    return np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))


def _tsne(vectors: np.ndarray, start: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    model = TSNE(
        perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3),
        init=start / start[:, 0].std() * 1e-4,  # the scale that t-SNE expects of a PCA start
        random_state=seed,
        n_jobs=1,
    )
    return model.fit_transform(vectors.astype(np.float32))


def _to_grid(points: np.ndarray) -> np.ndarray:
    if not len(points):
        return np.zeros((0, 2), dtype=np.int64)
    low, high = points.min(axis=0), points.max(axis=0)
    width = float((high - low).max())
    if width < 1e-9:
        return np.full(points.shape, GRID // 2, dtype=np.int64)
    centred = (points - (low + high) / 2) / width + 0.5
    return np.rint(centred * GRID).astype(np.int64)

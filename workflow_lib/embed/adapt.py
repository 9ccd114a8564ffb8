"""Adaptation of embeddings to the sample they come from, without labels.

Two facts stand in for labels: both halves of a contig are one genome, and its nearest neighbours mostly are, too.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from workflow_lib.embed.base import unit_rows

NEIGHBOURS = 20
_RIDGE = 0.3  # of the mean variance between halves, added in every direction
_PRIOR = 3.0  # added to the variance along an axis before its root divides it, in units of the noise of a contig
_DIM = 48
_PASSES = 2
_BLOCK = 1024  # contigs whose similarities to all are held at a time


def nearest(vectors: np.ndarray, k: int) -> np.ndarray:
    """Rows, int64 (n, k), of the k most similar vectors of each, itself included, in no order; float32 (n, d) in."""
    rows = np.empty((len(vectors), k), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        similarity = vectors[start : start + _BLOCK] @ vectors.T
        rows[start : start + _BLOCK] = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    return rows


def neighbour_means(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean of the vectors (n, d) that `rows` (n, k) name, (n, d)."""
    means = np.empty_like(vectors)
    for start in range(0, len(vectors), _BLOCK):
        means[start : start + _BLOCK] = vectors[rows[start : start + _BLOCK]].mean(axis=1)
    return means


def adapt_axes(vectors: np.ndarray, halves: np.ndarray, *, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Turn and scale the space so that what tells this sample's genomes apart counts, and noise does not.

    With W a quarter of the covariance of the difference between halves (the noise of a whole contig), x becomes
    x (W + 0.3 w I)^-1/2, w the mean variance; then the means of each contig's nearest neighbours give the axes in which
    genomes differ and the variance S along them; the 48 with the largest are divided by sqrt(S + 3), around the mean of
    the sample, and rows scaled to length 1. It is a linear discriminant whose classes are halves and neighbourhoods.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows, the embeddings of a sample of many genomes. With n no more than `neighbours`
        they are returned as they are.
    halves : float32 (p, 2, d) embeddings of both halves of some of its sequences.

    Returns
    -------
    float32 (n, min(d, 48)), unit rows. The same bytes at any number of threads.
    """
    if len(vectors) <= neighbours or not len(halves):
        return vectors
    with threadpool_limits(1, "blas"):
        difference = (halves[:, 0] - halves[:, 1]).astype(np.float64)
        noise = difference.T @ difference / len(halves) / 4
        noise += max(_RIDGE * np.trace(noise) / len(noise), 1e-12) * np.eye(len(noise))
        values, directions = np.linalg.eigh(noise)
        whitened = vectors @ (directions / np.sqrt(values) @ directions.T)
        means = neighbour_means(whitened, nearest(vectors, neighbours))
        centre = means.mean(axis=0)
        _, spread, axes = np.linalg.svd(means - centre, full_matrices=False)
        scale = 1 / np.sqrt(spread**2 / len(means) + _PRIOR)
        return unit_rows(((whitened - centre) @ (axes.T * scale))[:, :_DIM])


def smooth(vectors: np.ndarray, *, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Replace each unit row twice by the mean of its nearest neighbours, scaled to length 1: float32 (n, d).

    It draws the contigs of a genome together, as long as a genome has about `neighbours` of them or more.
    """
    if len(vectors) <= neighbours:
        return vectors
    with threadpool_limits(1, "blas"):
        for _ in range(_PASSES):
            vectors = unit_rows(neighbour_means(vectors, nearest(vectors, neighbours)))
    return vectors

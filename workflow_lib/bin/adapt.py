"""Adaptation of the embedding space to the genomes of a sample, without labels.

Two facts stand in for labels: both halves of a contig are of one genome, and a contig's nearest neighbours mostly are.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from workflow_lib.bin.metric import MIN_PIECES, Pieces, unit_rows, whiten_out_of_fold, whitening
from workflow_lib.blocks import block_pool

NEIGHBOURS = 20
DIM = 48
_RIDGE = 1.0  # of the mean variance between halves
_SAMPLE = 20_000  # contigs that the axes are learned from, at most
_PASSES = 2
_BLOCK = 1024  # contigs whose similarities to all are held at a time


def adapt(vectors: np.ndarray, pieces: Pieces) -> tuple[np.ndarray, Pieces]:
    """Turn and scale the space so that what tells the genomes of this sample apart counts, and noise does not.

    With N a quarter of the covariance of the difference between halves (the noise of a whole contig), x becomes
    z = x (N + n I)^-1/2, n the mean variance. The mean m of the z of each contig's 20 nearest neighbours stands for its
    genome: the axes are those of the largest mean squares S of m, and each is divided by sqrt(S + c), c the mean of S
    weighted by S. 48 are kept, as unit rows. It is a linear discriminant (Fisher 1936) whose classes are halves and
    neighbourhoods, and needs a sample of many genomes: in one of few it enlarges what tells parts of a genome apart.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows; rows of zeros stay zero.
    pieces : halves of contigs of the same sample. With fewer than `MIN_PIECES`, or no more than 20 vectors with
        something to compare, everything is returned as it is.

    Returns
    -------
    float32 (n, min(d, 48)) unit rows, and the pieces, each in the space that the others teach (as in `metric.whiten`).
    The same bytes at any number of threads.
    """
    rows = np.flatnonzero(vectors.any(axis=1))
    if len(rows) > _SAMPLE:
        rows = rows[np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64)]
    if len(pieces) < MIN_PIECES or len(rows) <= NEIGHBOURS:
        return vectors, pieces
    sample = vectors[rows]
    with threadpool_limits(1, "blas"):
        whitened = unit_rows(sample @ whitening(pieces.vectors, ridge=_RIDGE))
    neighbours = nearest(whitened, NEIGHBOURS)
    with threadpool_limits(1, "blas"):
        return whiten_out_of_fold(vectors, pieces, lambda halves: _discriminant(sample, neighbours, halves))


def _discriminant(sample: np.ndarray, neighbours: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """The transform of `adapt`, float32 (d, min(d, 48))."""
    whiten = whitening(halves, ridge=_RIDGE)
    means = neighbour_means(sample @ whiten, neighbours).astype(np.float64)
    _, spread, axes = np.linalg.svd(means, full_matrices=False)
    squares = spread**2 / len(means)
    prior = (squares**2).sum() / squares.sum()
    return np.ascontiguousarray(whiten @ (axes.T / np.sqrt(squares + prior))[:, :DIM], dtype=np.float32)


def nearest(vectors: np.ndarray, k: int) -> np.ndarray:
    """Rows, int64 (n, k), of the k most similar vectors of each, itself included, in no order.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows, n at least k.
    """

    def search(start: int) -> np.ndarray:
        similarity = vectors[start : start + _BLOCK] @ vectors.T
        return np.argpartition(-similarity, k - 1, axis=1)[:, :k].copy()  # a view would keep the whole block

    with block_pool() as map_blocks:
        return np.concatenate(list(map_blocks(search, range(0, len(vectors), _BLOCK))))


def neighbour_means(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean of the vectors (n, d) that `rows` (n, k) name, float32 (n, d)."""
    means = np.empty_like(vectors)
    for start in range(0, len(vectors), _BLOCK):
        means[start : start + _BLOCK] = vectors[rows[start : start + _BLOCK]].mean(axis=1)
    return means


def smooth(vectors: np.ndarray) -> np.ndarray:
    """Replace each unit row twice by the mean of its 20 nearest neighbours, as a unit row: float32 (n, d).

    It draws the contigs of a genome together, as long as a genome has about 20 of them or more. With no more than 20
    vectors they are returned as they are.
    """
    if len(vectors) <= NEIGHBOURS:
        return vectors
    for _ in range(_PASSES):
        vectors = unit_rows(neighbour_means(vectors, nearest(vectors, NEIGHBOURS)))
    return vectors

"""Adaptation of the embedding space to the genomes of a sample, without labels.

Two facts stand in for labels: both halves of a contig are of one genome, and a contig's nearest neighbours mostly are.
"""

from __future__ import annotations

import numpy as np

from workflow_lib.bin.metric import MIN_PIECES, Pieces, unit_rows, whiten_out_of_fold, whitening
from workflow_lib.blocks import block_pool, one_blas_thread

NEIGHBOURS = 20
DIM = 48
_RIDGE = 1.0  # of the mean variance between halves
_SAMPLE = 20_000  # contigs whose neighbours among all the axes are learned from, at most
_PASSES = 2
_BLOCK, _COLUMNS = 1024, 4096  # contigs and others whose similarities are held at a time


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
    embedded = vectors.any(axis=1)
    known = vectors if embedded.all() else vectors[embedded]
    if len(pieces) < MIN_PIECES or len(known) <= NEIGHBOURS:
        return vectors, pieces
    with one_blas_thread():
        whitened = unit_rows(known @ whitening(pieces.vectors, ridge=_RIDGE))
    sample = np.linspace(0, len(known) - 1, min(len(known), _SAMPLE)).astype(np.int64)
    genomes = neighbour_means(known, nearest(whitened, NEIGHBOURS, sample))
    with one_blas_thread():
        return whiten_out_of_fold(vectors, pieces, lambda halves: _discriminant(genomes, halves))


def _discriminant(genomes: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """The transform of `adapt`, float32 (d, min(d, 48)); `genomes` (m, d) are means of neighbours as they are."""
    whiten = whitening(halves, ridge=_RIDGE)
    means = (genomes @ whiten).astype(np.float64)
    squares, axes = np.linalg.eigh(means.T @ means / len(means))
    squares, axes = np.maximum(squares[::-1], 0), axes[:, ::-1]
    prior = (squares**2).sum() / squares.sum()
    return np.ascontiguousarray(whiten @ (axes / np.sqrt(squares + prior))[:, :DIM], dtype=np.float32)


def nearest(vectors: np.ndarray, k: int, of: np.ndarray | None = None) -> np.ndarray:
    """Rows, int64 (m, k), of the k most similar vectors of each, itself included, in no order.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows, n at least k.
    of : int64 (m,) the rows whose neighbours are wanted; None: all.
    """
    from workflow_lib.index.topk import update_nearest

    queries = vectors if of is None else vectors[of]
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    rows = np.full((len(queries), k), -1, dtype=np.int64)

    def search(start: int) -> None:
        block = slice(start, start + _BLOCK)
        for first in range(0, len(vectors), _COLUMNS):
            similarities = queries[block] @ np.ascontiguousarray(vectors[first : first + _COLUMNS].T)
            update_nearest(similarities, first, best[block], rows[block])

    with block_pool() as map_blocks:
        list(map_blocks(search, range(0, len(queries), _BLOCK)))
    return rows


def neighbour_means(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean of the vectors (n, d) that `rows` (m, k) name, float32 (m, d)."""
    means = np.empty((len(rows), vectors.shape[1]), dtype=vectors.dtype)
    for start in range(0, len(rows), _BLOCK):
        means[start : start + _BLOCK] = vectors[rows[start : start + _BLOCK]].mean(axis=1)
    return means


def smooth(vectors: np.ndarray) -> np.ndarray:
    """Replace each unit row twice by the mean of its 20 nearest neighbours, as a unit row: float32 (n, d).

    It draws the contigs of a genome together, as long as a genome has about 20 of them or more. Rows of zeros stay
    zero and are nobody's neighbours. With no more than 20 others the vectors are returned as they are.
    """
    embedded = vectors.any(axis=1)
    known = vectors[embedded]
    if len(known) <= NEIGHBOURS:
        return vectors
    for _ in range(_PASSES):
        known = unit_rows(neighbour_means(known, nearest(known, NEIGHBOURS)))
    smoothed = np.zeros_like(vectors)
    smoothed[embedded] = known
    return smoothed

"""Which contigs of a large sample are compared: lists of contigs, and for each list those that lie near it.

The lists are those of an inverted file (FAISS). Near ones are compared whole, as blocks of a matrix product: a graph of
k neighbours would cut the densities of genomes with more than k contigs, and one of all pairs within the threshold has
no bound on its memory.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workflow_lib.bin.similarity import ThresholdedSimilarity
from workflow_lib.blocks import block_pool, one_blas_thread

logger = logging.getLogger(__name__)

LIST_ROWS = 64  # contigs of a list, about: as many lists as there are genomes, or more
_SAMPLE = 500  # contigs whose neighbours are all found, to choose what is near; as many again measure the recall
_CELLS = 16  # cells of the coarse level whose lists a contig may join, its own included
_TOLERANCE = 0.01  # of recall, below which a warning is due
_BLOCK = 1024  # contigs whose products with all centres are held at a time
_COUNT_BLOCK = 4096
_MEAN_BLOCK = 256  # lists whose cosines with all are held at a time


@dataclass(frozen=True)
class NeighbourQuality:
    """How much of the neighbourhoods of contigs is in the lists near them.

    Attributes
    ----------
    recall : share of a contig's neighbours within the threshold that lie in lists near its own: the mean over
        `n_sampled` contigs that had no part in choosing what is near. 1 where none of them has a neighbour.
    wanted : the recall that was asked for.
    compared : share of all pairs of contigs that are compared.
    """

    recall: float
    wanted: float
    n_sampled: int
    compared: float


@dataclass(frozen=True)
class NeighbourLists:
    """Contigs in lists, and which lists are compared.

    Attributes
    ----------
    order : int64 (n,) rows of the contigs, list by list, ascending in each.
    starts : int64 (lists + 1,) where a list begins in `order`.
    means : float32 (lists, d) unit rows, the direction of the mean of each list.
    cut : cosine of their means from which on two lists are near.
    near : bool (lists, lists) which are, symmetric; a list is near itself.
    quality : what is found of all neighbours.
    """

    order: np.ndarray
    starts: np.ndarray
    means: np.ndarray
    cut: float
    near: np.ndarray
    quality: NeighbourQuality


def find_lists(vectors: np.ndarray, threshold: float, *, recall: float = 0.995, seed: int = 1) -> NeighbourLists:
    """Cut contigs into lists, and choose which lists are near enough to hold neighbours of each other.

    Two lists are near when the cosine of their means is at least c. The neighbours of 500 contigs are sought among all
    contigs; c is the largest value that finds the share `recall` of them, each contig counting the same. The
    neighbours of 500 others tell the share that is found indeed. Where lists do not part the contigs c falls until
    all pairs are compared: that takes longer, and misses nothing.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows, n at least 1.
    threshold : similarity from which two contigs are neighbours.
    recall : above 0 and at most 1.
    seed : of the sample.

    Returns
    -------
    The lists, the same at any number of threads. Memory: a byte a pair of lists, n / 64 of them, and 30 kB a list:
    0.7 GB for 1,000,000 contigs.
    """
    started = time.monotonic()
    member = _assign_to_lists(vectors)
    order, sizes = np.argsort(member, kind="stable"), np.bincount(member)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    means = _unit_means(vectors, order, starts)
    rows = np.random.default_rng(seed).permutation(len(vectors))[: 2 * _SAMPLE]
    counts = _count_neighbours(vectors, rows, threshold, order, starts)
    own = np.arange(len(rows)), member[rows]
    counts[own] = np.maximum(counts[own] - 1, 0)  # a contig is no neighbour of itself
    shares = counts / np.maximum(counts.sum(axis=1), 1)[:, None]
    with one_blas_thread():
        cosines = means[member[rows]] @ means.T.copy()
    cut = _choose_cut(shares[::2], cosines[::2], recall)
    near = _near_lists(means, cut)
    known = shares[1::2].any(axis=1)
    found = np.where(cosines[1::2] >= cut, shares[1::2], 0).sum(axis=1)[known]
    quality = NeighbourQuality(
        recall=float(found.mean()) if len(found) else 1.0,
        wanted=recall,
        n_sampled=len(found),
        compared=float(sum(size * sizes[row].sum() for size, row in zip(sizes, near, strict=True)) / len(vectors) ** 2),
    )
    logger.info(
        "%d lists of contigs, %.2f%% of all pairs are compared (cosine of the means of two lists at least %.3f): "
        "recall %.4f of the neighbours of %d contigs, measured against all pairs; %.1f s", len(sizes),
        100 * quality.compared, cut, quality.recall, quality.n_sampled, time.monotonic() - started,
    )  # fmt: skip
    if quality.recall < recall - _TOLERANCE:
        logger.warning("recall %.4f of neighbours, expected %.4f: some bins may be torn", quality.recall, recall)
    return NeighbourLists(order, starts, means, cut, near, quality)


def _assign_to_lists(vectors: np.ndarray) -> np.ndarray:
    """Number of the list of each contig, int64 (n,), without gaps: that of the nearest centre."""
    coarse = _train_centres(vectors, round((len(vectors) // LIST_ROWS) ** 0.5))
    nearest = np.unique(_nearest(vectors, coarse), return_inverse=True)[1]
    cells = np.split(np.argsort(nearest, kind="stable"), np.cumsum(np.bincount(nearest))[:-1])
    # The centres of a cell come from its own contigs, and a contig looks at those of cells about it: n sqrt(n) work.
    centres = [_train_centres(vectors[rows], len(rows) // LIST_ROWS) for rows in cells]
    first = np.cumsum([0, *map(len, centres)])
    middles = np.stack([vectors[rows].mean(axis=0) for rows in cells])
    member = np.empty(len(vectors), dtype=np.int64)
    for rows, middle in zip(cells, middles, strict=True):
        about = np.argsort(((middles - middle) ** 2).sum(axis=1), kind="stable")[:_CELLS]
        numbers = np.concatenate([np.arange(first[cell], first[cell + 1]) for cell in about])
        member[rows] = numbers[_nearest(vectors[rows], np.concatenate([centres[cell] for cell in about]))]
    return np.unique(member, return_inverse=True)[1]


def _train_centres(vectors: np.ndarray, n_centres: int) -> np.ndarray:
    """Centres of the inverted file that FAISS trains on the vectors, float32 (n_centres, d); at least one."""
    if n_centres < 2:
        return vectors.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
    from workflow_lib.index.approximate import train_faiss
    from workflow_lib.index.factories import Plan

    index = train_faiss(np.ascontiguousarray(vectors), Plan(f"IVF{n_centres},Flat"))
    return index.quantizer.reconstruct_n(0, n_centres)


def _nearest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The centre that each row is nearest to: int64 (n,)."""
    half_squares = np.einsum("ij,ij->i", centres, centres) / 2
    turned = centres.T.copy()

    def search(start: int) -> np.ndarray:
        return (vectors[start : start + _BLOCK] @ turned - half_squares).argmax(axis=1)

    with block_pool() as map_blocks:
        return np.concatenate(list(map_blocks(search, range(0, len(vectors), _BLOCK))))


def _unit_means(vectors: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Direction of the mean of each list, float32 (lists, d)."""
    from workflow_lib.embed.base import unit_rows

    spans = pairwise(starts)
    return unit_rows(np.stack([vectors[order[start:end]].mean(axis=0, dtype=np.float64) for start, end in spans]))


def _count_neighbours(
    vectors: np.ndarray, rows: np.ndarray, threshold: float, order: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """How many contigs of each list are within the threshold of each of some rows: int32 (rows, lists)."""
    chosen = vectors[rows]
    firsts = np.unique(np.searchsorted(starts, np.arange(0, starts[-1], _COUNT_BLOCK)))
    spans = list(pairwise(np.unique([*firsts, len(starts) - 1]).tolist()))

    with block_pool() as map_blocks:
        similarity = ThresholdedSimilarity(threshold, largest_norm=1.0, dim=vectors.shape[1], map_blocks=map)

        def count(lists: tuple[int, int]) -> np.ndarray:
            first, last = starts[lists[0]], starts[lists[1]]
            offsets = starts[lists[0] : lists[1]] - first
            near = similarity.pairs_within(chosen, vectors[order[first:last]])
            return np.add.reduceat(near, offsets, axis=1, dtype=np.int32)

        return np.concatenate(list(map_blocks(count, spans)), axis=1)


def _choose_cut(shares: np.ndarray, cosines: np.ndarray, recall: float) -> float:
    """The largest cosine above which lie, on the mean over rows, `recall` of their neighbours; -1 for no neighbour."""
    has = shares > 0
    order = np.argsort(-cosines[has], kind="stable")
    cumulative = np.cumsum(shares[has][order])
    if not len(cumulative):
        return -1.0
    enough = np.searchsorted(cumulative, recall * cumulative[-1] * (1 - 1e-12))
    return float(cosines[has][order[min(enough, len(order) - 1)]])


def _near_lists(means: np.ndarray, cut: float) -> np.ndarray:
    """Which pairs of lists have means with a cosine of `cut` or more: bool (lists, lists), symmetric."""
    turned = means.T.copy()
    near = np.zeros((len(means), len(means)), dtype=bool)

    def search(start: int) -> np.ndarray:
        return means[start : start + _MEAN_BLOCK] @ turned[:, start:] >= cut

    starts = range(0, len(means), _MEAN_BLOCK)
    with block_pool() as map_blocks:
        for start, found in zip(starts, map_blocks(search, starts), strict=True):
            part = slice(start, start + _MEAN_BLOCK)
            square = found[:, : len(found)]
            square |= square.T.copy()  # rounding may part the two halves
            near[part, start:] = found
            near[start:, part] = found.T
    np.fill_diagonal(near, True)
    return near

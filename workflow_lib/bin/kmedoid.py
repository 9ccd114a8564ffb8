"""The modified K-medoid of DNABERT-S: bins grow around the densest points until nothing is left.

Memory besides the embeddings (float32 4 n d bytes, copied only if they are not float32 and C-contiguous): at most twice
the unlabelled rows once a seventh of all is labelled, 50 bytes a point, and about 10 MB a thread. Work: half a product
n x n x d for the densities, and for each step the unlabelled rows times the rows that it labels. With lists: the
embeddings and their coordinates, at most as much again, and only the pairs that are compared.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np

from workflow_lib.bin.neighbours import NeighbourLists
from workflow_lib.bin.similarity import ThresholdedSimilarity
from workflow_lib.blocks import block_pool
from workflow_lib.errors import InputError

logger = logging.getLogger(__name__)

UNBINNED = -1
_STRUCK = -100.0  # density of a point that is labelled or was a seed, as in the published evaluation
STILL_OPEN = -50.0  # with a positive threshold no density that is not struck comes near this
_SLACK = 0.85  # share of unlabelled rows below which the working copy is made anew
_TIE_ABSOLUTE, _TIE_RELATIVE = 1e-5, 2e-7  # rounding of a sum of float32 similarities: closer densities are ties
_SCAN_ROWS = 64  # struck points looked at together when no other seed is left


def kmedoid(
    embeddings: np.ndarray,
    threshold: float,
    *,
    min_bin_size: int = 10,
    max_steps: int = 1000,
    iterations: int = 3,
    lists: NeighbourLists | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """Bin points with the modified K-medoid algorithm, exactly, in blocks.

    The density of a point is the sum of its similarities to all points, itself included, that reach `threshold`. At
    each step the point of highest density (the lowest index among equals) becomes the seed and its density is struck.
    The medoid, first the seed, is `iterations` times replaced by the plain mean of the unlabelled points whose inner
    product with it reaches `threshold` (the last mean is not used). These points are labelled, their similarities are
    taken off the densities of their neighbours, and their own densities are struck. It ends when all are labelled or
    after `max_steps` steps.

    Parameters
    ----------
    embeddings : float (n, d), unit rows expected; other rows are taken as they are, similarity is the inner product.
    threshold : smallest similarity that joins two points; any number, rounded to float32.
    min_bin_size : points below which a bin is given up.
    max_steps : seeds tried at most.
    iterations : passes that refine a medoid, at least 1.
    lists : of the same points, from `neighbours.find_lists`: only pairs in lists near each other count. None: all
        pairs; also with a threshold of 0 or less, which everything may reach.
    device : "cpu", or "cuda" or "cuda:N", on which all pairs are compared; lists are not used there.

    Returns
    -------
    int64 (n,) labels: bins 0, 1, ... as they were found, -1 is unbinned; the same at any number of threads.

    Raises
    ------
    InputError
        for NaN or infinity among the embeddings, for embeddings that are no matrix, for a threshold that is NaN.

    Notes
    -----
    Zhou et al. 2024, DNABERT-S, Algorithm 1, as its evaluation code has it: struck densities are -100, go on falling,
    and stay in the search; when only struck points are unlabelled the first that has lost no neighbour is the seed.
    """
    vectors = _check_vectors(embeddings)
    if np.isnan(threshold):
        raise InputError("the threshold is NaN, expected a similarity such as 0.8")
    if iterations < 1:
        raise InputError(f"iterations is {iterations}, expected at least 1")
    started = time.monotonic()
    with block_pool() as map_blocks:
        search = _begin(vectors, threshold, iterations, lists, device, map_blocks)
        while search.n_unlabelled and search.n_steps < max_steps and search.step():
            pass
    labels = drop_small_bins(search.labels, min_bin_size)
    logger.info(
        "K-medoid: %d points, %d steps, %d bins of at least %d, %d points binned, %.1f s",
        *(len(labels), search.n_steps, labels.max(initial=-1) + 1, min_bin_size),
        *(np.count_nonzero(labels >= 0), time.monotonic() - started),
    )
    return labels


def _begin(
    vectors: np.ndarray,
    threshold: float,
    iterations: int,
    lists: NeighbourLists | None,
    device: str,
    map_blocks: Callable,
) -> Search:
    options = {
        "largest_norm": float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0.0))),
        "dim": vectors.shape[1],
        "map_blocks": map_blocks,
    }
    if device != "cpu":
        from workflow_lib.bin.torch_similarity import TorchSimilarity

        return Search(vectors, TorchSimilarity(threshold, **options, device=device), iterations)
    similarity = ThresholdedSimilarity(threshold, **options)
    if lists is None or not similarity.threshold > 0:
        return Search(vectors, similarity, iterations)
    from workflow_lib.bin.kmedoid_lists import ListSearch

    return ListSearch(vectors, similarity, iterations, lists)


def drop_small_bins(labels: np.ndarray, min_bin_size: int) -> np.ndarray:
    """Set the labels of bins with fewer than `min_bin_size` points to -1 and number the others 0, 1, ... in order."""
    names, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = (names != UNBINNED) & (counts >= min_bin_size)
    number = np.full(len(names), UNBINNED, dtype=np.int64)
    number[kept] = np.arange(np.count_nonzero(kept))
    return number[inverse] if len(labels) else labels.astype(np.int64)


def _check_vectors(embeddings: np.ndarray) -> np.ndarray:
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2:
        raise InputError(f"the embeddings have shape {embeddings.shape}, expected a matrix (points, dimensions)")
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    for start in range(0, len(vectors), 4096):
        bad = ~np.isfinite(vectors[start : start + 4096]).all(axis=1)
        if bad.any():
            raise InputError(
                f"row {start + int(np.argmax(bad))} of the embeddings holds NaN or infinity, expected finite numbers",
                remedy="find out why that sequence could not be embedded; embed it again or leave it out",
            )
    return vectors


class Search:
    """The state of the search between two steps.

    `rows` are the points in the working copy `vectors`: all unlabelled ones and at times some labelled ones. With a
    threshold above 0, kept similarities only lower a density, so a struck point is a seed again only when nothing
    else is left, and labelled rows can go. With any other threshold they stay and every step is done on all points.
    """

    def __init__(
        self, vectors: np.ndarray, similarity: ThresholdedSimilarity, iterations: int, *, rows: np.ndarray | None = None
    ) -> None:
        n = len(vectors)
        self.all_vectors = self.vectors = vectors
        self.similarity, self.iterations = similarity, iterations
        self.positive = bool(similarity.threshold > 0)
        self.rows = np.arange(n) if rows is None else rows.copy()
        self.density, self.own = self._densities()
        self.labels = np.full(n, UNBINNED, dtype=np.int64)
        self.since = np.zeros(n, dtype=np.int64)  # first label that has lowered the density since it was struck
        self.n_steps, self.n_unlabelled = 0, n
        self._scan_from = 0

    def step(self) -> bool:
        """Take one seed and label its members; False when no further step can change anything."""
        self.n_steps += 1
        at = self._densest()
        if self.positive and self.density[at] < STILL_OPEN:
            return self._step_from_struck()
        seed, before = self.rows[at], self.density[at]
        if self._is_alone(at):
            members = np.array([at] if self.own[at] else [], dtype=np.int64)
            self.density[at] = _STRUCK
            self._label(members, seed, alone=True)
            return True
        self.density[at] = _STRUCK
        members = self._members(seed, at)
        self._label(members, seed)
        return bool(len(members)) or before != _STRUCK

    def _densities(self) -> tuple[np.ndarray, np.ndarray]:
        return self.similarity.density(self.vectors)

    def _densest(self) -> int:
        return int(np.argmax(are_highest(self.density)))

    def _is_alone(self, at: int) -> bool:
        """Whether no unlabelled point but itself is within the threshold: each one would add at least the threshold."""
        threshold = float(self.similarity.threshold)
        return threshold > 0.01 and self.density[at] - self.own[at] < threshold / 2

    def _members(self, seed: int, at: int | None = None) -> np.ndarray:
        """Positions in `rows` of the unlabelled points that the last pass finds; `at`: that of the seed, if known."""
        unlabelled = self.labels[self.rows] == UNBINNED
        medoid, members = self.all_vectors[seed], np.zeros(0, dtype=np.int64)
        for step in range(self.iterations):
            if step:
                medoid = mean_of(self.vectors, members)
            members = np.flatnonzero(self.similarity.near(self.vectors, medoid) & unlabelled)
            if not len(members):
                break
        return members

    def _label(self, members: np.ndarray, seed: int, *, alone: bool = False) -> None:
        """Label the members (positions in `rows`) with this step's number and mend the densities."""
        points, step = self.rows[members], self.n_steps
        self.since[seed] = step
        self.since[points] = step + 1
        self.labels[points] = step
        self.n_unlabelled -= len(points)
        if not alone and len(members) and self.n_unlabelled:
            self._take_off(members)
        self.density[members] = _STRUCK
        self._compact(members)

    def _take_off(self, members: np.ndarray) -> None:
        """Take the similarities to new members off the densities of their neighbours."""
        self.density -= self.similarity.sums_to(self.vectors, self.vectors[members])

    def _compact(self, members: np.ndarray) -> None:
        """Leave labelled rows out of the working copy, once there are many of them."""
        if not self.positive or self.n_unlabelled >= _SLACK * len(self.rows):
            return
        left = np.flatnonzero(self.labels[self.rows] == UNBINNED)
        self.rows, self.density, self.own = self.rows[left], self.density[left], self.own[left]
        self.vectors = self.vectors[left]

    def _step_from_struck(self) -> bool:
        """A step where only struck points are unlabelled."""
        seed = self._struck_seed()
        members = self._members(seed)
        self._label(members, seed)
        return bool(len(members))

    def _struck_seed(self) -> int:
        """The first point none of whose neighbours was labelled since it was struck: its density is still -100.

        Densities only fall here, so that the scan never goes back. It always ends: the members of the last bin are
        such points, and if there is no bin every point is one.
        """
        n = len(self.labels)
        while True:
            block = np.arange(self._scan_from, min(self._scan_from + _SCAN_ROWS, n))
            since = self.since[block][:, None]
            lowered = self.similarity.any_neighbour(
                self.all_vectors[block], self.all_vectors, lambda part, since=since: self.labels[part][None, :] >= since
            )
            if not lowered.all():
                self._scan_from = int(block[np.argmin(lowered)])
                return self._scan_from
            self._scan_from = int(block[-1]) + 1


def are_highest(densities: np.ndarray) -> np.ndarray:
    """Which densities are the highest but for rounding: bool."""
    highest = densities.max()
    return densities >= highest - (_TIE_ABSOLUTE + _TIE_RELATIVE * abs(highest))


def mean_of(vectors: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Plain mean of some rows: float32 (d,), summed in float64 in row order, 4096 rows at a time."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(members), 4096):
        total += vectors[members[start : start + 4096]].sum(axis=0, dtype=np.float64)
    return (total / len(members)).astype(np.float32)

"""The search of K-medoid among contigs in lists: each step looks at the lists near its seed and medoid."""

from __future__ import annotations

import numpy as np

from workflow_lib.bin.coordinates import principal_coordinates
from workflow_lib.bin.kept_pairs import add_kept, find_near
from workflow_lib.bin.kmedoid import STILL_OPEN, UNBINNED, Search, are_highest, mean_of
from workflow_lib.bin.neighbours import NeighbourLists
from workflow_lib.bin.similarity import BLOCK_ROWS, ThresholdedSimilarity

_COLUMNS = 2048  # of the points that a list is compared with, copied together at a time: products stay in the cache
_TOGETHER = 16  # lists whose densities are brought up to date on several threads: the next ones will be needed soon


class ListSearch(Search):
    """As `Search`; only pairs of contigs of lists that are near each other count.

    Coordinates (on few axes) lie list by list, and in each list the unlabelled points first, then the others from the
    last labelled to the first. Members are sought in the lists near that of the seed, and in those near the medoid by
    the rule that makes lists near each other. When only struck points are unlabelled it ends: they stay unbinned.

    A density only falls, so that an old one is a bound: the similarities to new members are taken off the densities of
    a list when one of them may be the highest of all, to all members since the last time at once.
    """

    def __init__(
        self, vectors: np.ndarray, similarity: ThresholdedSimilarity, iterations: int, lists: NeighbourLists
    ) -> None:
        self._starts, self._near = lists.starts, lists.near
        self._left = np.diff(lists.starts)  # unlabelled ones of each list
        self._list_of = np.repeat(np.arange(len(self._left)), self._left)
        coordinates = principal_coordinates(vectors, lists.order, map_blocks=similarity.map)
        self._coordinates, self._of = coordinates.rows, coordinates.of
        self._bounds = similarity.bounds(lost=coordinates.lost)
        self._means, self._cut = self._of(lists.means), lists.cut
        super().__init__(vectors, similarity, iterations, rows=lists.order)
        # What was labelled, a list at a time: an event. A list has seen the first few of them.
        self._event_lists, self._event_sizes = np.zeros((2, len(vectors)), dtype=np.int32)
        self._n_events, self._seen = 0, np.zeros(len(self._left), dtype=np.int64)
        self._stale = np.zeros(len(self._left), dtype=bool)
        self._highest = np.maximum.reduceat(self.density, lists.starts[:-1])  # density of each list, at most
        self._last_list = 0

    def _densities(self) -> tuple[np.ndarray, np.ndarray]:
        density, own = np.zeros(len(self.rows)), self.similarity.of_itself(self.all_vectors)[self.rows]

        def sums(i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            others = self._positions(np.append(i, i + 1 + np.flatnonzero(self._near[i, i + 1 :])))
            return *self._sums_between(i, others), others

        found = self.similarity.map(sums, range(len(self._left)))
        for i, (of_list, of_others, others) in enumerate(found):
            density[self._starts[i] : self._starts[i + 1]] += of_list
            others, of_others = others[len(of_list) :], of_others[len(of_list) :]  # without the list itself
            density[others] += of_others
        return density, own

    def _sums_between(self, i: int, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the kept similarities of the unlabelled points of a list to others, and of these to them: float64."""
        first, n = self._starts[i], self._left[i]
        of_list, of_others = np.zeros(n), np.zeros(len(others))
        for start in range(0, len(others), _COLUMNS):
            columns = slice(start, start + _COLUMNS)
            right, names = self._coordinates[others[columns]], self.rows[others[columns]]
            for top in range(0, n, BLOCK_ROWS):
                part = slice(first + top, first + min(top + BLOCK_ROWS, n))
                left, sums = self._coordinates[part], (of_list[top : top + BLOCK_ROWS], of_others[columns])
                products = left @ right.T
                add_kept(products, self._bounds, (left, right), self.all_vectors, (self.rows[part], names), sums)
        return of_list, of_others

    def _densest(self) -> int:
        self._look_again(self._last_list)
        while ((ties := are_highest(self._highest)) & self._stale).any():
            stale = np.flatnonzero(self._stale)
            last = max(len(stale) - _TOGETHER, 0)
            highest = stale[np.argpartition(self._highest[stale], last)[last:]]
            list(self.similarity.map(self._bring_up_to_date, highest))
        positions = self._positions(np.flatnonzero(ties))
        positions = positions[are_highest(self.density[positions])]
        at = int(positions[np.argmin(self.rows[positions])])
        self._last_list = self._list_of[at]
        return at

    def _bring_up_to_date(self, i: int) -> None:
        """Take what was labelled since the last time off the densities of a list, or sum what is left: the fewer."""
        part = slice(self._starts[i], self._starts[i] + self._left[i])
        recent = slice(self._seen[i], self._n_events)
        lists, sizes = self._event_lists[recent], self._event_sizes[recent]
        near = self._near[i, lists]
        unlabelled = np.flatnonzero(self._near[i])
        if self._left[unlabelled].sum() <= sizes[near].sum():
            density = self._sums_between(i, self._positions(unlabelled))[0]
            self.density[part] = np.where(self.density[part] < STILL_OPEN, self.density[part], density)
        else:
            labelled = np.bincount(lists[near], sizes[near], minlength=len(self._left)).astype(np.int64)
            others = _places(self._starts[:-1] + self._left, labelled)
            self.density[part] -= self._sums_between(i, others)[0]
        self._seen[i], self._stale[i] = self._n_events, False
        self._look_again(i)

    def _look_again(self, i: int) -> None:
        start = self._starts[i]
        self._highest[i] = self.density[start : start + self._left[i]].max(initial=-np.inf)

    def _step_from_struck(self) -> bool:
        return False

    def _members(self, seed: int, at: int | None = None) -> np.ndarray:
        medoid, of_seed = self.all_vectors[seed], self._near[self._list_of[at]]
        wanted, members = np.flatnonzero(of_seed), np.zeros(0, dtype=np.int64)
        for step in range(self.iterations):
            if step:
                medoid = mean_of(self.all_vectors, self.rows[members])
            coordinates = self._of(medoid)
            if step:
                wanted = np.flatnonzero(of_seed | (self._means @ coordinates >= self._cut * np.linalg.norm(medoid)))
            starts = self._starts[wanted]
            members = find_near(
                self._coordinates, coordinates, starts, starts + self._left[wanted], self._bounds, self.all_vectors,
                self.rows, medoid,
            )  # fmt: skip
            if not len(members):
                break
        return members

    def _take_off(self, members: np.ndarray) -> None:
        """Only note whose densities have fallen."""
        self._stale |= self._near[np.unique(self._list_of[members])].any(axis=0)

    def _compact(self, members: np.ndarray) -> None:
        """Bring the unlabelled points of the lists of new members to the front, and note what was labelled."""
        for i in np.unique(self._list_of[members]):
            part = slice(self._starts[i], self._starts[i] + self._left[i])
            labelled = self.labels[self.rows[part]] != UNBINNED
            order = np.argsort(labelled, kind="stable")
            for array in (self._coordinates, self.rows, self.density, self.own):
                array[part] = array[part][order]
            n_labelled = np.count_nonzero(labelled)
            self._left[i] -= n_labelled
            self._event_lists[self._n_events], self._event_sizes[self._n_events] = i, n_labelled
            self._n_events += 1
            self._look_again(i)

    def _positions(self, lists: np.ndarray) -> np.ndarray:
        """Places of the unlabelled points of some lists (ascending): int64, ascending."""
        return _places(self._starts[lists], self._left[lists])


def _places(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The numbers start, start + 1, ... of spans: int64."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)

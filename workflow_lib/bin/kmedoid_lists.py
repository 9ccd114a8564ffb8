"""The search of K-medoid among contigs in lists: each step looks at the lists near its seed and medoid."""

from __future__ import annotations

import numpy as np

from workflow_lib.bin.kmedoid import UNBINNED, Search, mean_of
from workflow_lib.bin.neighbours import NeighbourLists
from workflow_lib.bin.similarity import ThresholdedSimilarity

_COLUMNS = 8192  # of the points that one list is compared with, copied together at a time


class ListSearch(Search):
    """As `Search`; only pairs of contigs of lists that are near each other count.

    The vectors lie list by list in a copy, and in each list the unlabelled ones first. Members are sought in the lists
    near that of the seed, and in those near the medoid by the rule that makes lists near each other. When only struck
    points are unlabelled it ends: they stay unbinned.
    """

    def __init__(
        self, vectors: np.ndarray, similarity: ThresholdedSimilarity, iterations: int, lists: NeighbourLists
    ) -> None:
        self._starts, self._near, self._means, self._cut = lists.starts, lists.near, lists.means, lists.cut
        self._left = np.diff(lists.starts)  # unlabelled ones of each list
        self._list_of = np.repeat(np.arange(len(self._left)), self._left)
        super().__init__(vectors[lists.order], similarity, iterations)
        self.rows = lists.order.copy()

    def _densities(self) -> tuple[np.ndarray, np.ndarray]:
        density, own = np.zeros(len(self.vectors)), np.zeros(len(self.vectors))
        inline = self.similarity.on_one_thread()

        def sums(i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            rows = self.vectors[self._starts[i] : self._starts[i + 1]]
            among, own = inline.density(rows)
            others = self._positions(i + 1 + np.flatnonzero(self._near[i, i + 1 :]))
            of_others = np.zeros(len(others))
            for start in range(0, len(others), _COLUMNS):
                columns = slice(start, start + _COLUMNS)
                of_rows, of_others[columns] = inline.cross_sums(rows, self.vectors[others[columns]])
                among += of_rows
            return among, own, others, of_others

        found = self.similarity.map(sums, range(len(self._left)))
        for i, (of_rows, itself, others, of_others) in enumerate(found):
            part = slice(self._starts[i], self._starts[i + 1])
            density[part] += of_rows
            own[part] = itself
            density[others] += of_others
        return density, own

    def _densest(self) -> int:
        ties = np.flatnonzero(self._are_highest())
        return int(ties[np.argmin(self.rows[ties])])

    def _step_from_struck(self) -> bool:
        return False

    def _members(self, medoid: np.ndarray, at: int | None = None) -> np.ndarray:
        of_seed = self._near[self._list_of[at]]
        wanted = np.flatnonzero(of_seed)
        members = positions = looked_at = np.zeros(0, dtype=np.int64)
        rows = self.vectors[:0]
        for step in range(self.iterations):
            if step:
                medoid = mean_of(self.vectors, members)
                wanted = np.flatnonzero(of_seed | (self._means @ medoid >= self._cut * np.linalg.norm(medoid)))
            if not np.array_equal(wanted, looked_at):
                looked_at, positions = wanted, self._positions(wanted)
                rows = self.vectors[positions]
            members = positions[self.similarity.near(rows, medoid)]
            if not len(members):
                break
        return members

    def _take_off(self, members: np.ndarray) -> None:
        of_lists = self._list_of[members]
        for part in np.split(members, np.flatnonzero(np.diff(of_lists)) + 1):
            positions = self._positions(np.flatnonzero(self._near[self._list_of[part[0]]]))
            self.density[positions] -= self.similarity.sums_to(self.vectors[positions], self.vectors[part])

    def _compact(self, members: np.ndarray) -> None:
        """Bring the unlabelled points of the lists of new members to the front."""
        for i in np.unique(self._list_of[members]):
            part = slice(self._starts[i], self._starts[i] + self._left[i])
            labelled = self.labels[self.rows[part]] != UNBINNED
            order = np.argsort(labelled, kind="stable")
            for array in (self.vectors, self.rows, self.density, self.own):
                array[part] = array[part][order]
            self._left[i] -= np.count_nonzero(labelled)

    def _positions(self, lists: np.ndarray) -> np.ndarray:
        """Places of the unlabelled points of some lists (ascending): int64, ascending."""
        sizes = self._left[lists]
        ends = np.cumsum(sizes)
        return np.arange(ends[-1] if len(ends) else 0) + np.repeat(self._starts[lists] - ends + sizes, sizes)

"""Genome distances of an approximate index: windows are searched until enough genomes are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

_QUERIES = 256  # a block
_FIRST_WINDOWS, _GROWTH = 128, 4
FURTHER_GENOMES = 15  # found besides the nearest, for the distance to the nearest one of another species

Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def nearest_of_genomes(
    search: Search, vectors: np.ndarray, codes: np.ndarray, wanted: np.ndarray, k: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (queries, float32 (b, G) distances to the nearest window of each genome that was found, else inf).

    Parameters
    ----------
    search : of unit rows and k, as `SearchIndex.search`.
    codes : int64 (n,), genome of each row. wanted : bool (G,), genomes of which k + `FURTHER_GENOMES` are to be found.
    """
    for start in range(0, len(vectors), _QUERIES):
        block = slice(start, min(start + _QUERIES, len(vectors)))
        yield block, _Block(search, vectors[block], codes, len(wanted)).distances(wanted, k)


def nearest_for_each(
    search: Search, vectors: np.ndarray, codes: np.ndarray, wanted: Sequence[np.ndarray], n_genomes: int, k: int
) -> Iterator[np.ndarray]:
    """Yield what `nearest_of_genomes` gives, float32 (m, G), for one `wanted` after the other.

    A search that was just done for another one is not repeated. Memory: up to three times what is yielded, and once
    more for every depth of search.
    """
    starts = range(0, len(vectors), _QUERIES)
    blocks = [_Block(search, vectors[start : start + _QUERIES], codes, n_genomes, keep=True) for start in starts]
    for one in wanted:
        yield np.concatenate(
            [np.empty((0, n_genomes), dtype=np.float32), *(block.distances(one, k) for block in blocks)]
        )


class _Block:
    """A block of queries, and, with `keep`, what the last search of every depth found for them."""

    def __init__(
        self, search: Search, vectors: np.ndarray, codes: np.ndarray, n_genomes: int, *, keep: bool = False
    ) -> None:
        self.search, self.vectors, self.codes, self.n_genomes = search, vectors, codes, n_genomes
        self.keep, self.found = keep, {}

    def distances(self, wanted: np.ndarray, k: int) -> np.ndarray:
        """float32 (b, G), searched deeper and deeper until enough of the wanted genomes are found."""
        nearest = np.full((len(self.vectors), self.n_genomes), np.inf, dtype=np.float32)
        pending, n_windows = np.arange(len(self.vectors)), min(_FIRST_WINDOWS, len(self.codes))
        enough = min(int(wanted.sum()), k + FURTHER_GENOMES)
        while len(pending):
            found, is_full = self._find(pending, n_windows)
            nearest[pending] = np.minimum(nearest[pending], found)
            n_genomes = np.isfinite(nearest[pending][:, wanted]).sum(axis=1)
            # A list that is not full is all there is to find.
            pending = pending[(n_genomes < enough) & is_full]
            if n_windows == len(self.codes):
                break
            n_windows = min(n_windows * _GROWTH, len(self.codes))
        return nearest

    def _find(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances, float32 (q, G), to the genomes of the k nearest windows, and whether there are k, bool (q,)."""
        known = self.found.get(k)
        if known is not None and np.array_equal(known[0], queries):
            return known[1:]
        distances, rows = self.search(self.vectors[queries], k)
        found = rows >= 0
        nearest = np.full((len(queries), self.n_genomes), np.inf, dtype=np.float32)
        owner = np.repeat(np.arange(len(queries)), found.sum(axis=1))
        np.minimum.at(nearest, (owner, self.codes[rows[found]]), distances[found])
        if self.keep:
            self.found[k] = queries, nearest, found.all(axis=1)
        return nearest, found.all(axis=1)

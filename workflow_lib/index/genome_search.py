"""Genome distances of an approximate index: windows are searched until enough genomes are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

_QUERIES = 256  # a block
_FIRST_NEIGHBOURS, _GROWTH = 256, 8
_MIN_GENOMES = 64  # distinct genomes to find near a query, where the index can

Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def nearest_of_genomes(
    search: Search, vectors: np.ndarray, codes: np.ndarray, wanted: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (queries, float32 (b, G) distances to the nearest window of each genome that was found, else inf).

    Parameters
    ----------
    search : of unit rows and k, as `SearchIndex.search`.
    codes : int64 (n,), genome of each row. wanted : bool (G,), genomes of which enough are to be found.
    """
    for start in range(0, len(vectors), _QUERIES):
        block = slice(start, min(start + _QUERIES, len(vectors)))
        yield block, _search_block(search, vectors[block], codes, wanted)


def _search_block(search: Search, vectors: np.ndarray, codes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    nearest = np.full((len(vectors), len(wanted)), np.inf, dtype=np.float32)
    pending, k = np.arange(len(vectors)), min(_FIRST_NEIGHBOURS, len(codes))
    enough = min(int(wanted.sum()), _MIN_GENOMES)
    while len(pending):
        distances, rows = search(vectors[pending], k)
        found = rows >= 0
        np.minimum.at(nearest, (np.repeat(pending, found.sum(axis=1)), codes[rows[found]]), distances[found])
        n_genomes = np.isfinite(nearest[pending][:, wanted]).sum(axis=1)
        # A list that is not full is all there is to find.
        pending = pending[(n_genomes < enough) & found.all(axis=1)]
        if k == len(codes):
            break
        k = min(k * _GROWTH, len(codes))
    return nearest

"""The exact index: every query against every window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np

from workflow_lib.blocks import block_pool, cut_blocks
from workflow_lib.errors import InputError
from workflow_lib.index.approximate import read_faiss, write_faiss
from workflow_lib.index.base import SearchIndex, to_chord
from workflow_lib.index.factories import Plan
from workflow_lib.index.topk import sort_nearest, take_group_maxima, update_nearest
from workflow_lib.index.windows import WindowTable

# A block of similarities, queries x windows of float32: 256 x 8,192 = 8 MiB.
_QUERIES, _WINDOWS = 256, 8_192


class FlatIndex(SearchIndex):
    """FAISS IndexFlatIP over unit rows. Memory: n x d x 4 bytes, and a few blocks of 8 MiB a thread."""

    searched_by = "NumPy"

    def __init__(self, faiss_index: faiss.IndexFlatIP, table: WindowTable, manifest: dict, plan: Plan) -> None:
        super().__init__(table, manifest, plan)
        if faiss_index.ntotal != len(table) or faiss_index.d != self.dim:
            raise InputError(f"{faiss_index.ntotal} x {faiss_index.d} vectors, expected {len(table)} x {self.dim}")
        self._faiss = faiss_index

    @classmethod
    def from_vectors(  # noqa: D102
        cls, vectors: np.ndarray, table: WindowTable, manifest: dict, plan: Plan, *, device: str = "cpu"
    ) -> FlatIndex:
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return cls(index, table, manifest, plan)

    @classmethod
    def from_file(  # noqa: D102
        cls, path: Path, table: WindowTable, manifest: dict, plan: Plan, *, device: str = "cpu", mmap: bool = True
    ) -> FlatIndex:
        index = read_faiss(path, mmap=mmap)
        if not isinstance(index, faiss.IndexFlatIP):
            raise InputError(
                f"a {type(index).__name__}, expected IndexFlatIP", path=path, remedy="build the index anew"
            )
        return cls(index, table, manifest, plan)

    def add(self, vectors: np.ndarray) -> None:  # noqa: D102
        self._faiss.add(np.ascontiguousarray(vectors))

    def write_file(self, path: Path) -> None:  # noqa: D102
        write_faiss(path, self._faiss)

    @property
    def vectors(self) -> np.ndarray:
        """float32 (n, d) view of the indexed rows."""
        return faiss.rev_swig_ptr(self._faiss.get_xb(), self._faiss.ntotal * self._faiss.d).reshape(-1, self._faiss.d)

    @property
    def faiss_index(self) -> faiss.IndexFlatIP:
        """The index proper."""
        return self._faiss

    def _search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        windows = self.vectors
        best = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        rows = np.full((len(vectors), k), -1, dtype=np.int64)

        def search(block: slice) -> None:
            for start in range(0, len(windows), _WINDOWS):
                similarities = vectors[block] @ windows[start : start + _WINDOWS].T
                update_nearest(similarities, start, best[block], rows[block])

        with block_pool() as map_blocks:
            list(map_blocks(search, cut_blocks(len(vectors), _QUERIES)))
        best, rows = sort_nearest(best, rows)
        return to_chord(best), rows

    def _genome_distances(self, vectors: np.ndarray, wanted: np.ndarray, k: int) -> Iterator[tuple[slice, np.ndarray]]:
        windows, chunks = self.vectors, list(_chunks(self.table))
        with block_pool() as map_blocks:
            for start in range(0, len(vectors), _QUERIES):
                block = slice(start, min(start + _QUERIES, len(vectors)))
                queries = vectors[block]
                nearest = np.empty((len(self.table.genomes), len(queries)), dtype=np.float32)

                def search(chunk: tuple, queries: np.ndarray = queries, nearest: np.ndarray = nearest) -> None:
                    rows, genomes, first_rows = chunk
                    # Windows as rows: the maximum over a genome's rows is then taken along contiguous memory.
                    take_group_maxima(windows[rows] @ queries.T, first_rows, nearest[genomes])

                list(map_blocks(search, chunks))
                yield block, to_chord(nearest.T)


def _chunks(table: WindowTable) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yield (rows, genomes, first row of each genome within rows): whole genomes, about `_WINDOWS` rows at a time."""
    bounds = np.append(table.genome_starts, len(table))
    first = 0
    while first < len(table.genomes):
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + _WINDOWS, side="right")) - 1)
        yield slice(bounds[first], bounds[last]), slice(first, last), bounds[first:last] - bounds[first]
        first = last

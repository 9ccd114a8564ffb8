"""The exact index: every query against every window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np

from workflow_lib.blocks import block_pool
from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.index.base import SearchIndex, to_chord
from workflow_lib.index.windows import WindowTable

# A block of similarities, queries x windows of float32: 256 x 8,192 = 8 MiB.
_QUERIES, _WINDOWS = 256, 8_192


class FlatIndex(SearchIndex):
    """FAISS IndexFlatIP over unit rows. Memory: n x d x 4 bytes, and a few blocks of 8 MiB a thread."""

    factory = "Flat"

    def __init__(self, faiss_index: faiss.IndexFlatIP, table: WindowTable, manifest: dict) -> None:
        super().__init__(table, manifest)
        if faiss_index.ntotal != len(table) or faiss_index.d != self.dim:
            raise InputError(f"{faiss_index.ntotal} x {faiss_index.d} vectors, expected {len(table)} x {self.dim}")
        self._faiss = faiss_index

    @classmethod
    def from_vectors(cls, vectors: np.ndarray, table: WindowTable, manifest: dict) -> FlatIndex:  # noqa: D102
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return cls(index, table, manifest)

    @classmethod
    def from_file(cls, path: Path, table: WindowTable, manifest: dict) -> FlatIndex:  # noqa: D102
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise InputError(f"FAISS cannot read it ({error})", path=path, remedy="build the index anew") from error
        if not isinstance(index, faiss.IndexFlatIP):
            raise InputError(
                f"a {type(index).__name__}, expected IndexFlatIP", path=path, remedy="build the index anew"
            )
        return cls(index, table, manifest)

    def write_file(self, path: Path) -> None:  # noqa: D102
        # Not by FAISS' own writer, which loses the error of a disk that fills up at the end.
        with atomic_open(path, "wb") as handle:
            faiss.write_index(self._faiss, faiss.PyCallbackIOWriter(handle.write))

    @property
    def vectors(self) -> np.ndarray:
        """float32 (n, d) view of the indexed rows."""
        return faiss.rev_swig_ptr(self._faiss.get_xb(), self._faiss.ntotal * self._faiss.d).reshape(-1, self._faiss.d)

    def _search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        similarities, rows = self._faiss.search(vectors, k)
        return to_chord(similarities), rows

    def _genome_distances(self, vectors: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        windows, chunks = self.vectors, list(_chunks(self.table))
        with block_pool() as map_blocks:
            for start in range(0, len(vectors), _QUERIES):
                block = slice(start, min(start + _QUERIES, len(vectors)))
                queries = vectors[block]
                nearest = np.empty((len(self.table.genomes), len(queries)), dtype=np.float32)

                def search(chunk: tuple, queries: np.ndarray = queries) -> np.ndarray:
                    rows, _, first_rows = chunk
                    # Windows as rows: the maximum over a genome's rows is then taken along contiguous memory.
                    return np.maximum.reduceat(windows[rows] @ queries.T, first_rows, axis=0)

                for (_, genomes, _), found in zip(chunks, map_blocks(search, chunks), strict=True):
                    nearest[genomes] = found
                yield block, to_chord(nearest.T)


def _chunks(table: WindowTable) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yield (rows, genomes, first row of each genome within rows): whole genomes, about `_WINDOWS` rows at a time."""
    bounds = np.append(table.genome_starts, len(table))
    first = 0
    while first < len(table.genomes):
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + _WINDOWS, side="right")) - 1)
        yield slice(bounds[first], bounds[last]), slice(first, last), bounds[first:last] - bounds[first]
        first = last

"""Stores of windows, one for each shard of genomes, that are read when they are asked for, one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import sha256_file
from workflow_lib.index.base import check_vectors
from workflow_lib.index.windows import WindowTable, read_line_blocks, select_rows, tabulate_text, tabulate_windows
from workflow_lib.manifest import MANIFEST_NAME, check_alike, read_manifest
from workflow_lib.store import NAMES_NAME, VECTORS_NAME, EmbeddingStore


class WindowShard:
    """A store that `write_store` wrote: its manifest is in memory, its names are in a table only while that is used.

    What is read is verified: vectors when they are first used, names each time. 10^8 names are 10 GB of Python strings.

    Attributes
    ----------
    folder, manifest : of the store.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder, self.manifest, self._vectors = Path(folder), read_manifest(folder, verify=False), None
        for key in ("n", "dim"):
            if key not in self.manifest:
                raise self._damaged(f"no entry {key!r}: this is no manifest of a store", MANIFEST_NAME)

    def __len__(self) -> int:
        return int(self.manifest["n"])

    def tabulate(self, taxonomy: dict[str, dict[str, str]]) -> WindowTable:
        """The table of all its windows."""
        digest = hashlib.sha256()

        def blocks() -> Iterator[bytes]:
            with open(self.folder / NAMES_NAME, "rb") as handle:
                for block in read_line_blocks(handle):
                    digest.update(block)
                    yield block

        try:
            table = tabulate_text(blocks(), taxonomy)
        except FileNotFoundError as error:
            raise self._damaged("missing, though there is a manifest", NAMES_NAME) from error
        except ValueError as error:  # not the lines of a table, or no text at all
            raise self._damaged(f"the names do not match the manifest ({error})", NAMES_NAME) from error
        if digest.hexdigest() != self.manifest["checksums"].get(NAMES_NAME) or len(table) != len(self):
            raise self._damaged("the names do not match the manifest", NAMES_NAME)
        return table

    @property
    def vectors(self) -> np.ndarray:
        """float32 (n, d), memory-mapped."""
        if self._vectors is None:
            path = self.folder / VECTORS_NAME
            if not path.is_file() or sha256_file(path) != self.manifest["checksums"].get(VECTORS_NAME):
                raise self._damaged("missing, or not what the manifest beside it says", VECTORS_NAME)
            vectors = np.load(path, mmap_mode="r")
            if vectors.shape != (len(self), self.manifest["dim"]) or vectors.dtype != np.float32:
                raise self._damaged(f"{vectors.dtype} {vectors.shape}, the manifest says otherwise", VECTORS_NAME)
            self._vectors = vectors
        return self._vectors

    def _damaged(self, message: str, name: str) -> InputError:
        return InputError(message, path=self.folder / name, remedy=f"delete {self.folder} and run again")


Shard = WindowShard | EmbeddingStore


def open_shards(paths: Iterable[str | Path]) -> list[WindowShard]:
    """The stores whose manifests are among the files.

    Raises
    ------
    InputError
        when another embedder or window made one than the first.
    """
    shards = [WindowShard(Path(path).parent) for path in paths if Path(path).name == "manifest.json"]
    for shard in shards:
        check_alike(shard.manifest, shards[0].manifest, shard.folder)
    return shards


def count_windows(shard: Shard) -> int:
    """Windows of a shard."""
    return len(shard) if isinstance(shard, WindowShard) else len(shard.names)


def tabulate_shard(shard: Shard, taxonomy: dict[str, dict[str, str]]) -> WindowTable:
    """The table of all windows of a shard."""
    return shard.tabulate(taxonomy) if isinstance(shard, WindowShard) else tabulate_windows(shard.names, taxonomy)


def genome_rows(table: WindowTable, genomes: list[str]) -> np.ndarray:
    """bool (n,), the rows of some genomes."""
    chosen = set(genomes)
    return np.array([genome in chosen for genome in table.genomes], dtype=bool)[table.codes]


def choose_windows(
    shard: Shard, genomes: list[str], taxonomy: dict[str, dict[str, str]]
) -> tuple[WindowTable, np.ndarray]:
    """The windows of some genomes of a shard, and their vectors: those of the shard itself, where it is all of them."""
    table = tabulate_shard(shard, taxonomy)
    rows = genome_rows(table, genomes)
    return select_rows(table, rows), shard.vectors if rows.all() else np.asarray(shard.vectors[rows])


def sample_vectors(shards: list[Shard], kept: list[list[str]], n: int, wanted: int) -> np.ndarray:
    """At most `wanted` of the n windows that are kept, spread evenly over them, without those of zeros: float32.

    Memory: the sample, and a shard's names. Of a shard's vectors, hashed first, only those of the sample are kept.
    """
    wanted = min(wanted, n)
    dim = int(shards[0].manifest["dim"])
    sample, filled, first = np.empty((wanted, dim), dtype=np.float32), 0, 0
    for shard, genomes in zip(shards, kept, strict=True):
        rows = np.flatnonzero(genome_rows(tabulate_shard(shard, {}), genomes))
        # The numbers i of which row i * n // wanted, of all shards, is one of this shard's.
        numbers = np.arange(-(-first * wanted // n), -(-(first + len(rows)) * wanted // n)) if n else []
        first += len(rows)
        if len(numbers):
            drawn = np.asarray(shard.vectors[rows[numbers * n // wanted - (first - len(rows))]])
            drawn = drawn[check_vectors(drawn, dim, what="reference vectors")]
            sample[filled : filled + len(drawn)] = drawn
            filled += len(drawn)
    return sample[:filled]

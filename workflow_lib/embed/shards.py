"""Embedding in shards: each is saved under a key of embedder and sequences, so that finished work is never repeated."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from workflow_lib.embed.base import Embedder
from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.log import Progress

logger = logging.getLogger(__name__)

MAX_SEQUENCES = 16_384  # of a shard: bounds the vectors (50 MB at 768 columns) where sequences are short
_DIGEST_BYTES = 32  # of SHA-256


def embed_records(
    embedder: Embedder,
    records: Iterable[tuple],
    *,
    shard_folder: str | Path,
    shard_mbp: float,
    total_bp: int = 0,
    kind: str = "whole",
    group: Callable[[str], str] | None = None,
) -> tuple[list[str], np.ndarray]:
    """Embed a stream of named sequences; shards that are saved already are read, not computed.

    The next shard is read while one is embedded: memory holds the sequences of two shards and the result.

    Parameters
    ----------
    embedder : made by `load_embedder`.
    records : (name, sequence as bytes) pairs; further fields, as in `fasta.Record`, are ignored.
    shard_folder : root of the shards of all embedders; may be deleted at any time between runs.
    shard_mbp : Mbp embedded and saved at a time; a longer sequence is a shard of its own.
    total_bp : base pairs to expect, for the progress bar; 0 if unknown.
    kind : what the sequences are ("whole", "half", "cut"); part of the shards' key.
    group : name -> what it is of (a genome, say); a shard ends where that changes, so that a record more or less among
        those of one group leaves the shards of the others as they are.

    Returns
    -------
    names : n names, in the order of the records.
    vectors : float32 (n, dim), C-contiguous, unit rows (zeros where there was nothing to embed).

    Raises
    ------
    InputError
        when `shard_mbp` is not positive, or the embedder breaks its contract (shape, dtype, NaN).
    """
    if not shard_mbp > 0:
        raise InputError(f"shard_mbp is {shard_mbp}, expected a positive number of Mbp", remedy="set embed.shard_mbp")
    names: list[str] = []
    rows = Rows(embedder.dim)
    cache = ShardCache(embedder, shard_folder, kind=kind)
    progress = Progress(total_bp, f"embed {kind} sequences with {embedder.name}")
    try:
        for shard_names, vectors, n_bp in _embed_shards(cache, records, int(shard_mbp * 1e6), group):
            names += shard_names
            rows.add(vectors)
            progress.add(n_bp)
    finally:
        progress.close()
    logger.info("%d sequences: %d shards computed, %d reused", len(names), cache.n_computed, cache.n_reused)
    return names, rows.result()


def _embed_shards(
    cache: ShardCache, records: Iterable[tuple], shard_bp: int, group: Callable[[str], str] | None
) -> Iterator[tuple[list[str], np.ndarray, int]]:
    """Yield (names, vectors, bp) of shards in order; one is embedded while the next is read."""
    pending: tuple[list[str], Future, int] | None = None
    with ThreadPoolExecutor(1) as worker:
        for names, sequences, n_bp in split_records(records, shard_bp, group):
            following = names, worker.submit(cache.vectors, sequences), n_bp
            if pending is not None:
                yield pending[0], pending[1].result(), pending[2]
            pending = following
        if pending is not None:
            yield pending[0], pending[1].result(), pending[2]


def split_records(
    records: Iterable[tuple], shard_bp: int, group: Callable[[str], str] | None = None
) -> Iterator[tuple[list[str], list[bytes], int]]:
    """Yield (names, sequences, bp) of shards; a shard ends with the sequence that fills it, or with its group."""
    names: list[str] = []
    sequences: list[bytes] = []
    n_bp = 0
    for name, sequence, *_ in records:
        full = n_bp >= shard_bp or len(names) >= MAX_SEQUENCES
        if names and (full or (group is not None and group(name) != group(names[-1]))):
            yield names, sequences, n_bp
            names, sequences, n_bp = [], [], 0
        names.append(name)
        sequences.append(sequence)
        n_bp += len(sequence)
    if names:
        yield names, sequences, n_bp


class ShardCache:
    """Vectors of lists of sequences, from disk where they were computed before.

    A shard is one file `<root>/<fingerprint, 16 digits>/<key>.npy`: an ordinary .npy array and behind it a SHA-256 of
    key and array, so that a damaged file is found and computed anew. It appears whole or not at all, and jobs that
    write the same shard at the same time write the same content.
    """

    def __init__(self, embedder: Embedder, root: str | Path, *, kind: str = "whole") -> None:
        self.embedder, self.kind = embedder, kind
        self.folder = Path(root) / embedder.fingerprint[:16]
        self.n_computed = self.n_reused = 0

    def key(self, sequences: Sequence[bytes]) -> str:
        """Hex SHA-256 of the embedder's fingerprint, the kind, and the sequences in their order."""
        digest = hashlib.sha256(f"{self.embedder.fingerprint}\n{self.kind}\n".encode())
        digest.update(np.array([len(sequence) for sequence in sequences], dtype="<i8").tobytes())
        for sequence in sequences:
            digest.update(sequence)
        return digest.hexdigest()

    def vectors(self, sequences: Sequence[bytes]) -> np.ndarray:
        """float32 (n, dim) vectors of the sequences, read from the shard or computed and saved."""
        key = self.key(sequences)
        vectors = self.load(key, len(sequences))
        if vectors is not None:
            return vectors
        vectors = self.embedder.embed(sequences)
        _check_vectors(vectors, (len(sequences), self.embedder.dim), self.embedder.name)
        _save_shard(self._path(key), key, vectors)
        self.n_computed += 1
        return vectors

    def load(self, key: str, n: int) -> np.ndarray | None:
        """float32 (n, dim) vectors of the shard of a key; None where it is not there or damaged."""
        vectors = _load_shard(self._path(key), key, (n, self.embedder.dim))
        self.n_reused += vectors is not None
        return vectors

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"


def _check_vectors(vectors: np.ndarray, shape: tuple[int, int], name: str) -> None:
    if vectors.shape != shape or vectors.dtype != np.float32:
        raise InputError(f"embedder {name} gave {vectors.dtype} {vectors.shape}, expected float32 {shape}")
    if not np.isfinite(vectors).all():
        n = int((~np.isfinite(vectors)).any(axis=1).sum())
        raise InputError(f"embedder {name} gave NaN or infinite values for {n} of {shape[0]} sequences")


def _save_shard(path: Path, key: str, vectors: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(vectors), allow_pickle=False)
    with atomic_open(path, "wb") as handle:
        handle.write(buffer.getbuffer())
        handle.write(hashlib.sha256(key.encode() + buffer.getvalue()).digest())


def _load_shard(path: Path, key: str, shape: tuple[int, int]) -> np.ndarray | None:
    """The vectors of a saved shard; None where there is none, or, with a warning, where it is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    array, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(key.encode() + array).digest() == digest:
        vectors = np.load(io.BytesIO(array), allow_pickle=False)
        if vectors.shape == shape and vectors.dtype == np.float32:
            return vectors
    logger.warning("%s: this shard is damaged (%d bytes); it is computed anew", path, len(content))
    return None


class Rows:
    """A float32 (n, dim) array that grows in place, where n is not known in advance."""

    def __init__(self, dim: int) -> None:
        self._array = np.empty((0, dim), dtype=np.float32)
        self._n = 0

    def add(self, rows: np.ndarray) -> None:
        """Append float32 (m, dim) rows."""
        needed = self._n + len(rows)
        if needed > len(self._array):
            self._resize(max(needed, len(self._array) * 3 // 2))
        self._array[self._n : needed] = rows
        self._n = needed

    def result(self) -> np.ndarray:
        """float32 (n, dim) of all rows that were added."""
        self._resize(self._n)
        return self._array

    def _resize(self, n: int) -> None:
        # realloc: large blocks are moved by the kernel without a second copy in memory.
        self._array.resize((n, self._array.shape[1]), refcheck=False)

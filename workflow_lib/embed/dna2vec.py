"""DNA2Vec: the mean of word2vec vectors of a sequence's k-mers.

`DNA2Vec(path, *, device="cpu", k=None, both_strands=True, threads=None)` is the embedder of a file of vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numba
import numpy as np

from workflow_lib.embed.base import compute_fingerprint, runs_on_cpu_only, unit_rows
from workflow_lib.embed.kmers import BASES, MAX_K, compiled, kmer_frequencies, run_in_threads
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_blocks

logger = logging.getLogger(__name__)

ALGORITHM_VERSION = 1
PUBLISHED_K = 4  # of the DNABERT-S evaluation's baseline
_BLOCK_VALUES = 1 << 24  # frequencies held at a time: 64 MiB
_SKIPPED = "</s>"  # the end of a line, which word2vec itself lists among its words


def _read_lines(path: str | Path) -> Iterator[bytes]:
    """Yield the lines of a plain or gzip file; memory is bounded by a block and the longest line."""
    pending = b""
    for block in read_blocks(path):
        *lines, pending = (pending + block).split(b"\n")
        yield from lines
    if pending:
        yield pending


def _read_header(line: bytes, path: str | Path) -> tuple[int, int]:
    try:
        n_words, dim = map(int, line.split())
        if n_words < 1 or dim < 1:
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"found {line[:40].decode('utf-8', 'replace')!r}, expected the number of words and of columns",
            path=path,
            line=1,
            remedy="give vectors in word2vec's text format (.w2v, .txt; gzip allowed), not its binary format",
        ) from error
    return n_words, dim


def _read_vector(fields: list[bytes], path: str | Path, line: int) -> np.ndarray:
    try:
        vector = np.array([float(field) for field in fields])
    except ValueError as error:
        raise InputError(f"found a value that is no number ({error})", path=path, line=line) from error
    if not np.isfinite(vector).all():
        raise InputError("found NaN or an infinite value", path=path, line=line)
    return vector


def _read_words(path: str | Path) -> Iterator[tuple[str, list[bytes], int]]:
    """Yield (k-mer in upper case, its values as text, line) of a file, after checking the file's shape."""
    lines = _read_lines(path)
    n_words, dim = _read_header(next(lines, b""), path)
    n_found = 0
    for line, text in enumerate(lines, start=2):
        word, *fields = text.split() or [b""]
        if not word:
            continue
        if len(fields) != dim:
            raise InputError(
                f"found {len(fields)} values after {word[:20].decode('utf-8', 'replace')!r}, expected {dim}",
                path=path,
                line=line,
            )
        n_found += 1
        kmer = word.decode("utf-8", "replace").upper()
        if kmer == _SKIPPED.upper():
            continue
        if kmer.strip("ACGT"):
            raise InputError(f"found {kmer[:20]!r}, expected a k-mer of A, C, G and T", path=path, line=line)
        yield kmer, fields, line
    if n_found != n_words:
        raise InputError(
            f"found {n_found} words, the first line says {n_words}", path=path, remedy="the file is cut; copy it again"
        )


def _choose_k(path: str | Path, k: int | None) -> int:
    """`k` if the file has k-mers of that length; without `k`, `PUBLISHED_K`, or the largest of the file up to MAX_K."""
    lengths = sorted({len(kmer) for kmer, _, _ in _read_words(path)})
    usable = [length for length in lengths if length <= MAX_K]
    if k is None and usable:
        return PUBLISHED_K if PUBLISHED_K in usable else usable[-1]
    if k not in usable:
        asked = f"k-mers of length {k}" if k is not None else f"k-mers of length 1 to {MAX_K}"
        raise InputError(
            f"found {', '.join(map(str, lengths)) or 'no'} as lengths of k-mers, expected {asked}",
            path=path,
            remedy=f"choose a k of the file, at most {MAX_K}",
        )
    return k


def read_kmer_vectors(path: str | Path, *, k: int | None = None) -> np.ndarray:
    """Read the k-mers of one length from a file in word2vec's text format.

    The first line gives the number of words and of columns, each other line a word and its values. dna2vec's files hold
    several k (Ng 2017, arXiv:1701.06279). The file is read twice, a block at a time.

    Parameters
    ----------
    path : plain or gzip.
    k : length of the k-mers to take, 1 to 8; None: 4, as the DNABERT-S evaluation has it, else the largest of the file.

    Returns
    -------
    float32 (4**k, d), rows in the order of `kmers.BASES`, zeros where the file lacks a k-mer.

    Raises
    ------
    InputError
        with file and line: no such file, another format, a line with too few values, a word that is no k-mer, a k-mer
        given twice, a value that is no finite number, a file that is cut, no k-mer of this length.
    """
    k = _choose_k(path, k)
    vectors, present = None, np.zeros(4**k, dtype=bool)
    for kmer, fields, line in _read_words(path):
        if len(kmer) != k:
            continue
        column = 0
        for base in kmer:
            column = column << 2 | BASES.index(base)
        if present[column]:
            raise InputError(f"found the k-mer {kmer} a second time", path=path, line=line)
        present[column] = True
        if vectors is None:
            vectors = np.zeros((4**k, len(fields)), dtype=np.float32)
        vectors[column] = _read_vector(fields, path, line)
    n_absent = int((~present).sum())
    logger.info("%s: vectors of %d %d-mers, %d columns", path, present.sum(), k, vectors.shape[1])
    if n_absent:
        logger.warning("%s: %d of %d %d-mers have no vector and are left out of the means", path, n_absent, 4**k, k)
    return vectors


@compiled("void(float32[:, ::1], float32[:, ::1], int64, int64, float64[:, ::1])")
def _sum_vectors(frequencies, vectors, start, stop, sums):  # pragma: no cover -- compiled
    """sums = frequencies @ vectors, always summed in the same order."""
    n_columns, dim = vectors.shape
    for row in range(start, stop):
        for j in range(dim):
            sums[row, j] = 0.0
        for i in range(n_columns):
            weight = np.float64(frequencies[row, i])
            if weight != 0.0:
                for j in range(dim):
                    sums[row, j] += weight * vectors[i, j]


class DNA2Vec:
    """The mean of the vectors of a sequence's overlapping k-mers, as unit rows; runs on the CPU.

    k-mers with a code other than A, C, G, T or U, and those that the file lacks, are left out of the mean. With
    `both_strands=False` and k = 4 it is the baseline of the DNABERT-S evaluation, but for the unit length.

    Parameters
    ----------
    path : vectors in word2vec's text format (`read_kmer_vectors`).
    device : "cpu"; anything else is refused.
    k : length of the k-mers; None: 4, else the largest of the file.
    both_strands : average a sequence and its reverse complement.
    threads : sequences counted at a time; None: as numba's NUMBA_NUM_THREADS.
    """

    name = "dna2vec"

    def __init__(
        self,
        path: str | Path,
        *,
        device: str = "cpu",
        k: int | None = None,
        both_strands: bool = True,
        threads: int | None = None,
    ) -> None:
        if device != "cpu":
            raise runs_on_cpu_only(self.name, device)
        self._vectors = read_kmer_vectors(path, k=k)
        n_kmers, self.dim = self._vectors.shape
        self.k = (n_kmers.bit_length() - 1) // 2
        self.both_strands = both_strands
        self.threads = threads or numba.config.NUMBA_NUM_THREADS
        content = {"name": self.name, "version": ALGORITHM_VERSION, "bases": BASES, "both_strands": both_strands}
        self.fingerprint = compute_fingerprint(content, [self._vectors])

    def embed(self, sequences: Sequence[str | bytes]) -> np.ndarray:
        """Mean k-mer vectors scaled to unit rows, float32 (n, dim); zeros where there is no k-mer with a vector."""
        if isinstance(sequences, str | bytes):
            raise TypeError("expected a list of sequences, found one string; put it into a list")
        rows = max(1, _BLOCK_VALUES // len(self._vectors))
        blocks = [self._embed_block(sequences[start : start + rows]) for start in range(0, len(sequences), rows)]
        return np.concatenate(blocks) if blocks else np.zeros((0, self.dim), dtype=np.float32)

    def _embed_block(self, sequences: Sequence[str | bytes]) -> np.ndarray:
        frequencies = kmer_frequencies(sequences, self.k, both_strands=self.both_strands, threads=self.threads)
        sums = np.empty((len(frequencies), self.dim))
        offsets = np.arange(len(frequencies) + 1)
        run_in_threads(
            lambda start, stop: _sum_vectors(frequencies, self._vectors, start, stop, sums),
            offsets,
            threads=self.threads,
        )
        return unit_rows(sums)

"""Frequencies of overlapping k-mers, counted by compiled code outside the interpreter's lock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from workflow_lib.embed.base import as_bytes

logger = logging.getLogger(__name__)

BASES = "ATCG"  # the order of the k-mers' columns; a base's complement is its code with the last bit flipped
MAX_K = 8  # 65,536 columns
_NO_BASE = 4


def base_codes(bases: str = BASES) -> np.ndarray:
    """Code of every byte, uint8 (256,): its place in `bases` (either case, U as T), 4 for what is no base."""
    codes = np.full(256, _NO_BASE, dtype=np.uint8)
    for code, base in enumerate(bases):
        codes[ord(base)] = codes[ord(base.lower())] = code
    codes[ord("U")] = codes[ord("u")] = bases.index("T")
    return codes


_CODES = base_codes()


def compiled(signature: str) -> Callable:
    """Compile a function for `signature` with numba, without the interpreter's lock; cached on disk where possible."""

    def compile_function(function: Callable) -> Callable:
        try:
            return numba.njit(signature, nogil=True, cache=True)(function)
        except Exception as error:  # the cache folder: read-only, full, damaged; an error of the code comes again below
            logger.info("%s is compiled without a cache on disk (%s)", function.__name__, error)
            return numba.njit(signature, nogil=True)(function)

    return compile_function


@compiled("void(uint8[::1], int64[::1], int64, int64, uint8[::1], int64[::1], int64, float32[:, ::1])")
def _count(text, offsets, start, stop, codes, opposite, k, frequencies):  # pragma: no cover -- compiled
    """Write the k-mer frequencies of sequences start..stop; `opposite` is the column that is averaged with each."""
    n_columns = frequencies.shape[1]
    counts = np.zeros(n_columns, dtype=np.int64)
    for row in range(start, stop):
        counts[:] = 0
        column, run, total = 0, 0, 0
        for i in range(offsets[row], offsets[row + 1]):
            code = codes[text[i]]
            if code == 4:
                run = 0
                continue
            column = ((column << 2) | code) & (n_columns - 1)
            run += 1
            if run >= k:
                counts[column] += 1
                total += 1
        for column in range(n_columns):
            if total:
                frequencies[row, column] = (counts[column] + counts[opposite[column]]) / (2.0 * total)
            else:
                frequencies[row, column] = 0.0


def reverse_complement_columns(k: int) -> np.ndarray:
    """Column, int64 (4**k,), of the reverse complement of each column's k-mer."""
    columns = np.arange(4**k)
    opposite = np.zeros_like(columns)
    for _ in range(k):
        opposite = (opposite << 2) | ((columns & 3) ^ 1)
        columns >>= 2
    return opposite


def kmer_frequencies(
    sequences: Sequence[str | bytes], k: int, *, both_strands: bool = True, threads: int = 1
) -> np.ndarray:
    """Frequencies of the overlapping k-mers of each sequence.

    A k-mer with a code other than A, C, G, T or U (any case) is not counted.

    Parameters
    ----------
    sequences : n sequences.
    k : 1 to 8.
    both_strands : average a k-mer's frequency with that of its reverse complement.
    threads : sequences counted at a time; the result does not depend on it.

    Returns
    -------
    float32 (n, 4**k), columns in the order of `BASES`; rows sum to 1, or are zeros where there is no k-mer to count.
    """
    if not 1 <= k <= MAX_K:
        raise ValueError(f"k is {k}, expected 1 to {MAX_K}")
    texts = as_bytes(sequences)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    text = np.frombuffer(bytearray().join(texts) or bytearray(b"N"), dtype=np.uint8)
    frequencies = np.empty((len(texts), 4**k), dtype=np.float32)
    opposite = reverse_complement_columns(k) if both_strands else np.arange(4**k)

    def count(start: int, stop: int) -> None:
        _count(text, offsets, start, stop, _CODES, opposite, k, frequencies)

    run_in_threads(count, offsets, threads=threads)
    return frequencies


def run_in_threads(work: Callable[[int, int], None], offsets: np.ndarray, *, threads: int) -> None:
    """Call `work(start, stop)` on `threads` runs of rows that are about even in `offsets`, int64 (n + 1,)."""
    targets = np.linspace(0, offsets[-1], max(threads, 1) + 1)[1:-1]
    bounds = [0, *np.searchsorted(offsets, targets).tolist(), len(offsets) - 1]
    if len(bounds) == 2:
        work(*bounds)
        return
    with ThreadPoolExecutor(len(bounds) - 1) as pool:
        list(pool.map(work, bounds[:-1], bounds[1:]))


@compiled("void(float32[:, ::1], float64[::1], float64[:, ::1], int64, int64, float32[:, ::1])")
def _project(rows, centre, basis, start, stop, projected):  # pragma: no cover -- compiled
    """Write the projections of rows start..stop; always summed in the same order."""
    n_columns, dim = basis.shape
    for row in range(start, stop):
        total = np.zeros(dim)
        if rows[row].any():
            for i in range(n_columns):
                weight = rows[row, i] - centre[i]
                for j in range(dim):
                    total[j] += weight * basis[i, j]
        for j in range(dim):
            projected[row, j] = total[j]


def project_rows(rows: np.ndarray, centre: np.ndarray, basis: np.ndarray, *, threads: int = 1) -> np.ndarray:
    """(rows - centre) @ basis, the same bytes whatever other rows there are and at any number of threads.

    Parameters
    ----------
    rows : float32 (n, k), C-contiguous.
    centre : float64 (k,).
    basis : float64 (k, d), C-contiguous.

    Returns
    -------
    float32 (n, d); a row of zeros stays zeros.
    """
    projected = np.empty((len(rows), basis.shape[1]), dtype=np.float32)
    offsets = np.arange(len(rows) + 1)
    run_in_threads(lambda a, b: _project(rows, centre, basis, a, b, projected), offsets, threads=threads)
    return projected

"""Blocks of a thresholded similarity: exact decisions, bounded memory, the same result at any number of threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workflow_lib.bin.kept_pairs import drop_misses, drop_unsure_misses, sum_both_ways

BLOCK_ROWS = 768  # rows and columns of a block of similarities: 2.4 MB float32, and a product near full speed
_BLOCK_SIZE = BLOCK_ROWS * BLOCK_ROWS
_VECTOR_ROWS = 8192  # rows of a matrix-vector product that one thread takes
_FLOAT32_UNIT = 2.0**-24  # half the spacing of float32 numbers below 1
_MANY = 0.02  # share of a block near the threshold above which the whole block is repeated in float64
_INLINE_WORK = 4e6  # multiplications below which handing work to threads costs more than it saves


class ThresholdedSimilarity:
    """Inner products of float32 vectors, those below a threshold counted as zero.

    A float32 product that lies within its rounding bound of the threshold is repeated in float64, so that whether a
    pair counts does not depend on blocks, threads or the order of the points, and a pair that was added to a density
    is the same pair when it is taken off again. BLAS runs single-threaded inside a pool over blocks of fixed shape:
    the numbers do not depend on the number of threads.

    Parameters
    ----------
    threshold : smallest similarity that counts; rounded to float32.
    largest_norm : largest norm among all vectors, for the rounding bound.
    dim : number of columns of the vectors.
    map_blocks : a `map` that keeps order, from `blocks.block_pool`.
    """

    def __init__(self, threshold: float, *, largest_norm: float, dim: int, map_blocks: Callable) -> None:
        self.threshold = np.float32(threshold)
        self.map = map_blocks
        # |computed - exact| <= d u |x| |y| for a sum of d products in any order (Higham 2002, section 3.1).
        self._margin = max(dim, 4) * _FLOAT32_UNIT * largest_norm**2
        self._low, self._high = self._around(self._margin)

    def bounds(self, *, lost: float = 0.0) -> tuple[np.float32, np.float32, float]:
        """A product below the first surely misses the threshold, from the second on surely reaches it; the threshold.

        `lost` : by which the inner product of two vectors in float32 may be wrong before it is computed.
        """
        return *self._around(self._margin + lost), float(self.threshold)

    def _around(self, margin: float) -> tuple[np.float32, np.float32]:
        with np.errstate(over="ignore"):
            return np.float32(float(self.threshold) - margin), np.float32(float(self.threshold) + margin)

    def density(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the kept similarities of every point to all points, and its own share in it.

        Parameters
        ----------
        vectors : float32 (n, d), C-contiguous.

        Returns
        -------
        float64 (n,) density and float64 (n,) kept similarity to itself. Each block is computed once and serves its
        rows and its columns.
        """
        n = len(vectors)
        density, own = np.zeros(n), np.zeros(n)
        starts = range(0, n, BLOCK_ROWS)
        pairs = [(i, j) for i in starts for j in starts if i <= j]

        def sums(pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
            i, j = pair
            kept = self._kept(vectors[i : i + BLOCK_ROWS], vectors[j : j + BLOCK_ROWS])
            of_rows, of_columns = sum_both_ways(kept)
            return of_rows, np.diagonal(kept).astype(np.float64) if i == j else of_columns

        for (i, j), (of_rows, second) in zip(pairs, self.map(sums, pairs), strict=True):
            density[i : i + BLOCK_ROWS] += of_rows
            if i == j:
                own[i : i + BLOCK_ROWS] = second
            else:
                density[j : j + BLOCK_ROWS] += second
        return density, own

    def of_itself(self, vectors: np.ndarray) -> np.ndarray:
        """Kept similarity of each row to itself, as `density` returns it: float64 (n,)."""
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        return np.where(squares >= float(self.threshold), squares, 0.0)

    def sums_to(self, rows: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Sum of the kept similarities of each row to the members: float64 (n_rows,)."""
        sums = np.zeros(len(rows))
        for start in range(0, len(members), BLOCK_ROWS):
            columns = members[start : start + BLOCK_ROWS]
            step = min(_BLOCK_SIZE // len(columns), _VECTOR_ROWS)
            parts = self._over_rows(
                rows,
                step,
                len(columns),
                lambda part, columns=columns: sum_both_ways(self._kept(part, columns))[0],
            )
            sums += np.concatenate(parts) if parts else 0.0
        return sums

    def any_neighbour(
        self, rows: np.ndarray, others: np.ndarray, admitted: Callable[[slice], np.ndarray]
    ) -> np.ndarray:
        """Whether each row has a kept similarity to one of `others`: bool (n_rows,).

        `admitted(columns)` gives a bool (n_rows, n_columns) of the pairs that may count, for a slice of `others`.
        """
        found = np.zeros(len(rows), dtype=bool)
        for start in range(0, len(others), _VECTOR_ROWS):
            columns = slice(start, start + _VECTOR_ROWS)
            allowed = admitted(columns)
            if allowed.any():
                found |= (self._mask(rows, others[columns]) & allowed).any(axis=1)
        return found

    def neighbour_counts(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Number of `others` within the threshold of each row: int64 (n_rows,)."""
        parts = [others[start : start + _VECTOR_ROWS] for start in range(0, len(others), _VECTOR_ROWS)]
        counts = self.map(lambda part: np.count_nonzero(self._mask(rows, part), axis=1), parts)
        return sum(counts, np.zeros(len(rows), dtype=np.int64))

    def pairs_within(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Whether each pair of a row and one of `others` is within the threshold: bool (n_rows, n_others)."""
        return self._mask(rows, others)

    def near(self, rows: np.ndarray, medoid: np.ndarray) -> np.ndarray:
        """Whether the similarity of each row to one vector reaches the threshold: bool (n_rows,)."""
        column = medoid[None, :]
        parts = self._over_rows(rows, _VECTOR_ROWS, 1, lambda part: self._mask(part, column)[:, 0])
        return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)

    def _over_rows(self, rows: np.ndarray, step: int, n_columns: int, function: Callable) -> list[np.ndarray]:
        parts = [rows[start : start + step] for start in range(0, len(rows), step)]
        small = rows.size * n_columns <= _INLINE_WORK
        return list(map(function, parts) if small else self.map(function, parts))

    def _kept(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Float32 similarities of a block, those that miss the threshold 0."""
        product = _product(rows, columns)
        unsure = drop_misses(product, self._low, self._high)
        if unsure.sum() > _MANY * product.size:
            return np.multiply(product, self._exact_mask(rows, columns), out=product)
        drop_unsure_misses(product, np.flatnonzero(unsure), self.bounds(), rows, columns)
        return product

    def _mask(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Which similarities of a block reach the threshold: bool."""
        product = _product(rows, columns)
        mask = product >= self._low
        surely = product >= self._high
        n_unsure = np.count_nonzero(mask) - np.count_nonzero(surely)
        if n_unsure > _MANY * product.size:
            return self._exact_mask(rows, columns)
        if n_unsure:
            at_row, at_column = np.nonzero(mask & ~surely)
            exact = np.einsum("ij,ij->i", rows[at_row], columns[at_column], dtype=np.float64)
            mask[at_row, at_column] = exact >= float(self.threshold)
        return mask

    def _exact_mask(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        exact = rows.astype(np.float64) @ np.ascontiguousarray(columns.T, dtype=np.float64)
        return exact >= float(self.threshold)


def _product(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    # A copy, so that NumPy sees two matrices: of one and its transpose it would call another BLAS routine (syrk),
    # which rounds differently and crashes with OpenBLAS at 30,000 rows and more.
    return rows @ np.ascontiguousarray(columns.T)

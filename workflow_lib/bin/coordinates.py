"""Coordinates of contigs on the axes that hold all their variation: fewer numbers with the same inner products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_SAMPLE = 20_000  # rows that the axes are found from
_BLOCK = 4096  # rows of float64 held at a time
_WORTH_IT = 0.75  # share of the columns that the axes must stay below
_LOST = 1e-6  # of the largest square of a row: a tenth of what rounding may do to a product of 176 columns
_ROUNDING = 2.0**-22  # of the largest square: what rounding two rows to float32 may do to their product, doubled


@dataclass(frozen=True)
class Coordinates:
    """Rows on orthonormal axes.

    Attributes
    ----------
    rows : float32 (n, k).
    axes : float64 (d, k), or None where the rows are as they were.
    lost : products of coordinates are wrong by no more: the largest square of what a row has off the axes, and the
        rounding of coordinates to float32.
    """

    rows: np.ndarray
    axes: np.ndarray | None
    lost: float

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """Coordinates of vectors (..., d), such as means of rows: float32 (..., k)."""
        return vectors if self.axes is None else (vectors @ self.axes).astype(np.float32)


def principal_coordinates(vectors: np.ndarray, order: np.ndarray, *, map_blocks: Callable) -> Coordinates:
    """Turn rows to their principal axes and leave out those on which no row has more than 1e-6 of the largest square.

    Features of depth are many columns with few degrees of freedom: with one library 60 axes hold what 176 columns say.

    Parameters
    ----------
    vectors : float32 (n, d).
    order : int64 (m,) rows that are wanted, in this order.
    map_blocks : a `map` that keeps order, from `blocks.block_pool`.

    Returns
    -------
    Coordinates of these rows; the rows as they are where the axes would be no fewer than three quarters of the columns.
    """
    sample = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(np.int64)].astype(np.float64)
    values, axes = np.linalg.eigh(sample.T @ sample / max(len(sample), 1))
    axes = np.ascontiguousarray(axes[:, ::-1])
    rest = np.cumsum(values.clip(0))[::-1]  # mean square on an axis and those after it
    if np.count_nonzero(rest > _LOST * rest[0]) > _WORTH_IT * len(rest):
        return Coordinates(vectors[order], None, 0.0)
    off_axes = _largest_rests(vectors, axes, map_blocks)
    n_axes = max(1, int(np.count_nonzero(off_axes > _LOST * off_axes[0])))
    if n_axes > _WORTH_IT * len(rest):
        return Coordinates(vectors[order], None, 0.0)
    kept = np.ascontiguousarray(axes[:, :n_axes])
    blocks = [order[start : start + _BLOCK] for start in range(0, len(order), _BLOCK)]
    rows = np.empty((len(order), n_axes), dtype=np.float32)
    for number, turned in enumerate(map_blocks(lambda block: vectors[block] @ kept, blocks)):
        rows[number * _BLOCK : (number + 1) * _BLOCK] = turned
    return Coordinates(rows, kept, float(off_axes[n_axes] + _ROUNDING * off_axes[0]))


def _largest_rests(vectors: np.ndarray, axes: np.ndarray, map_blocks: Callable) -> np.ndarray:
    """For k = 0 to d, the largest sum of squares that a row has on the axes from the k-th on: float64 (d + 1,)."""

    def rests(start: int) -> np.ndarray:
        squares = np.square(vectors[start : start + _BLOCK] @ axes)
        return np.cumsum(squares[:, ::-1], axis=1).max(axis=0)[::-1]

    largest = np.zeros(len(axes) + 1)
    for found in map_blocks(rests, range(0, len(vectors), _BLOCK)):
        np.maximum(largest[:-1], found, out=largest[:-1])
    return largest

"""Pairs that reach a threshold, found in blocks of inner products in one pass over them (compiled by numba)."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _rough_product(one: np.ndarray, other: np.ndarray) -> float:
    total = np.float32(0.0)
    for k in range(len(one)):
        total += one[k] * other[k]
    return total


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _exact_product(one: np.ndarray, other: np.ndarray) -> float:
    total = 0.0
    for k in range(len(one)):
        total += np.float64(one[k]) * np.float64(other[k])
    return total


@numba.njit(nogil=True, cache=True)
def add_kept(
    products: np.ndarray,
    bounds: tuple[float, float, float],
    coordinates: tuple[np.ndarray, np.ndarray],
    vectors: np.ndarray,
    numbers: tuple[np.ndarray, np.ndarray],
    sums: tuple[np.ndarray, np.ndarray],
) -> None:
    """Add the inner products that reach the threshold to the sums of their rows and of their columns.

    The products of a block depend on its shape, by rounding. They only choose here: what is added is the product in
    float64, so that what was added in one block is taken off in another without a rest.

    Parameters
    ----------
    products : float32 (r, c) of the coordinates, but for rounding.
    bounds : below the first a product surely misses the threshold, from the second on it surely reaches it; between
        them the inner product of the vectors in float64 decides, and the third is the threshold.
    coordinates : float32 (r, k) and (c, k).
    vectors : float32 (n, d).
    numbers : int64 (r,) and (c,) which of the vectors they are.
    sums : float64 (r,) and (c,), changed.
    """
    low, high, threshold = bounds
    (left, right), (rows, columns), (of_rows, of_columns) = coordinates, numbers, sums
    for i in range(products.shape[0]):
        total = 0.0
        for j in range(products.shape[1]):
            product = products[i, j]
            if product < low:
                continue
            if product >= high or _exact_product(vectors[rows[i]], vectors[columns[j]]) >= threshold:
                similarity = _exact_product(left[i], right[j])
                total += similarity
                of_columns[j] += similarity
        of_rows[i] += total


@numba.njit(nogil=True, cache=True)
def drop_misses(products: np.ndarray, low: float, high: float) -> np.ndarray:
    """Set products, float32 (r, c), below `low` to zero; returns how many of each row, int64 (r,), are below `high`."""
    unsure = np.zeros(products.shape[0], dtype=np.int64)
    for i in range(products.shape[0]):
        n = 0
        for j in range(products.shape[1]):
            product = products[i, j]
            n += (product >= low) & (product < high)
            products[i, j] = product if product >= low else np.float32(0.0)
        unsure[i] = n
    return unsure


@numba.njit(nogil=True, cache=True)
def drop_unsure_misses(
    products: np.ndarray, at: np.ndarray, bounds: tuple[float, float, float], rows: np.ndarray, columns: np.ndarray
) -> None:
    """Set products that lie between the bounds to zero where the pair misses the threshold.

    Parameters
    ----------
    products : float32 (r, c) of rows and columns, float32 (r, d) and (c, d). at : int64, rows that are looked at.
    bounds : as in `add_kept`.
    """
    low, high, threshold = bounds
    for i in at:
        for j in range(products.shape[1]):
            if low <= products[i, j] < high and _exact_product(rows[i], columns[j]) < threshold:
                products[i, j] = 0.0


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def sum_both_ways(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the rows and of the columns of a float32 matrix, float64."""
    of_rows, of_columns = np.zeros(products.shape[0]), np.zeros(products.shape[1])
    for i in range(products.shape[0]):
        total = 0.0
        for j in range(products.shape[1]):
            product = np.float64(products[i, j])
            total += product
            of_columns[j] += product
        of_rows[i] = total
    return of_rows, of_columns


@numba.njit(nogil=True, cache=True)
def find_near(
    coordinates: np.ndarray,
    at: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    bounds: tuple[float, float, float],
    vectors: np.ndarray,
    rows: np.ndarray,
    vector: np.ndarray,
) -> np.ndarray:
    """Places of the points within the threshold of one vector: int64, in the order of the spans.

    Parameters
    ----------
    coordinates : float32 (n, k) of points; their products are within rounding of those of their vectors.
    at : float32 (k,) coordinates of the one vector.
    starts, ends : int64 spans of places that are looked at.
    bounds : as in `add_kept`.
    vectors, rows : the vector of the point at place i is `vectors[rows[i]]`.
    vector : float32 (d,).
    """
    low, high, threshold = bounds
    found = np.empty((ends - starts).sum(), dtype=np.int64)
    n_found = 0
    for start, end in zip(starts, ends):  # noqa: B905 (numba knows no `strict`)
        for i in range(start, end):
            product = _rough_product(coordinates[i], at)
            if product >= low and (product >= high or _exact_product(vectors[rows[i]], vector) >= threshold):
                found[n_found] = i
                n_found += 1
    return found[:n_found]

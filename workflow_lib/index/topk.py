"""The largest similarities of each query: the k best while blocks of them come by, and the best of each genome."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def _is_worse(value: float, row: int, other: float, other_row: int) -> bool:
    """Whether (value, row) stands behind the other: less similar, or as similar and a later row."""
    return value < other or (value == other and row > other_row)


@numba.njit(nogil=True, cache=True)
def update_nearest(similarities: np.ndarray, first: int, best: np.ndarray, rows: np.ndarray) -> None:
    """Take a block of similarities into the k best of each query, in place.

    Parameters
    ----------
    similarities : float32 (b, w), of b queries and the windows first ... first + w - 1.
    best, rows : float32 and int64 (b, k); each row is a heap with the worst at its root. They begin as -inf and -1.
    """
    k = best.shape[1]
    for query in range(similarities.shape[0]):
        heap, owners = best[query], rows[query]
        for column in range(similarities.shape[1]):
            value = similarities[query, column]
            # Windows come in ascending order: one as similar as the root is later than it, and stays out.
            if value <= heap[0]:
                continue
            row, hole = first + column, 0
            while True:
                child = 2 * hole + 1
                if child >= k:
                    break
                right = child + 1
                if right < k and _is_worse(heap[right], owners[right], heap[child], owners[child]):
                    child = right
                if not _is_worse(heap[child], owners[child], value, row):
                    break
                heap[hole], owners[hole] = heap[child], owners[child]
                hole = child
            heap[hole], owners[hole] = value, row


def sort_nearest(best: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort what `update_nearest` kept: most similar first, earlier rows first among equals."""
    order = np.lexsort((rows, -best), axis=1)
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(rows, order, axis=1)


@numba.njit(nogil=True, cache=True)
def take_group_maxima(similarities: np.ndarray, firsts: np.ndarray, maxima: np.ndarray) -> None:
    """Write the largest similarity of each group of windows with each query.

    Parameters
    ----------
    similarities : float32 (w, b), of the windows of g groups, one group after the other, and b queries; no NaN.
    firsts : int64 (g,), the first window of each group.
    maxima : float32 (g, b).
    """
    n_windows, n_queries = similarities.shape
    for group in range(len(firsts)):
        largest = maxima[group]
        largest[:] = similarities[firsts[group]]
        end = firsts[group + 1] if group + 1 < len(firsts) else n_windows
        for window in range(firsts[group] + 1, end):
            for query in range(n_queries):
                largest[query] = max(largest[query], similarities[window, query])

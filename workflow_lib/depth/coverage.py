"""Mean and variance of depth along one contig, from alignments given as CIGAR arrays (compiled by numba)."""

from __future__ import annotations

import numba
import numpy as np

# CIGAR operations by their BAM code (SAM specification, section 4.2).
MATCH, INSERTION, DELETION, SKIP, EQUAL, DIFFERENT = 0, 1, 2, 3, 7, 8
NO_NM = -1  # stands for an alignment without an NM tag
BEYOND_END = -1  # returned where an alignment does not fit the contig


@numba.njit(cache=True, nogil=True)
def add_alignments(
    change: np.ndarray,
    length: int,
    starts: np.ndarray,
    nms: np.ndarray,
    ends: np.ndarray,
    operations: np.ndarray,
    min_identity: float,
) -> int:
    """Add the alignments that reach `min_identity` to the changes of depth along a contig.

    Depth rises over M, = and X operations only: a deleted base is not covered. Identity is the share of identical
    bases among aligned, inserted and deleted ones, with NM - insertions - deletions mismatches; where NM is missing or
    less than the gaps, X operations are the mismatches.

    Parameters
    ----------
    change : int32 (length + 1,) or longer; depth of position i minus that of i - 1; changed in place.
    length : of the contig, bp.
    starts : int64 (a,) 0-based leftmost positions.
    nms : int64 (a,) NM tags, NO_NM where missing.
    ends : int64 (a,) row of `operations` after the last of each alignment.
    operations : int64 (o, 2) operation code and length.
    min_identity : share, 0 to 1.

    Returns
    -------
    how many alignments were counted, or BEYOND_END.
    """
    counted, first = 0, 0
    for i in range(starts.shape[0]):
        end, identity = _span_and_identity(starts[i], nms[i], operations[first : ends[i]])
        if starts[i] < 0 or end > length:
            return BEYOND_END
        if identity >= min_identity:
            counted += 1
            position = starts[i]
            for k in range(first, ends[i]):
                operation, n = operations[k, 0], operations[k, 1]
                if operation in (MATCH, EQUAL, DIFFERENT):
                    change[position] += 1
                    change[position + n] -= 1
                    position += n
                elif operation in (DELETION, SKIP):
                    position += n
        first = ends[i]
    return counted


@numba.njit(cache=True, nogil=True)
def _span_and_identity(start: int, nm: int, operations: np.ndarray) -> tuple[int, float]:
    """End of an alignment on its contig, and its identity; an identity of -1 where nothing is aligned."""
    aligned, inserted, deleted, different = 0, 0, 0, 0
    end = start
    for k in range(operations.shape[0]):
        operation, n = operations[k, 0], operations[k, 1]
        if operation in (MATCH, EQUAL, DIFFERENT):
            aligned += n
            end += n
            if operation == DIFFERENT:
                different += n
        elif operation == INSERTION:
            inserted += n
        elif operation == DELETION:
            deleted += n
            end += n
        elif operation == SKIP:
            end += n
    if nm >= inserted + deleted:
        different = nm - inserted - deleted
    # A quotient, not a product with the wanted identity: 97 of 100 must reach 0.97.
    return end, (aligned - different) / (aligned + inserted + deleted) if aligned > 0 else -1.0


@numba.njit(cache=True, nogil=True)
def finish_contig(change: np.ndarray, length: int, edge: int) -> tuple[float, float]:
    """Mean and sample variance of depth along a contig without its edges; `change` is 0 again afterwards.

    `edge` bp at each end are left out where at least 2 bp remain. A single position has variance 0.
    """
    depth = 0
    for i in range(length):
        depth += change[i]
        change[i] = depth
    start, end = 0, length
    if length > 2 * edge + 1:
        start, end = edge, length - edge
    total = 0
    for i in range(start, end):
        total += change[i]
    n = end - start
    mean = total / n if n > 0 else 0.0
    squares = 0.0
    for i in range(start, end):
        squares += (change[i] - mean) ** 2
    change[: length + 1] = 0
    return mean, squares / (n - 1) if n > 1 else 0.0

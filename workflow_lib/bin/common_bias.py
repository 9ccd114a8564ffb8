"""What changes the depth of a contig alike in all libraries: where it lies in its genome, what of it can be mapped."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from workflow_lib.bin.fuse import LOG_OFFSET, Depth
from workflow_lib.bin.groups import rows_of_bins

logger = logging.getLogger(__name__)

_MIN_CONTIGS = 100
_MIN_BIN = 5  # contigs of a bin whose medians stand for its depths
_MOST = 0.95  # of the correlation


def without_common_bias(depth: Depth, lengths: np.ndarray, labels: np.ndarray) -> Depth:
    """Let what is common to all libraries in the depth of a contig count as little as it is certain.

    A genome that is being copied is deeper near its origin of replication than near the terminus, in every library;
    repeats and hypervariable regions deviate in every library too. Libraries are then not independent: within bins the
    deviations of log depth from the bin's medians have a correlation r between them, and L libraries that agree about a
    contig say less than L. Of the mean of a contig's log depths over the libraries the share
    1 - sqrt((1 - r) / (1 + (L - 1) r)) is taken off all of them, after which the deviations are independent.

    Parameters
    ----------
    depth : of n contigs; where it is not known in one of the libraries, it stays as it is.
    lengths : int64 (n,) bp.
    labels : int64 (n,) bins, -1 unbinned.

    Returns
    -------
    `depth` itself with one library, with fewer than 100 contigs to learn from, or without correlation.
    """
    n_libraries = len(depth.libraries)
    log = np.log(depth.mean + LOG_OFFSET)
    known = np.isfinite(log).all(axis=1)
    if n_libraries < 2:
        return depth
    correlation = _correlation(log[known], lengths[known], labels[known])
    if correlation == 0:
        return depth
    kept = np.sqrt((1 - correlation) / (1 + (n_libraries - 1) * correlation))
    common = log[known].mean(axis=1)
    log[known] -= (1 - kept) * (common - np.median(common))[:, None]
    mean, variance = depth.mean.copy(), depth.variance.copy()
    mean[known] = np.maximum(np.exp(log[known]) - LOG_OFFSET, 0)
    variance[known] *= ((mean[known] + LOG_OFFSET) / (depth.mean[known] + LOG_OFFSET)) ** 2
    logger.info(
        "depths of a contig deviate alike in all libraries (correlation %.2f): their mean counts %.2f-fold",
        correlation, kept,
    )  # fmt: skip
    return replace(depth, mean=mean, variance=variance)


def _correlation(log: np.ndarray, lengths: np.ndarray, labels: np.ndarray) -> float:
    """Correlation between libraries of what is left of log depths (n, L) about their bin's medians; 0 if too few tell.

    Of the longer half of the contigs: in short ones the number of reads is most of the deviation.
    """
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    rows = np.flatnonzero((labels >= 0) & (np.append(sizes, 0)[labels] >= _MIN_BIN))
    rows = rows[lengths[rows] >= np.median(lengths[rows])] if len(rows) else rows
    if len(rows) < _MIN_CONTIGS:
        return 0.0
    _, of = np.unique(labels[rows], return_inverse=True)
    medians = np.array([np.median(log[rows[own]], axis=0) for own in rows_of_bins(of)])
    residual = log[rows] - medians[of]
    scale = _spread(residual)
    if not scale.all():  # most contigs of a bin have one depth: it is rounded, or made up
        return 0.0
    squared = float(_spread((residual / scale).mean(axis=1, keepdims=True))[0] ** 2)
    n_libraries = log.shape[1]
    return float(np.clip((n_libraries * squared - 1) / (n_libraries - 1), 0, _MOST))


def _spread(values: np.ndarray) -> np.ndarray:
    """Robust standard deviation of each column, about 0."""
    return np.median(np.abs(values), axis=0) / 0.6745

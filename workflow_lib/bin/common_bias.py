"""What changes the depth of a contig alike in all libraries: where it lies in its genome, what of it can be mapped."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from workflow_lib.bin.fuse import LOG_OFFSET, Depth
from workflow_lib.bin.groups import rows_of_bins

logger = logging.getLogger(__name__)

_MIN_CONTIGS = 100
_MIN_BIN = 10  # contigs of a bin whose medians stand for its depths
_MIN_LIBRARIES = 1.5  # that count; of fewer nothing is known of what they share
_MOST = 0.95  # of the correlation


def without_common_bias(depth: Depth, lengths: np.ndarray, labels: np.ndarray) -> Depth:
    """Let what is common to all libraries in the depth of a contig count as little as it is certain.

    A genome that is being copied is deeper near its origin of replication than near the terminus, in every library;
    repeats and hypervariable regions deviate in every library too. Libraries are then not independent: within bins the
    deviations of log depth from the bin's medians have a correlation r between them, and L libraries that agree about a
    contig say less than L. Of the mean of a contig's log depths over the libraries (weights 1 / variance, and L the
    number of libraries that these are worth) the share 1 - sqrt((1 - r) / (1 + (L - 1) r)) is taken off all of them.
    Differences between libraries stay. No level matters: depths are raised, none is lowered.

    Parameters
    ----------
    depth : of n contigs; what is not known stays so.
    lengths : int64 (n,) bp.
    labels : int64 (n,) bins, -1 unbinned. Bins of two genomes whose depths have one ratio in all libraries look as if
        they were copied: where most bins are such, what would part them is lost.

    Returns
    -------
    `depth` itself with one library, with fewer than 100 contigs of known depth in all libraries to learn from, or
    without correlation.

    Memory: twice the depths.
    """
    weights, kept = _learn(depth, lengths, labels)
    if kept == 1:
        return depth
    common = np.zeros(len(lengths))
    for column in np.flatnonzero(weights):
        log = np.log(depth.mean[:, column] + LOG_OFFSET)
        log[np.isnan(log)] = np.nanmedian(log)  # as `fuse.depth_profile` takes it
        common += weights[column] / weights.sum() * log
    factor = np.exp((1 - kept) * (common.max() - common))
    mean, variance = depth.mean.copy(), depth.variance.copy()
    for column in range(mean.shape[1]):
        mean[:, column] = (mean[:, column] + LOG_OFFSET) * factor - LOG_OFFSET
        variance[:, column] *= factor**2
    return replace(depth, mean=mean, variance=variance)


def _learn(depth: Depth, lengths: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights of the libraries, float64 (L,), and the share of the mean log depth that is kept; 1 if too little tells.

    Libraries in which most contigs have the depth of their bin (none: its genomes are not there) say nothing and get no
    weight.
    """
    nothing = np.zeros(len(depth.libraries)), 1.0
    log, medians, of = depths_of_bins(depth, lengths, labels)
    if len(log) < _MIN_CONTIGS:
        return nothing
    residual = log - medians[of]
    spread = _spread(residual)
    weights = np.divide(1, spread**2, out=np.zeros(len(spread)), where=spread > 0)
    if not weights.any() or (libraries := weights.sum() ** 2 / (weights**2).sum()) < _MIN_LIBRARIES:
        return nothing
    common = (residual * weights).sum(axis=1) / weights.sum()
    ratio = _spread(common[:, None])[0] ** 2 * weights.sum()  # to the variance of the mean of independent libraries
    correlation = np.clip((ratio - 1) / (libraries - 1), 0, _MOST)
    kept = float(np.sqrt((1 - correlation) / (1 + (libraries - 1) * correlation)))
    if correlation:
        logger.info(
            "depths of a contig deviate alike in all libraries (correlation %.2f): their mean counts %.2f-fold",
            *(correlation, kept),
        )
    return weights, kept


def depths_of_bins(depth: Depth, lengths: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log depth of contigs (m, L) in bins of ten or more, the medians of these bins (K, L), and the bin of each (m,).

    Of the longer half of the contigs whose depth is known in all libraries: in short ones the number of reads is most
    of the deviation.
    """
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    known = np.isfinite(depth.mean).all(axis=1)
    rows = np.flatnonzero(known & (labels >= 0) & (np.append(sizes, 0)[labels] >= _MIN_BIN))
    rows = rows[lengths[rows] >= np.median(lengths[rows])] if len(rows) else rows
    log = np.log(depth.mean[rows] + LOG_OFFSET)
    _, of = np.unique(labels[rows], return_inverse=True)
    medians = np.array([np.median(log[own], axis=0) for own in rows_of_bins(of)])
    return log, medians.reshape(-1, log.shape[1]), of


def _spread(values: np.ndarray) -> np.ndarray:
    """Robust standard deviation of each column, about 0."""
    return np.median(np.abs(values), axis=0) / 0.6745

"""Libraries that have all genomes at one ratio: lanes of a library, runs of one extract, the same reads twice."""

from __future__ import annotations

import logging

import numpy as np

from workflow_lib.bin.common_bias import depths_of_bins
from workflow_lib.bin.fuse import Depth

logger = logging.getLogger(__name__)

_MIN_BINS = 5  # that tell whether libraries are alike
_SHARE = 0.95  # of the bins
# Largest deviation of the log ratio of two libraries from its median, in that share of the bins. Simulated lanes of one
# library have 0.02 to 0.08, samples with the same genomes in drawn proportions 1.4 or more.
_ALIKE = 0.2


def pool_alike(depth: Depth, lengths: np.ndarray, labels: np.ndarray) -> Depth:
    """Add up the depths of libraries that have all genomes at one ratio.

    What makes a contig deeper than its genome (what of it can be sequenced and mapped) it does in all lanes of a
    library alike. Counted as independent, they would say that contigs of one genome are of several. Between genomes
    they tell nothing that one of them does not.

    Parameters
    ----------
    depth : of n contigs; of a pooled library what is unknown in one of its libraries is unknown.
    lengths : int64 (n,) bp.
    labels : int64 (n,) bins, -1 unbinned.

    Returns
    -------
    `depth` itself with fewer than five bins of ten or more contigs, or where no libraries are alike.
    """
    if len(depth.libraries) < 2:
        return depth
    _, medians, _ = depths_of_bins(depth, lengths, labels)
    if len(medians) < _MIN_BINS:
        return depth
    group = _group_alike(medians)
    _, first = np.unique(group, return_index=True)
    if len(first) == len(group):
        return depth
    members = [np.flatnonzero(group == group[column]) for column in np.sort(first)]
    names = ["+".join(depth.libraries[column] for column in own) for own in members]
    logger.info(
        "libraries with all genomes at one ratio count as one: %s",
        ", ".join(name for name, own in zip(names, members, strict=True) if len(own) > 1),
    )
    mean, variance = (
        np.stack([table[:, own].sum(axis=1) for own in members], axis=1) for table in (depth.mean, depth.variance)
    )
    return Depth(names, mean, variance)


def _group_alike(medians: np.ndarray) -> np.ndarray:
    """int (L,) groups of libraries, each like every other of its group by the log depths `medians` (K, L) of bins.

    Not like one of them only: days of a series change little, the first and the last may differ.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = np.stack([_deviation(medians - own[:, None]) for own in medians.T])
    return fcluster(linkage(squareform(distance, checks=False), "complete"), _ALIKE, "distance")


def _deviation(ratio: np.ndarray) -> np.ndarray:
    """Of log ratios (K, L) the deviation from the median that `_SHARE` of the bins do not exceed, (L,)."""
    return np.quantile(np.abs(ratio - np.median(ratio, axis=0)), _SHARE, axis=0)

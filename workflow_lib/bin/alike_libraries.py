"""Libraries that have all genomes at one ratio: lanes of a library, runs of one extract, the same reads twice."""

from __future__ import annotations

import logging

import numpy as np
from scipy.sparse.csgraph import connected_components

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
    n, group = connected_components(np.array([_are_alike(medians, own) for own in medians.T]), directed=False)
    if n == len(group):
        return depth
    members = [np.flatnonzero(group == number) for number in range(n)]
    names = ["+".join(depth.libraries[column] for column in own) for own in members]
    logger.info(
        "libraries with all genomes at one ratio count as one: %s",
        ", ".join(name for name, own in zip(names, members, strict=True) if len(own) > 1),
    )
    mean, variance = (
        np.stack([table[:, own].sum(axis=1) for own in members], axis=1) for table in (depth.mean, depth.variance)
    )
    return Depth(names, mean, variance)


def _are_alike(medians: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Which libraries, bool (L,), are like one with the log depths `own` (K,) in the bins, by the `medians` (K, L)."""
    ratio = medians - own[:, None]
    return np.quantile(np.abs(ratio - np.median(ratio, axis=0)), _SHARE, axis=0) < _ALIKE

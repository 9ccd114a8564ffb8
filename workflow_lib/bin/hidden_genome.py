"""Second genomes that hide: in a small sample what parts them is a good share of what passes for noise."""

from __future__ import annotations

import numpy as np

from workflow_lib.bin.kmedoid import UNBINNED
from workflow_lib.bin.mixture import Contigs, Noise, estimate
from workflow_lib.bin.two_genomes import MIN_PART, are_two_parts, fit_two_genomes, needed_gain

_LEAST_SHARE = 0.05  # of the binned contigs: a smaller bin makes too little of the noise
_SURE = 2.5  # times the gain that two genomes need: one that is unlike the others reaches it too


def hidden_genome(
    contigs: Contigs, noise: Noise, variance: np.ndarray, labels: np.ndarray, rows: np.ndarray
) -> np.ndarray | None:
    """Which contigs of a bin are of a second genome, as the noise of the other bins has it.

    The covariance of composition within bins, by which `split_bins` judges, is also that of the bin itself. Where two
    genomes in one bin are much of the sample, what parts them is taken for noise.

    Parameters
    ----------
    contigs, noise : as `mixture.settle` has them.
    variance : float64 (n, L) of log depth within a genome.
    labels : int64 (n,) bins 0, 1, ..., -1 unbinned.
    rows : int64 (m,) the contigs of the bin.

    Returns
    -------
    bool (m,); None where it is one genome, is less than a twentieth of the binned contigs, or the others are too few to
    tell of noise (no more contigs and bins than axes).
    """
    binned = labels != UNBINNED
    others = binned.copy()
    others[rows] = False
    present, number = np.unique(labels[others], return_inverse=True)
    dim = contigs.composition.shape[1]
    is_large = len(rows) >= max(2 * MIN_PART, _LEAST_SHARE * np.count_nonzero(binned))
    if not is_large or len(number) - len(present) <= dim:
        return None
    without = np.full(len(labels), UNBINNED, dtype=np.int64)
    without[others] = number
    bins, quiet = estimate(contigs, noise, without)
    log_depth = contigs.log_depth[rows]
    gain, second = fit_two_genomes(
        contigs.composition[rows] @ bins.axes, quiet.composition[rows], log_depth, variance[rows]
    )
    is_sure = gain > _SURE * needed_gain(len(rows), log_depth.shape[1], dim)
    return second if is_sure and are_two_parts(second) else None

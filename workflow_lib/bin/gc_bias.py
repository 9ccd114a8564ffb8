"""What GC content adds to the depth of contigs in each library, from bins: contigs of one genome have one depth."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
from scipy.special import fdtrc

from workflow_lib.bin.fuse import LOG_OFFSET, Depth
from workflow_lib.bin.groups import rows_of_bins, weighted_sums
from workflow_lib.blocks import one_blas_thread

logger = logging.getLogger(__name__)

_LONGEST = 20_000  # bp beyond which a contig counts no more
_RANGE = (0.01, 0.99)  # quantiles of the GC of binned contigs; beyond them the bias is that at their edge
_PASSES = 5
_FAR = 2.0  # standard deviations at which a contig counts a quarter
_MIN_CONTIGS = 100
_MOST = math.log(1000)  # of the bias between two contigs: a fit finds more where the GC of bins differs too little
_CHANCE = 0.001  # that GC seems to change depth as much where it does not; from it on nothing is taken off
_ROUNDING = 1e-12  # of GC content about the mean of a bin


def without_gc_bias(depth: Depth, gc: np.ndarray, lengths: np.ndarray, labels: np.ndarray) -> Depth:
    """Take off depth what GC content adds to it.

    Sequencing prefers some GC contents, and each library others. Log depth is taken for that of the contig's genome
    plus a parabola of its GC, fitted to the contigs of all bins together, robustly (weights of Geman and McClure 1987).

    Parameters
    ----------
    depth : of n contigs; where it is not known, it stays so.
    gc : float64 (n,) share of G and C of the contigs, NaN where they have no A, C, G or T.
    lengths : int64 (n,) bp.
    labels : int64 (n,) bins, -1 unbinned.

    Returns
    -------
    Mean and variance of depth as at the GC of the median binned contig; `depth` itself where fewer than 100 contigs of
    known depth and GC are in bins of more than one, where chance may be all of it (p of 0.001 or more), or
    where it says that GC changes depth more than 1,000-fold.

    Notes
    -----
    That depth follows GC, in each library otherwise: Benjamini and Speed 2012.
    """
    mean, variance = depth.mean.copy(), depth.variance.copy()
    for column in range(len(depth.libraries)):
        known = (labels >= 0) & np.isfinite(gc) & np.isfinite(mean[:, column]) & (mean[:, column] > 0)
        sizes = np.bincount(labels[known], minlength=labels.max(initial=-1) + 1)
        known &= np.append(sizes, 0)[labels] > 1  # the last one serves label -1
        if np.count_nonzero(known) < _MIN_CONTIGS:
            continue
        middle, (lowest, highest) = np.median(gc[known]), np.quantile(gc[known], _RANGE)
        offset = np.nan_to_num(gc, nan=middle).clip(lowest, highest) - middle
        terms = np.stack([offset, offset**2], axis=1)
        log = np.log(mean[known, column] + LOG_OFFSET)
        bias = terms @ _parabola(terms[known], log, np.minimum(lengths[known], _LONGEST), labels[known])
        if np.ptp(bias) > _MOST:
            continue
        mean[:, column] *= np.exp(-bias)
        variance[:, column] *= np.exp(-2 * bias)
    unbiased = replace(depth, mean=mean, variance=variance)
    folds = gc_folds(depth, unbiased).items()
    logger.info("GC content changes depth: %s", ", ".join(f"{library} {fold:.2f}-fold" for library, fold in folds))
    return unbiased


def gc_folds(depth: Depth, unbiased: Depth) -> dict[str, float]:
    """How many times the contig of the GC that a library likes best has the depth of the one that it likes least.

    Parameters
    ----------
    depth, unbiased : of the same contigs, before and after `without_gc_bias`.

    Returns
    -------
    Library -> 1 or more, from the contigs with a depth; 1 where nothing was taken off.
    """
    folds = {}
    for column, library in enumerate(depth.libraries):
        before, after = depth.mean[:, column], unbiased.mean[:, column]
        known = np.isfinite(before) & (before > 0)
        factor = before[known] / after[known]
        folds[library] = float(factor.max() / factor.min()) if known.any() else 1.0
    return folds


def _parabola(terms: np.ndarray, log_depth: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Coefficients (2,) of terms (n, 2) in log depth (n,), each bin with a level of its own; 0 if by chance."""
    _, of = np.unique(labels, return_inverse=True)
    medians = np.array([np.median(log_depth[rows]) for rows in rows_of_bins(of)])
    residual = log_depth - medians[of]
    values = np.column_stack([terms, log_depth])
    for _ in range(_PASSES):
        scale = _FAR * max(np.median(np.abs(residual)) / 0.6745, 1e-6)
        far = (residual / scale) ** 2
        counting = weights / (1 + far) ** 2
        sums, total = weighted_sums(values, of, counting)
        about_bins = values - (sums / total[:, None])[of]
        x, y = np.where(np.abs(about_bins) < _ROUNDING, 0, about_bins)[:, :-1], about_bins[:, -1]
        root = np.sqrt(counting)
        with one_blas_thread():  # the same bytes at any number of threads
            coefficients = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0]
        residual = y - (x * coefficients).sum(axis=1)
    slopes = weights * (1 - 3 * far) / (1 + far) ** 3  # of the counting residuals, where these change
    return (
        coefficients
        if _is_beyond_chance(coefficients, x, counting * residual, slopes, len(total))
        else 0 * coefficients
    )


def _is_beyond_chance(
    coefficients: np.ndarray, x: np.ndarray, residual: np.ndarray, slopes: np.ndarray, n_bins: int
) -> bool:
    """Wald's test that not all coefficients (d,) of the terms x (n, d) are 0, whatever the variance of each contig.

    The covariance of the coefficients is that of Huber 1967, for the levels of the bins corrected; residuals (n,) are
    those that count, slopes (n,) their derivatives.
    """
    n, dim = x.shape
    free = n - n_bins - dim
    with one_blas_thread():
        inner = (x * slopes[:, None]).T @ x
        scatter = (x * residual[:, None] ** 2).T @ x * n / max(free, 1)
    wald = coefficients @ inner @ np.linalg.pinv(scatter) @ inner @ coefficients
    return bool(free > 0 and fdtrc(dim, free, wald / dim) < _CHANCE)

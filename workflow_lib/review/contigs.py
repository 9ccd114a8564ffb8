"""Which contigs do not belong into the bin they are in, told by the others in it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from workflow_lib.bin.groups import rows_of_bins, weighted_sums
from workflow_lib.blocks import block_pool

logger = logging.getLogger(__name__)

MIN_BIN_CONTIGS = 5  # in a bin below which its contigs are not judged
MIN_CONTIGS = 30  # in such bins below which nothing is known of how contigs scatter
FITS, MISPLACED, OUTLIER, NOT_JUDGED = "fits", "misplaced", "outlier", "not_judged"
BEYOND_DOUBT = 0.1  # of the false alarm rate, for verdicts that no other bin bears out
_WINDOW = 201  # contigs of like length that tell how far from its bin such a contig is
_PRIOR_CONTIGS = 10  # as many contigs of a bin count as much as all other bins, for how wide it is
_PASSES = 2
_SMALLEST = 1e-6  # distance; float32 products are not exact below
_ONE_SIGMA = 0.1587  # quantile of a normal distribution one standard deviation below its median
_BLOCK = 4096


@dataclass(frozen=True)
class ContigVerdicts:
    """What is thought of n contigs.

    Attributes
    ----------
    verdicts : n of "fits", "misplaced" (too far from its own bin, and it fits a nearer one), "outlier" (too far from
        its own bin, and it fits no other), "not_judged".
    distances : float64 (n,) 1 - cosine to the mean of the others in its bin; NaN where not judged.
    expected : float64 (n,) the typical distance for its length and bin.
    p_values : float64 (n,) of being so far out in its own bin.
    other_bins : int64 (n,) the nearest other bin, -1: none.
    other_distances : float64 (n,) 1 - cosine to the mean of that bin.
    """

    verdicts: np.ndarray
    distances: np.ndarray
    expected: np.ndarray
    p_values: np.ndarray
    other_bins: np.ndarray
    other_distances: np.ndarray


def judge_contigs(
    vectors: np.ndarray, labels: np.ndarray, lengths: np.ndarray, *, false_alarm: float = 0.01
) -> ContigVerdicts:
    """Judge every contig of a bin by the others in it.

    d is 1 - cosine of a contig with the mean of the others in its bin, weighted by the square root of the length. Its
    cube root, divided by the median among 201 contigs of like length and by the bin's own median of that (drawn towards
    1 in small bins), is normal around its median; the standard deviation is taken from the lower side, where no
    stranger is. That gives p. Contigs with p below `false_alarm` leave the means, and all is done once more. The
    distance to the nearest other bin gives the p of being in that one, by the same median and standard deviation.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows, composition and depth; rows of zeros are not judged.
    labels : int64 (n,) bins 0, 1, ..., -1: in none.
    lengths : int64 (n,) bp.
    false_alarm : p below which a contig does not fit a bin. It is misplaced if another bin is nearer and it fits that,
        an outlier if it does not; where no other bin is nearer, an outlier needs a tenth of it.

    Returns
    -------
    The verdicts. Contigs of bins with fewer than 5 contigs are not judged, nor is any where these are fewer than 30.

    Notes
    -----
    Cube root: Wilson and Hilferty 1931, PNAS 17:684 (d is a sum of squares). Null from the sample: Efron 2004, JASA
    99:96. Leave-one-out and a robust null hold as long as most contigs of most bins belong.
    """
    n = len(labels)
    embedded = vectors.any(axis=1)
    counts = np.bincount(labels[embedded & (labels >= 0)], minlength=int(labels.max(initial=-1)) + 1)
    judged = np.flatnonzero(embedded & (labels >= 0))
    judged = judged[counts[labels[judged]] >= MIN_BIN_CONTIGS]
    nothing = np.full(n, np.nan)
    if len(judged) < MIN_CONTIGS:
        verdicts = np.full(n, NOT_JUDGED, dtype=object)
        return ContigVerdicts(verdicts, nothing, nothing, nothing, np.full(n, -1), nothing)
    trusted = embedded & (labels >= 0)
    for _ in range(_PASSES):
        own, other_bins, other = bin_distances(vectors, labels, lengths, trusted)
        expected, p_values, other_p = _null(own, labels, lengths, judged, other, other_bins)
        trusted = embedded & (labels >= 0) & ~(p_values < false_alarm)
    verdicts = np.full(n, NOT_JUDGED, dtype=object)
    verdicts[judged] = FITS
    with np.errstate(invalid="ignore"):
        elsewhere = (p_values < false_alarm) & (other < own)
        verdicts[elsewhere | (p_values < BEYOND_DOUBT * false_alarm)] = OUTLIER
        verdicts[elsewhere & (other_p >= false_alarm)] = MISPLACED
    own[np.isnan(p_values)] = np.nan
    logger.info(
        "%d contigs judged: %d misplaced, %d outliers",
        len(judged),
        *(np.sum(verdicts == v) for v in (MISPLACED, OUTLIER)),
    )
    return ContigVerdicts(verdicts, own, expected, p_values, other_bins, other)


def bin_sums(
    vectors: np.ndarray, labels: np.ndarray, lengths: np.ndarray, trusted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum over the trusted contigs of each bin, weighted by the square root of the length, and these weights.

    Returns
    -------
    float64 (bins, d) and float64 (n,), 0 for a contig that is not trusted.
    """
    weights = np.where(trusted, np.sqrt(lengths), 0.0)
    return weighted_sums(vectors, labels, weights)[0], weights


def bin_distances(
    vectors: np.ndarray, labels: np.ndarray, lengths: np.ndarray, trusted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """1 - cosine to the mean of the others in the own bin, the nearest other bin, and 1 - cosine to its mean."""
    sums, weights = bin_sums(vectors, labels, lengths, trusted)
    norms = np.linalg.norm(sums, axis=1)
    directions = (sums / np.maximum(norms, 1e-12)[:, None]).astype(np.float32).T.copy()

    def search(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        part = slice(start, start + _BLOCK)
        of_bin = labels[part]
        rest = sums[of_bin] - weights[part, None] * vectors[part]
        length = np.maximum(np.linalg.norm(rest, axis=1), 1e-12)
        own = 1 - np.einsum("ij,ij->i", vectors[part], rest) / length
        cosines = vectors[part] @ directions
        cosines[:, norms < 1e-12] = -1
        inside = np.flatnonzero(of_bin >= 0)
        cosines[inside, of_bin[inside]] = -1
        best = cosines.argmax(axis=1)
        highest = cosines[np.arange(len(best)), best]
        return own, np.where(highest > -1, best, -1), np.where(highest > -1, 1 - highest, np.nan)

    with block_pool() as map_blocks:
        parts = list(map_blocks(search, range(0, len(vectors), _BLOCK)))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def scaled_distances(distances: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cube roots of distances, and their running median over the contigs `rows` in order of length, both float64 (n,).

    The median is NaN for other contigs.
    """
    import pandas as pd

    roots = np.cbrt(np.maximum(distances, _SMALLEST))
    order = rows[np.argsort(lengths[rows], kind="stable")]
    typical = np.full(len(lengths), np.nan)
    typical[order] = pd.Series(roots[order]).rolling(_WINDOW, center=True, min_periods=1).median().to_numpy()
    return roots, typical


def _null(
    distances: np.ndarray, labels: np.ndarray, lengths: np.ndarray, judged: np.ndarray,
    other_distances: np.ndarray, other_bins: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Expected distance, p-value, and p-value in the other bin, of the judged contigs; NaN for the others."""
    from scipy.stats import norm

    roots, typical = scaled_distances(distances, lengths, judged)
    widths = np.ones(int(labels.max(initial=-1)) + 2)  # the last one serves bin -1
    for label, rows in enumerate(rows_of_bins(labels[judged])):
        if len(rows):
            width = np.median(roots[judged[rows]] / typical[judged[rows]])
            widths[label] += (width - 1) * len(rows) / (len(rows) + _PRIOR_CONTIGS)
    expected = typical * widths[labels]
    centre, spread = lower_side(roots[judged] / expected[judged])
    other_roots = np.cbrt(np.maximum(other_distances, _SMALLEST)) / (typical * widths[other_bins])
    return expected**3, norm.sf((roots / expected - centre) / spread), norm.sf((other_roots - centre) / spread)


def upper_tail(values: np.ndarray, *, least_spread: float = _SMALLEST) -> np.ndarray:
    """P of being at least as large under a normal distribution fitted to the lower half of the values: float64 (n,)."""
    from scipy.stats import norm

    centre, spread = lower_side(values, least_spread=least_spread)
    return norm.sf((values - centre) / spread)


def lower_side(values: np.ndarray, *, least_spread: float = _SMALLEST) -> tuple[float, float]:
    """Their median, and what lies between it and the 15.87th percentile, or `least_spread` where that is more."""
    centre = float(np.median(values))
    return centre, max(centre - float(np.quantile(values, _ONE_SIGMA)), least_spread)

"""Bins as a mixture of genomes: composition and depth of every contig, each with its noise, weighed by likelihood."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property, partial

import numba
import numpy as np
from scipy.optimize import nnls
from scipy.sparse import csr_array

from workflow_lib.bin.fuse import DepthProfile, counting_variance
from workflow_lib.bin.kmedoid import UNBINNED
from workflow_lib.bin.near_bins import Block, all_pairs, check_near, near_pairs, nearest_bins, sample_rows
from workflow_lib.bin.relatives import Relatives, no_relatives, weigh_relatives
from workflow_lib.blocks import block_pool, one_blas_thread

logger = logging.getLogger(__name__)

DIM = 96  # axes of composition that are used, at most
DEPTH_FREEDOM = 6.0  # degrees of freedom of Student's t for log depth
_DEPTH_CONSTANT = (
    math.lgamma((DEPTH_FREEDOM + 1) / 2) - math.lgamma(DEPTH_FREEDOM / 2) - 0.5 * math.log(DEPTH_FREEDOM / 2)
)
COMPOSITION_FREEDOM = 30.0  # of Student's t for composition
TEMPER = 0.35  # exponent of the likelihood of composition: its axes are less independent than the model says
_RIDGE = 0.1  # share of the mean variance in the covariance within bins
_UNKNOWN_RANGE = (0.05, 0.8)  # share of the contigs that may be of genomes without a bin
MIN_CONTIGS = 3  # of a bin; smaller ones are dissolved
_LENGTH_GROUPS = 12
_MEDIAN_OF_SQUARE = 0.4549  # median of the square of a standard normal variable
_MIN_DEPTH_VARIANCE, _MIN_SPREAD = 0.003, 1e-3
_LEAST_NOISE = 1e-6  # mean variance within bins, as a share of the mean square of composition
_SETTLED = 1e-3  # share of contigs that move, below which it ends
_BLOCK, _BLOCK_SIZE = 2048, 1 << 22  # contigs at a time, at most, and contigs x bins


@dataclass(frozen=True)
class Contigs:
    """What the mixture knows of n contigs.

    Attributes
    ----------
    composition : float32 (n, d), about their mean: in single precision what tells them apart would be lost beside it.
    known : bool (n,), whether there is a composition.
    log_depth : float64 (n, L).
    lengths : float64 (n,) bp.
    relatives : the nearest reference species of each.
    """

    composition: np.ndarray
    known: np.ndarray
    log_depth: np.ndarray
    lengths: np.ndarray
    relatives: Relatives

    @cached_property
    def covariance(self) -> np.ndarray:
        """Of the compositions that are known, float64 (d, d)."""
        known = self.composition[self.known]
        with one_blas_thread():
            return np.cov(known.T, bias=True).reshape(known.shape[1], -1)


@dataclass(frozen=True)
class Noise:
    """Variances within a genome.

    Attributes
    ----------
    composition : float64 (n,) of a contig, in units of the covariance within bins.
    depth : float64 (n, L) of log depth.
    """

    composition: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class Bins:
    """K bins with what tells contigs of one from those of another.

    Attributes
    ----------
    axes : float64 (d, d); composition @ axes has the same variance within bins in every direction.
    centres : float64 (K, d) on these axes, drawn towards `centre` as far as few contigs tell.
    uncertainty : float64 (K,) mean variance of a coordinate of a centre.
    centre, spread : float64 (d,) mean of the centres, variance of all contigs but for the noise.
    depths : float64 (K, L) mean log depth.
    depth_uncertainty : float64 (K, L) its variance.
    """

    axes: np.ndarray
    centres: np.ndarray
    uncertainty: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    depths: np.ndarray
    depth_uncertainty: np.ndarray


def prepare(
    whitened: np.ndarray, profile: DepthProfile, lengths: np.ndarray, relatives: Relatives | None = None
) -> tuple[Contigs, Noise]:
    """Contigs as the mixture takes them, and a first idea of their noise.

    Parameters
    ----------
    whitened : float (n, d), see `metric.whitening`; of more than `DIM` columns the principal axes are kept.
    profile : of the same contigs.
    lengths : int64 (n,) bp.
    relatives : of the same contigs; None: none were sought.
    """
    known = whitened.any(axis=1)
    mean = whitened[known].mean(axis=0, dtype=np.float64) if known.any() else np.zeros(whitened.shape[1])
    composition = whitened.astype(np.float32) - mean.astype(np.float32)
    if composition.shape[1] > DIM:
        with one_blas_thread():
            _, directions = np.linalg.eigh((composition[known].T @ composition[known]).astype(np.float64))
            composition = composition @ directions[:, ::-1][:, :DIM].astype(np.float32)
    lengths = lengths.astype(np.float64)
    depth = profile.noise**2 + profile.sampling / np.maximum(lengths, 1)[:, None]
    relatives = relatives.where(known) if relatives else no_relatives(len(lengths))
    return Contigs(composition, known, profile.log, lengths, relatives), Noise(np.ones(len(lengths)), depth)


def settle(
    contigs: Contigs, noise: Noise, labels: np.ndarray, *, passes: int, near_only: bool = False
) -> tuple[np.ndarray, Bins, Noise]:
    """Estimate the bins from their contigs and give each contig to the likeliest bin, some times over.

    Parameters
    ----------
    labels : int64 (n,) bins, -1 unbinned; at least one bin of 3 contigs.
    passes : at most; it ends when less than a thousandth of the contigs move.
    near_only : compare a contig with the bins near its own, or near the likeliest of the pass before (`near_bins`);
        unbinned ones with all in the first pass.

    Returns
    -------
    labels numbered 0, 1, ... without gaps, the bins that they were chosen by, and the noise. Where no contig would stay
    in a bin, the labels are those before. The same bytes at any number of threads.
    """
    home = labels = _number(labels, labels)
    for number in range(passes):
        bins, noise = estimate(contigs, noise, labels)
        likeliest, is_unknown = assign(contigs, noise, bins, labels, home if near_only else None)
        found = np.where(is_unknown, UNBINNED, likeliest)
        moved = int(np.count_nonzero(found != labels))
        logger.info("mixture of %d bins, pass %d: %d contigs move", len(bins.centres), number + 1, moved)
        numbered = _number(found, found)
        if numbered.max(initial=UNBINNED) == UNBINNED:
            break
        home, labels = _number(found, likeliest), numbered
        if moved < _SETTLED * len(labels):
            break
    return labels, bins, noise


def _number(labels: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The bins `of` (n,) contigs, those of `MIN_CONTIGS` or more in `labels` numbered 0, 1, ..., others -1."""
    counts = np.bincount(labels[labels >= 0], minlength=int(of.max(initial=UNBINNED)) + 1)
    number = np.full(len(counts) + 1, UNBINNED, dtype=np.int64)
    kept = np.flatnonzero(counts >= MIN_CONTIGS)
    number[kept] = np.arange(len(kept))
    return number[of]


def estimate(contigs: Contigs, noise: Noise, labels: np.ndarray) -> tuple[Bins, Noise]:
    """Centres, covariance within bins, and noise as a function of length, from the contigs of bins 0, 1, ..., K - 1."""
    member = np.flatnonzero(labels != UNBINNED)
    of = labels[member]
    size = np.bincount(of).astype(np.float64)
    # A contig is nearer to a mean that it is part of.
    correction = size[of] / np.maximum(size[of] - 1, 1)
    lengths, composition = contigs.lengths[member], contigs.composition[member]
    means, _ = weighted_means(composition, of, 1 / noise.composition[member])
    residual = means[of]
    np.subtract(composition, residual, out=residual)
    residual *= np.sqrt(correction, dtype=np.float32)[:, None]
    least = max(_LEAST_NOISE * _squares(composition).mean() / composition.shape[1], 1e-12)
    with one_blas_thread():
        axes = _axes_within(residual, noise.composition[member], least)
        residual = residual @ axes.astype(np.float32)
        total = np.einsum("ij,ik,kj->j", axes, contigs.covariance, axes, optimize=False)
    variance = _by_length(_squares(residual) / residual.shape[1], lengths, contigs.lengths)
    means, precision = weighted_means(composition, of, 1 / variance[member])
    with one_blas_thread():
        means = means @ axes  # those of the contigs on these axes
    centre = np.average(means, axis=0, weights=np.sqrt(size))
    between = np.maximum(means.var(axis=0) - np.mean(1 / precision), _MIN_SPREAD)
    left = between / (1 + precision[:, None] * between)  # variance of a centre, its contigs known
    centres = centre + (means - centre) * precision[:, None] * left
    spread = np.maximum(total - np.median(variance), _MIN_SPREAD)
    depths, depth_precision = _mean_depths(contigs.log_depth[member], of, 1 / noise.depth[member])
    square = (contigs.log_depth[member] - depths[of]) ** 2 * correction[:, None]
    bins = Bins(axes, centres, left.mean(axis=1), centre, spread, depths, 1 / depth_precision)
    return bins, Noise(variance, depth_variance(contigs, member, square))


def weighted_means(values: np.ndarray, of: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (K, d) of the rows of `values` (m, d), in their precision, of each bin, and the sum of its weights (K,)."""
    n_bins = int(of.max()) + 1
    rows = csr_array((weights.astype(values.dtype), (of, np.arange(len(of)))), shape=(n_bins, len(of)))
    total = np.bincount(of, weights, minlength=n_bins)
    return (rows @ values) / total[:, None].astype(values.dtype), total


def _mean_depths(log_depth: np.ndarray, of: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean log depth and sum of weights, (K, L) each, a library with weights of its own."""
    shape = int(of.max()) + 1, log_depth.shape[1]
    means, totals = np.empty(shape), np.empty(shape)
    for i in range(shape[1]):
        means[:, [i]], totals[:, i] = weighted_means(log_depth[:, [i]], of, weights[:, i])
    return means, totals


def _axes_within(residual: np.ndarray, variance: np.ndarray, least: float) -> np.ndarray:
    """Axes (d, d) on which residuals (m, d) have the same variance; far ones count less, a ridge is added.

    `least` is a lower bound of the mean variance, for bins of copies.
    """
    square = _squares(residual) / variance
    weight = np.minimum(1, 3 * np.median(square) / np.maximum(square, 1e-12)) / variance
    dim = residual.shape[1]
    covariance = ((residual * weight[:, None].astype(np.float32)).T @ residual / len(residual)).astype(np.float64)
    mean = max(np.trace(covariance) / dim, least)
    values, directions = np.linalg.eigh((1 - _RIDGE) * covariance + _RIDGE * mean * np.eye(dim))
    return directions / np.sqrt(values)


def _squares(rows: np.ndarray) -> np.ndarray:
    """Sum of the squares of each row, float64."""
    return np.einsum("ij,ij->i", rows, rows).astype(np.float64)


def depth_variance(contigs: Contigs, member: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Variance of log depth of all contigs, (n, L), from squares (m, L) of the deviations of these members.

    As their lengths have it, but no less than counting reads brings about, which is more in shallow genomes.
    """
    variance = np.empty_like(contigs.log_depth)
    for i, column in enumerate(square.T):
        variance[:, i] = _by_length(column / _MEDIAN_OF_SQUARE, contigs.lengths[member], contigs.lengths)
    least = np.maximum(counting_variance(contigs.log_depth, contigs.lengths), _MIN_DEPTH_VARIANCE)
    return np.maximum(variance, least)


def _by_length(square: np.ndarray, lengths: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Fit a + b / length to the median of squared residuals in groups of similar length; its value at other lengths."""
    edges = np.quantile(lengths, np.linspace(0, 1, _LENGTH_GROUPS + 1))
    group = np.clip(np.searchsorted(edges, lengths, side="right") - 1, 0, _LENGTH_GROUPS - 1)
    present = np.unique(group)
    median = np.array([max(np.median(square[group == i]), 1e-9) for i in present])
    inverse = np.array([np.mean(1 / lengths[group == i]) for i in present])
    (constant, slope), _ = nnls(
        np.stack([np.ones(len(present)), inverse], axis=1) / median[:, None], np.ones_like(median)
    )
    return np.maximum(constant + slope / np.maximum(wanted, 1), 1e-6)


def assign(
    contigs: Contigs, noise: Noise, bins: Bins, labels: np.ndarray, home: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest bin of every contig, int64 (n,), and whether an unknown genome is likelier still, bool (n,).

    Parameters
    ----------
    labels : int64 (n,) the bins before. The share of contigs without one is taken for that of unknown genomes.
    home : int64 (n,) a bin: only those near it are looked at, and all for contigs with a bin that would lose it; -1:
        all are looked at. None: all for every contig.

    Notes
    -----
    A contig's likelihood in a bin is that of its composition, Student's t with 30 degrees of freedom in d dimensions,
    to the power 0.35, times that of its log depth, Student's t with 6 in each library, times that of its relatives
    (`weigh_relatives`). An unknown genome has the composition of all contigs together, normally distributed, and
    Student's t of the depths of all bins; K bins of equal prior share what it leaves.
    """
    n_bins, dim = bins.centres.shape
    centres, axes = bins.centres.astype(np.float32), bins.axes.astype(np.float32)
    norm, numbers = (centres**2).sum(axis=1), np.arange(n_bins)
    freedom = COMPOSITION_FREEDOM
    constant = math.lgamma((freedom + dim) / 2) - math.lgamma(freedom / 2) - dim / 2 * math.log(freedom / 2)
    unbinned = np.count_nonzero(labels == UNBINNED) / max(len(labels), 1)
    unknown_share = min(max(unbinned, _UNKNOWN_RANGE[0]), _UNKNOWN_RANGE[1])
    species, evidence = contigs.relatives.species, weigh_relatives(contigs.relatives, labels, n_bins)
    unknown_weight = math.log(unknown_share / (1 - unknown_share) * n_bins) + evidence.of_unknown
    depth_of_all, depth_spread = bins.depths.mean(axis=0), bins.depths.var(axis=0)
    begin = labels if home is None else home

    def search(block: Block) -> tuple[np.ndarray, np.ndarray]:
        rows, near = block
        x = contigs.composition[rows] @ axes
        square = np.maximum((x**2).sum(axis=1)[:, None] + norm[near] - 2 * (x @ centres[near].T), 0)
        best, highest = _likeliest(
            square, noise.composition[rows], bins.uncertainty[near], dim, constant,
            contigs.log_depth[rows], noise.depth[rows], bins.depths[near], bins.depth_uncertainty[near],
            evidence.look_up(species[rows], near), np.searchsorted(numbers[near], begin[rows]),
        )  # fmt: skip
        wide = noise.composition[rows, None] + bins.spread
        unknown = TEMPER * (-0.5 * np.log(wide) - (x - bins.centre) ** 2 / (2 * wide)).sum(axis=1)
        unknown += _log_t(contigs.log_depth[rows] - depth_of_all, noise.depth[rows] + depth_spread).sum(axis=1)
        return numbers[near][best], (unknown + unknown_weight > highest) | ~contigs.known[rows]

    likeliest, is_unknown = np.empty(len(labels), dtype=np.int64), np.empty(len(labels), dtype=bool)
    with block_pool() as map_blocks:

        def look(blocks: list[Block]) -> None:
            for (rows, _), found in zip(blocks, map_blocks(search, blocks), strict=True):
                likeliest[rows], is_unknown[rows] = found

        of_all = partial(all_pairs, len(labels), n_bins, _BLOCK, _BLOCK_SIZE)
        if home is None:
            look(of_all())
        else:
            look(near_pairs(home, nearest_bins(_places(noise, bins)), _BLOCK, _BLOCK_SIZE))
            look(of_all(rows=np.flatnonzero(is_unknown & contigs.known & (labels != UNBINNED))))
            sample = sample_rows(len(labels))
            check_near(likeliest[sample], search((sample, slice(None)))[0])
    return likeliest, is_unknown


def _places(noise: Noise, bins: Bins) -> np.ndarray:
    """Where the bins lie (K, d + L): half the square of a distance is about the loss of log-likelihood.

    That of a median contig of the centre and depth of one bin in another, to the second order.
    """
    composition = (
        TEMPER * (COMPOSITION_FREEDOM + bins.centres.shape[1]) / COMPOSITION_FREEDOM / np.median(noise.composition)
    )
    depth = (DEPTH_FREEDOM + 1) / DEPTH_FREEDOM / np.median(noise.depth, axis=0)
    return np.concatenate([math.sqrt(composition) * bins.centres, np.sqrt(depth) * bins.depths], axis=1)


def _log_t(difference: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Logarithm of Student's t of log depth, without the factor 1 / sqrt(2 pi)."""
    square = difference**2 / variance
    return _DEPTH_CONSTANT - (DEPTH_FREEDOM + 1) / 2 * np.log1p(square / DEPTH_FREEDOM) - 0.5 * np.log(variance)


@numba.njit(cache=True, nogil=True)
def _likeliest(
    square: np.ndarray,
    noise: np.ndarray,
    spread: np.ndarray,
    dim: int,
    constant: float,
    log_depth: np.ndarray,
    variance: np.ndarray,
    depths: np.ndarray,
    uncertainty: np.ndarray,
    related: np.ndarray,
    first: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Bin of the largest likelihood of composition, depth and relatives for each contig, and the logarithm of that.

    Likelihoods have a largest value for a composition at a distance (`square`, (n, K)), and so has that of depth: most
    bins are passed over for their distance alone, without a logarithm.
    """
    n, n_bins = square.shape
    n_libraries = log_depth.shape[1]
    depth_constant = n_libraries * _DEPTH_CONSTANT
    least = spread.min()
    best, highest = np.full(n, -1, np.int64), np.full(n, -np.inf)
    for i in range(n):
        most = depth_constant + related[i].max()
        for library in range(n_libraries):
            most -= 0.5 * math.log(variance[i, library])
        ceiling = constant - dim / 2 * math.log(noise[i] + least)
        reach = np.inf  # of square / total, beyond which no bin is the likeliest
        for turn in range(-1, n_bins):
            k = first[i] if turn < 0 else turn
            if k < 0 or k >= n_bins:
                continue
            total = noise[i] + spread[k]
            if square[i, k] > reach * total:
                continue
            away = math.log1p(square[i, k] / total / COMPOSITION_FREEDOM)
            value = TEMPER * (constant - (COMPOSITION_FREEDOM + dim) / 2 * away - dim / 2 * math.log(total))
            if value + most < highest[i]:
                continue
            value += depth_constant + related[i, k]
            for library in range(n_libraries):
                total = variance[i, library] + uncertainty[k, library]
                away = (log_depth[i, library] - depths[k, library]) ** 2 / total
                value -= (DEPTH_FREEDOM + 1) / 2 * math.log1p(away / DEPTH_FREEDOM) + 0.5 * math.log(total)
            if value > highest[i] or (value == highest[i] and k < best[i]):
                best[i], highest[i] = k, value
                bound = (ceiling - (value - most) / TEMPER) / ((COMPOSITION_FREEDOM + dim) / 2)
                reach = COMPOSITION_FREEDOM * math.expm1(bound) * (1 + 1e-9) + 1e-9
    return best, highest

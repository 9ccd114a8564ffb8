"""Whether the contigs of a bin are rather of two genomes than of one, by depth alone or by composition and depth."""

from __future__ import annotations

import math

import numba
import numpy as np

from workflow_lib.bin.mixture import COMPOSITION_FREEDOM, DEPTH_FREEDOM, TEMPER

MIN_PART, _MIN_SHARE = 5, 0.1  # contigs, and share of them, in the smaller part of a bin
_PENALTY = 1.5  # times half the logarithm of the contigs, for each number that a second genome adds
_GAIN_A_CONTIG = 1.0  # of two compositions, at least
_STEPS = 30  # of expectation and maximisation, at most
_SETTLED = 1e-3  # of a share, below which no contig changes any more
_ROBUST_STEPS = 8  # of the mean of depth where the shares of contigs are given
_FARTHEST = 3.0  # deviations of a contig that count no more than this many standard deviations, along an axis


def needed_gain(n: int, n_libraries: int, dim: int = 0) -> float:
    """Gain of log-likelihood from which two genomes are better than one.

    Parameters
    ----------
    n : contigs.
    n_libraries : whose depths the second genome adds, besides its share.
    dim : axes of composition on which it adds a centre too. Each counts `TEMPER` times, as its likelihood does, and
        sqrt(n_libraries) times (once without any): the more libraries, the more it says that depths are the same. Where
        there are axes, the gain has to be 1 for every contig as well: large genomes have parts of other composition.

    Notes
    -----
    1.5 times what the Bayesian information criterion asks for (Schwarz 1978).
    """
    numbers = n_libraries + 1 + TEMPER * dim * math.sqrt(max(n_libraries, 1))
    return max(_PENALTY * 0.5 * numbers * math.log(n), _GAIN_A_CONTIG * n if dim else 0)


def are_two_parts(second: np.ndarray) -> bool:
    """Whether the smaller of two parts of a bin, bool (n,), has enough contigs: 5 and a tenth."""
    smaller = min(np.count_nonzero(second), np.count_nonzero(~second))
    return smaller >= max(MIN_PART, _MIN_SHARE * len(second))


def gain_of_two_depths(log_depth: np.ndarray, variance: np.ndarray, second: np.ndarray) -> float:
    """Gain of log-likelihood over one depth if two parts have a depth each.

    Parameters
    ----------
    log_depth : float64 (n, L) natural logarithm of the depth of the contigs.
    variance : float64 (n, L) of its noise.
    second : bool (n,) which contigs are the second part.
    """
    return _gain(*_no_composition(len(second)), log_depth, variance, second.astype(np.float64), 1)[0]


def gain_of_two_genomes(
    composition: np.ndarray, noise: np.ndarray, log_depth: np.ndarray, variance: np.ndarray, second: np.ndarray
) -> float:
    """Gain of log-likelihood over one genome if two parts are one each; parameters as in `fit_two_genomes`."""
    return _gain(composition, noise, log_depth, variance, second.astype(np.float64), 1)[0]


def fit_two_depths(log_depth: np.ndarray, variance: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Fit two depths to the contigs of a bin from three starts along the axis on which depth varies most.

    Parameters
    ----------
    log_depth, variance : as in `gain_of_two_depths`.

    Returns
    -------
    gain of log-likelihood over one depth, -inf where no start leaves two parts; distance of the two in standard
    deviations of the noise; and which contigs are of the second, bool (n,).
    """
    position = _along_principal_axis((log_depth - np.median(log_depth, axis=0)) / np.sqrt(variance))
    return _fit(*_no_composition(len(log_depth)), log_depth, variance, position)


def fit_two_genomes(
    composition: np.ndarray, noise: np.ndarray, log_depth: np.ndarray, variance: np.ndarray
) -> tuple[float, np.ndarray]:
    """Fit two compositions and depths from three starts along the axis on which composition varies most.

    Parameters
    ----------
    composition : float64 (n, d) on axes on which its variance within a genome is the same in all directions.
    noise : float64 (n,) that variance, of a contig.
    log_depth, variance : as in `gain_of_two_depths`.

    Returns
    -------
    gain of log-likelihood over one genome, -inf where no start leaves two parts; and which contigs are of the second,
    bool (n,).
    """
    position = _along_principal_axis((composition - np.median(composition, axis=0)) / np.sqrt(noise)[:, None])
    gain, _, second = _fit(composition, noise, log_depth, variance, position)
    return gain, second


def _no_composition(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Composition of no axes (n, 0), and its noise (n,)."""
    return np.zeros((n, 0)), np.ones(n)


def _along_principal_axis(scaled: np.ndarray) -> np.ndarray:
    """Places (n,) of deviations (n, d) along the axis on which they vary most, those of far contigs cut."""
    norms = np.linalg.norm(scaled, axis=1)
    scaled *= np.minimum(1, _FARTHEST * math.sqrt(scaled.shape[1]) / np.maximum(norms, 1e-9))[:, None]
    scaled -= scaled.mean(axis=0)
    return scaled @ np.linalg.eigh(scaled.T @ scaled)[1][:, -1]


def _fit(
    composition: np.ndarray, noise: np.ndarray, log_depth: np.ndarray, variance: np.ndarray, position: np.ndarray
) -> tuple[float, float, np.ndarray]:
    n = len(position)
    best = (-np.inf, 0.0, np.zeros(n, dtype=bool))
    for share in (0.25, 0.5, 0.75):
        start = (position > np.quantile(position, share)).astype(np.float64)
        if 1 <= start.sum() <= n - 1:
            fit = _gain(composition, noise, log_depth, variance, start, _STEPS)
            best = fit if fit[0] > best[0] else best
    return best


@numba.njit(cache=True, nogil=True)
def _mean_depth(log_depth, variance, share, centre, robust):
    """One step of the mean of log depth (L,) under Student's t, each contig with its share (n,) in the genome."""
    n, n_libraries = log_depth.shape
    new = np.zeros(n_libraries)
    for library in range(n_libraries):
        total = 0.0
        for i in range(n):
            weight = share[i] / variance[i, library]
            if robust:
                square = (log_depth[i, library] - centre[library]) ** 2 / variance[i, library]
                weight /= 1 + square / DEPTH_FREEDOM
            new[library] += weight * log_depth[i, library]
            total += weight
        new[library] /= max(total, 1e-300)
    return new


@numba.njit(cache=True, nogil=True)
def _mean_composition(composition, noise, share):
    """Weighted mean of composition (d,), and its variance."""
    n, dim = composition.shape
    centre, total = np.zeros(dim), 1e-300
    for i in range(n):
        weight = share[i] / noise[i]
        total += weight
        for axis in range(dim):
            centre[axis] += weight * composition[i, axis]
    return centre / total, 1 / total


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _square_distance(x, y):
    square = 0.0
    for axis in range(len(x)):
        square += (x[axis] - y[axis]) ** 2
    return square


@numba.njit(cache=True, nogil=True)
def _log_density(composition, noise, centre, uncertainty, log_depth, variance, depth):
    """Logarithm of the likelihood of each contig (n,) in a genome as `mixture.assign` has it, without what is the same
    in all genomes."""
    n, dim = composition.shape
    value = np.zeros(n)
    for i in range(n):
        square = _square_distance(composition[i], centre)
        total = noise[i] + uncertainty
        away = math.log1p(square / total / COMPOSITION_FREEDOM)
        if dim:
            value[i] -= TEMPER * ((COMPOSITION_FREEDOM + dim) / 2 * away + dim / 2 * math.log(total))
        for library in range(len(depth)):
            square = (log_depth[i, library] - depth[library]) ** 2 / variance[i, library]
            value[i] -= (DEPTH_FREEDOM + 1) / 2 * math.log1p(square / DEPTH_FREEDOM)
    return value


@numba.njit(cache=True, nogil=True)
def _gain(composition, noise, log_depth, variance, share, steps):
    """Gain of log-likelihood of two genomes over one, distance of their depths, and the contigs of one part (n,).

    Expectation and maximisation from the shares (n,) of the contigs in that part; with one step the shares are kept.
    The gain is -inf where a part is left with less than one contig.
    """
    n, n_libraries = log_depth.shape
    everything = np.ones(n)
    one = _mean_depth(log_depth, variance, everything, np.zeros(n_libraries), False)
    for _ in range(_ROBUST_STEPS):
        one = _mean_depth(log_depth, variance, everything, one, True)
    centre, uncertainty = _mean_composition(composition, noise, everything)
    base = _log_density(composition, noise, centre, uncertainty, log_depth, variance, one).sum()
    first = _mean_depth(log_depth, variance, share, one, False)
    second = _mean_depth(log_depth, variance, 1 - share, one, False)
    total = 0.0
    for step in range(steps):
        repeats = _ROBUST_STEPS if steps == 1 else 1
        for _ in range(repeats if step or steps == 1 else 0):
            first = _mean_depth(log_depth, variance, share, first, True)
            second = _mean_depth(log_depth, variance, 1 - share, second, True)
        part = min(max(share.mean(), 0.01), 0.99)
        centre, uncertainty = _mean_composition(composition, noise, share)
        in_first = _log_density(composition, noise, centre, uncertainty, log_depth, variance, first) + math.log(part)
        centre, uncertainty = _mean_composition(composition, noise, 1 - share)
        in_second = _log_density(composition, noise, centre, uncertainty, log_depth, variance, second)
        in_second += math.log(1 - part)
        total, before, share = 0.0, share, np.empty(n)
        for i in range(n):
            ahead = in_first[i] - in_second[i]
            lower = math.exp(-abs(ahead))  # of the two likelihoods, in units of the higher
            total += max(in_first[i], in_second[i]) + math.log1p(lower)
            share[i] = (1 if ahead >= 0 else lower) / (1 + lower)
        if share.sum() < 1 or share.sum() > n - 1:
            return -np.inf, 0.0, share > 0.5
        if np.abs(share - before).max() < _SETTLED:
            break
    distance = 0.0
    for library in range(n_libraries):
        distance += (first[library] - second[library]) ** 2 / np.median(variance[:, library])
    return total - base, math.sqrt(distance), share > 0.5

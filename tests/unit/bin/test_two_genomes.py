"""Whether contigs are of two genomes: by depth, and by composition and depth."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp
from scipy.stats import t as student

from workflow_lib.bin.mixture import TEMPER
from workflow_lib.bin.two_genomes import (
    fit_two_depths,
    fit_two_genomes,
    gain_of_two_depths,
    gain_of_two_genomes,
    needed_gain,
)

DIM = 48


def bin_of(sizes, apart=0.0, depth_apart=0.0, n_libraries=1, seed=1):
    """Contigs of two genomes: composition of unit noise, the centres `apart`; log depth, noise 0.25."""
    rng = np.random.default_rng(seed)
    second = np.repeat([False, True], sizes)
    noise = rng.uniform(0.7, 1.5, len(second))
    composition = np.sqrt(noise)[:, None] * rng.standard_normal((len(second), DIM))
    composition[second, 0] += apart
    variance = np.full((len(second), n_libraries), 0.25**2)
    log_depth = 2 + 0.25 * rng.standard_normal(variance.shape)
    log_depth[second] += depth_apart
    return (composition, noise, log_depth, variance), second


def agree(found, truth):
    return max(np.mean(found == truth), np.mean(found != truth))


@pytest.mark.parametrize("sizes", [(60, 60), (80, 20)])
def test_genomes_of_one_depth_are_told_apart_by_composition(sizes):
    contigs, second = bin_of(sizes, apart=10.0)
    gain, found = fit_two_genomes(*contigs)
    assert gain > needed_gain(len(second), 1, DIM)
    assert agree(found, second) == 1
    assert fit_two_depths(*contigs[2:])[0] < needed_gain(len(second), 1)


@pytest.mark.parametrize("n_libraries", [1, 5])
@pytest.mark.parametrize("seed", range(5))
def test_one_genome_stays_one(n_libraries, seed):
    contigs, second = bin_of((60, 60), n_libraries=n_libraries, seed=seed)
    assert fit_two_genomes(*contigs)[0] < needed_gain(len(second), n_libraries, DIM)
    assert fit_two_depths(*contigs[2:])[0] < needed_gain(len(second), n_libraries)


def test_depth_helps_composition():
    apart, _ = bin_of((60, 60), apart=4.0)
    both, second = bin_of((60, 60), apart=4.0, depth_apart=0.8)
    assert fit_two_genomes(*both)[0] > fit_two_genomes(*apart)[0] + 20
    assert agree(fit_two_genomes(*both)[1], second) > 0.98


def test_depths_are_told_apart():
    contigs, second = bin_of((70, 30), depth_apart=1.2)
    gain, distance, found = fit_two_depths(*contigs[2:])
    assert gain > needed_gain(len(second), 1)
    assert distance == pytest.approx(1.2 / 0.25, rel=0.1)
    assert agree(found, second) > 0.95


def test_the_gain_of_given_parts_is_that_of_the_fit_where_the_fit_finds_them():
    contigs, second = bin_of((60, 40), apart=9.0, depth_apart=1.5)
    assert gain_of_two_genomes(*contigs, second) == pytest.approx(fit_two_genomes(*contigs)[0], rel=0.02)
    assert gain_of_two_depths(*contigs[2:], second) == pytest.approx(fit_two_depths(*contigs[2:])[0], rel=0.1)
    mixed = np.arange(len(second)) % 2 == 0
    assert gain_of_two_genomes(*contigs, mixed) < 0.1 * gain_of_two_genomes(*contigs, second)


def log_density(composition, noise, log_depth, variance, part):
    """Likelihood (n,) of contigs in the genome of some of them, its depth the likeliest: Student's t, from SciPy."""
    weights = part / noise
    centre, total = weights @ composition / weights.sum(), noise + 1 / weights.sum()
    square = ((composition - centre) ** 2).sum(axis=1) / total
    dim = composition.shape[1]
    value = -0.35 * ((30 + dim) / 2 * np.log1p(square / 30) + dim / 2 * np.log(total))
    for depths, deviation in zip(log_depth.T, np.sqrt(variance).T, strict=True):

        def lost(mean, depths=depths, deviation=deviation):
            return -student.logpdf(depths[part], 6, loc=mean, scale=deviation[part]).sum()

        best = minimize_scalar(lost, bounds=(depths.min(), depths.max()), method="bounded", options={"xatol": 1e-6}).x
        value += student.logpdf(depths, 6, loc=best, scale=deviation)
    return value


@pytest.mark.parametrize("n_libraries", [1, 3])
@pytest.mark.parametrize("apart", [0.0, 3.0])
def test_the_gain_is_that_of_the_likeliest_means(n_libraries, apart):
    """A seventh of the depths stray far, as those of repeats do; eight steps to a mean leave 0.05 of likelihood."""
    contigs, second = bin_of((60, 20), apart=apart, depth_apart=0.5, n_libraries=n_libraries)
    contigs[2][::7] += 1.5

    def expected(composition):
        parts = [log_density(composition, *contigs[1:], part) + np.log(part.mean()) for part in (~second, second)]
        return logsumexp(parts, axis=0).sum() - log_density(composition, *contigs[1:], np.ones_like(second)).sum()

    assert gain_of_two_genomes(*contigs, second) == pytest.approx(expected(contigs[0]), abs=0.05)
    assert gain_of_two_depths(*contigs[2:], second) == pytest.approx(expected(contigs[0][:, :0]), abs=0.05)


def test_a_small_part_is_found_from_one_of_three_starts():
    contigs, second = bin_of((190, 20), apart=5.0)
    gain, found = fit_two_genomes(*contigs)
    assert gain > 10
    assert agree(found, second) > 0.96


def test_more_contigs_libraries_and_axes_need_a_larger_gain():
    assert needed_gain(100, 1) == pytest.approx(1.5 * np.log(100))
    assert needed_gain(100, 3) == pytest.approx(2 * needed_gain(100, 1))
    assert needed_gain(50, 1, DIM) < needed_gain(100, 1, DIM) < needed_gain(100, 4, DIM)
    assert needed_gain(1000, 1, DIM) == 1000  # one for every contig of a large bin


def test_contigs_all_alike_are_one_genome():
    n = 30
    contigs = np.ones((n, DIM)), np.full(n, 1e-6), np.full((n, 1), 2.0), np.full((n, 1), 0.003)
    assert fit_two_genomes(*contigs)[0] <= 0
    assert fit_two_depths(*contigs[2:])[0] <= 0


def test_without_libraries_composition_counts_once():
    numbers = 1 + TEMPER * DIM
    assert needed_gain(20, 0, DIM) == pytest.approx(1.5 * 0.5 * numbers * np.log(20))
    assert needed_gain(20, 0, DIM) > 20


@pytest.mark.parametrize("seed", range(4))
def test_overlapping_depths_are_fitted_by_maximum_likelihood(seed):
    """Contigs between the two belong to both by half, not to the nearer: else the two would be drawn apart."""
    (_, _, log_depth, variance), _ = bin_of((90, 60), depth_apart=0.55, seed=seed)
    x, scale = log_depth[:, 0], np.sqrt(variance[:, 0])

    def log_likelihood(centres, share):
        parts = [student.logpdf(x, 6, centre, scale) for centre in centres]
        return logsumexp(parts, axis=0, b=np.array([[1 - share], [share]])).sum()

    two = min(
        minimize(
            lambda given: -log_likelihood(given[:2], 1 / (1 + np.exp(-given[2]))),
            [1.9, 2.6, odds],
            method="Nelder-Mead",
        ).fun
        for odds in (-2.0, 0.0, 2.0)
    )
    one = minimize_scalar(lambda centre: -student.logpdf(x, 6, centre, scale).sum(), bounds=(1.5, 3), method="bounded")
    assert fit_two_depths(log_depth, variance)[0] == pytest.approx(one.fun - two, abs=0.1)

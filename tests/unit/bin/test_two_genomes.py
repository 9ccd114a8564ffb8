"""Whether contigs are of two genomes: by depth, and by composition and depth."""

import numpy as np
import pytest

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

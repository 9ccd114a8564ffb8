"""Depth freed of what GC content adds to it."""

import logging

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from workflow_lib.bin.fuse import Depth
from workflow_lib.bin.gc_bias import gc_folds, without_gc_bias

N_BINS, PER_BIN = 12, 40
BEST_GC = (0.42, 0.55)  # of two libraries
BIAS = 16.0


@pytest.fixture
def biased():
    """Contigs of twelve genomes of 25% to 70% GC, their depth lowered by the square of the distance to a best GC."""
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(N_BINS), PER_BIN)
    gc = np.linspace(0.25, 0.70, N_BINS)[labels] + 0.03 * rng.standard_normal(len(labels))
    level = rng.normal(3, 1, (N_BINS, 2))[labels]
    log = level + 0.1 * rng.standard_normal(level.shape) - BIAS * (gc[:, None] - BEST_GC) ** 2
    lengths = rng.integers(1500, 60_000, len(labels))
    return Depth(["a", "b"], np.exp(log), np.exp(2 * log)), gc, lengths, labels, level


def scatter_in_bins(mean, labels):
    """Standard deviation of log depth in bins, a library."""
    return np.sqrt(np.mean([np.log(mean[labels == label]).var(axis=0) for label in np.unique(labels)], axis=0))


def test_depth_within_bins_scatters_by_its_noise_alone(biased, caplog):
    depth, gc, lengths, labels, _ = biased
    with caplog.at_level(logging.INFO):
        found = without_gc_bias(depth, gc, lengths, labels)
    assert (scatter_in_bins(depth.mean, labels) > 0.15).all()
    assert (scatter_in_bins(found.mean, labels) < 0.115).all()
    folds = gc_folds(depth, found)
    assert 2 < folds["a"] < folds["b"] < 8  # b's best GC is farther from that of most genomes
    assert f"GC content changes depth: a {folds['a']:.2f}-fold, b" in caplog.text
    np.testing.assert_allclose(found.variance / found.mean**2, depth.variance / depth.mean**2)


def test_the_bias_is_that_which_was_put_in(biased):
    depth, gc, lengths, labels, _ = biased
    found = without_gc_bias(depth, gc, lengths, labels)
    taken_off = np.log(depth.mean / found.mean)
    put_in = -BIAS * (gc[:, None] - BEST_GC) ** 2
    difference = (taken_off - put_in) - np.median(taken_off - put_in, axis=0)
    assert np.abs(np.quantile(difference, [0.1, 0.9])).max() < 0.15
    assert np.ptp(put_in) > 1
    middle = np.argmin(np.abs(gc - np.median(gc)))  # its depth stays
    np.testing.assert_allclose(found.mean[middle], depth.mean[middle], rtol=0.01)


def test_bins_of_two_genomes_and_contigs_astray_do_not_mislead_it(biased):
    depth, gc, lengths, truth, _ = biased
    labels = truth.copy()
    labels[labels == 5] = 4
    astray = np.random.default_rng(1).random(len(labels)) < 0.1
    labels[astray] = np.random.default_rng(2).integers(0, N_BINS, astray.sum())
    labels[::9] = -1
    found = without_gc_bias(depth, gc, lengths, labels)
    assert (scatter_in_bins(depth.mean, truth) > 0.15).all()
    assert (scatter_in_bins(found.mean, truth) < 0.11).all()  # 0.118 with all contigs counting the same


def test_what_is_not_known_stays_so(biased):
    depth, gc, lengths, labels, _ = biased
    mean = depth.mean.copy()
    mean[3, 0], mean[4, 0], mean[:, 1] = np.nan, 0.0, 0.0
    gc = gc.copy()
    gc[7] = np.nan
    found = without_gc_bias(Depth(depth.libraries, mean, depth.variance), gc, lengths, labels)
    assert np.isnan(found.mean[3, 0])
    assert found.mean[4, 0] == 0
    assert (found.mean[:, 1] == 0).all()
    assert gc_folds(Depth(depth.libraries, mean, depth.variance), found)["b"] == 1
    assert np.isfinite(found.mean[7, 0])


def test_beyond_the_gc_of_the_bins_the_bias_is_that_at_their_edge(biased):
    depth, gc, lengths, labels, _ = biased
    gc, labels = gc.copy(), labels.copy()
    lowest = np.quantile(gc[1:], 0.01)
    labels[0], gc[0] = -1, 0.02
    found = without_gc_bias(depth, gc, lengths, labels)
    factor = found.mean[:, 0] / depth.mean[:, 0]
    edge = np.argmin(np.abs(gc - lowest))
    assert factor[0] == pytest.approx(factor[edge], rel=0.05)


def test_few_contigs_or_one_gc_content_leave_depth_alone(biased):
    depth, gc, lengths, labels, _ = biased
    few = np.where(np.arange(len(labels)) < 99, labels, -1)
    assert np.array_equal(without_gc_bias(depth, gc, lengths, few).mean, depth.mean)
    same = without_gc_bias(depth, np.full(len(gc), 0.5), lengths, labels)
    assert np.array_equal(same.mean, depth.mean)
    assert gc_folds(depth, same) == {"a": 1.0, "b": 1.0}


def test_bins_of_one_gc_content_each_tell_nothing(biased):
    depth, _, lengths, labels, _ = biased
    of_bins = np.linspace(1 / 3, 2 / 3, N_BINS)[labels]
    same = without_gc_bias(depth, of_bins, lengths, labels)
    np.testing.assert_allclose(same.mean, depth.mean, rtol=1e-9)  # nothing but rounding
    nearly = of_bins + 1e-6 * np.random.default_rng(3).standard_normal(len(labels))
    assert np.array_equal(without_gc_bias(depth, nearly, lengths, labels).mean, depth.mean)  # a 10^40-fold bias


@pytest.mark.parametrize("n", [0, 1])
def test_no_contigs_and_one(n):
    depth = Depth(["a"], np.full((n, 1), 7.0), np.ones((n, 1)))
    for label in (0, -1):
        found = without_gc_bias(depth, np.full(n, 0.5), np.full(n, 5000), np.full(n, label))
        assert np.array_equal(found.mean, depth.mean)
        assert gc_folds(depth, found) == {"a": 1.0}


def test_one_very_long_contig_does_not_decide(biased):
    depth, gc, lengths, labels, _ = biased
    found = without_gc_bias(depth, gc, lengths, labels)
    mean, gc, longer = depth.mean.copy(), gc.copy(), lengths.copy()
    mean[0], gc[0], longer[0] = 5 * mean[0], gc[0] + 0.08, 100_000_000
    again = without_gc_bias(Depth(depth.libraries, mean, depth.variance), gc, longer, labels)
    assert np.abs(np.log(again.mean[1:] / found.mean[1:])).max() < 0.15


@pytest.mark.parametrize(("n_bins", "size", "spread"), [(6, 20, 0.01), (10, 30, 0.02), (100, 40, 0.015)])
def test_where_there_is_no_bias_none_is_taken_off(n_bins, size, spread):
    rng, changed = np.random.default_rng(5), 0
    for _ in range(100):
        labels = np.repeat(np.arange(n_bins), size)
        gc = rng.uniform(0.3, 0.65, n_bins)[labels] + spread * rng.standard_normal(len(labels))
        mean = np.exp(rng.normal(3, 1, n_bins)[labels] + 0.25 * rng.standard_normal(len(labels)))[:, None]
        lengths = rng.lognormal(np.log(6000), 0.8, len(labels)).astype(np.int64).clip(1500)
        found = without_gc_bias(Depth(["a"], mean, mean), gc, lengths, labels)
        changed += gc_folds(Depth(["a"], mean, mean), found)["a"] > 1
    assert changed <= 3


def test_bins_of_one_contig_tell_nothing(biased):
    depth, gc, lengths, labels, _ = biased
    alone = np.arange(len(labels)) % 2 == 0
    labels = np.where(alone, 100 + np.arange(len(labels)), labels)
    found = without_gc_bias(depth, gc, lengths, labels)
    assert (scatter_in_bins(found.mean[~alone], labels[~alone]) < 0.115).all()
    only_alone = np.arange(len(labels))
    assert np.array_equal(without_gc_bias(depth, gc, lengths, only_alone).mean, depth.mean)


def test_the_same_depth_at_any_number_of_threads():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 500, 100_000)
    gc = rng.uniform(0.3, 0.7, 500)[labels] + 0.03 * rng.standard_normal(len(labels))
    mean = np.exp(rng.standard_normal((len(labels), 1)) - 10 * (gc[:, None] - 0.5) ** 2)
    found = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.add(without_gc_bias(Depth(["a"], mean, mean), gc, np.full(len(gc), 5000), labels).mean.tobytes())
    assert len(found) == 1

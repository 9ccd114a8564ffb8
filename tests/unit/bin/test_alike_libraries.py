"""Lanes of one library count as one library."""

import numpy as np
import pytest

from workflow_lib.bin.alike_libraries import pool_alike
from workflow_lib.bin.fuse import Depth

PER_BIN = 30


def make(samples, n_bins=20, own=0.1, shared=0.15):
    """Contigs of genomes in libraries, each of one of some `samples`, whose deviations its libraries share."""
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(n_bins), PER_BIN)
    names, of = np.unique(list(samples), return_inverse=True)
    level = rng.normal(3, 1, (n_bins, len(names)))[labels] + shared * rng.standard_normal((len(labels), len(names)))
    log = level[:, of] + own * rng.standard_normal((len(labels), len(samples))) - 0.3 * np.arange(len(samples))
    libraries = [f"{sample}{i}" for i, sample in enumerate(samples)]
    return Depth(libraries, np.exp(log), np.exp(log) * 2), rng.integers(1500, 60_000, len(labels)), labels


def test_depths_of_lanes_are_added_up(caplog):
    caplog.set_level("INFO")
    depth, lengths, labels = make("abacb")
    found = pool_alike(depth, lengths, labels)
    assert found.libraries == ["a0+a2", "b1+b4", "c3"]
    for table, was in ((found.mean, depth.mean), (found.variance, depth.variance)):
        np.testing.assert_allclose(
            table, np.stack([was[:, [0, 2]].sum(axis=1), was[:, [1, 4]].sum(axis=1), was[:, 3]], 1)
        )
    assert "at one ratio count as one: a0+a2, b1+b4" in caplog.text
    assert "c3" not in caplog.text


@pytest.mark.parametrize(("samples", "expected"), [("abcb", ["a0", "b1+b3", "c2"]), ("abcc", ["a0", "b1", "c2+c3"])])
def test_libraries_keep_their_order(samples, expected):
    assert pool_alike(*make(samples)).libraries == expected


def test_what_is_not_known_stays_so():
    depth, lengths, labels = make("aab")
    depth.mean[7, 1] = np.nan
    found = pool_alike(depth, lengths, labels)
    assert np.argwhere(np.isnan(found.mean)).tolist() == [[7, 0]]


@pytest.mark.parametrize("samples", ["a", "ab", "abcdefgh"])
def test_samples_stay_apart(samples):
    depth, *rest = make(samples)
    assert pool_alike(depth, *rest) is depth


def test_samples_that_deviate_alike_stay_apart_where_their_genomes_differ():
    depth, lengths, labels = make("abcd", shared=0.0)
    common = np.exp(0.5 * np.random.default_rng(2).standard_normal((len(labels), 1)))  # as of genomes being copied
    assert pool_alike(Depth(depth.libraries, depth.mean * common, depth.variance), lengths, labels).libraries == [
        "a0", "b1", "c2", "d3",
    ]  # fmt: skip


def test_the_ends_of_a_series_stay_apart_though_days_are_alike():
    """Of four days each is like the next one: two pairs, not one series."""
    depth, lengths, labels = make("aaaa", shared=0.0)
    drift = np.exp(0.06 * np.random.default_rng(0).standard_normal(20)[labels, None] * np.arange(4))
    depth = Depth(depth.libraries, depth.mean * drift, depth.variance)
    days = [Depth(depth.libraries[i : i + 2], depth.mean[:, i : i + 2], depth.variance[:, i : i + 2]) for i in range(3)]
    assert all(len(pool_alike(two, lengths, labels).libraries) == 1 for two in days)
    assert pool_alike(depth, lengths, labels).libraries == ["a0+a1", "a2+a3"]


@pytest.mark.parametrize(("deviation", "n_pooled"), [(0.19, 1), (0.22, 2)])
def test_libraries_are_alike_up_to_a_fifth_between_nearly_all_genomes(deviation, n_pooled):
    """39 of 41 bins decide, by the deviation of their median contigs from the ratio of most."""
    depth, lengths, labels = make("aa", n_bins=41, own=0.0, shared=0.0)
    depth.mean[labels < 5, 0] *= np.exp(deviation)
    depth.mean[labels < 2, 0] *= 9
    assert len(pool_alike(depth, lengths, labels).libraries) == n_pooled


def test_a_tenth_of_the_genomes_that_changed_keep_libraries_apart():
    depth, lengths, labels = make("aa")
    depth.mean[labels < 2, 0] *= 2
    assert pool_alike(depth, lengths, labels) is depth


@pytest.mark.parametrize(("n_bins", "n_pooled"), [(4, 2), (5, 1)])
def test_few_bins_do_not_tell(n_bins, n_pooled):
    assert len(pool_alike(*make("aa", n_bins=n_bins)).libraries) == n_pooled


def test_small_bins_and_unbinned_contigs_do_not_tell():
    depth, lengths, labels = make("aa")
    labels = np.where(np.arange(len(labels)) % PER_BIN < 9, labels, -1)
    assert pool_alike(depth, lengths, labels) is depth

"""Depth in which what deviates alike in all libraries counts less."""

import numpy as np
import pytest

from workflow_lib.bin.common_bias import without_common_bias
from workflow_lib.bin.fuse import Depth

N_BINS, PER_BIN, LIBRARIES = 20, 30, 8


def make(common, own=0.1, n_libraries: int = LIBRARIES):
    """Contigs of twenty genomes; deviations of log depth that the libraries share, and others; the genomes' levels."""
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(N_BINS), PER_BIN)
    level = rng.normal(3, 1, (N_BINS, n_libraries))[labels]
    shared = common * rng.standard_normal((len(labels), 1))
    log = level + shared + own * rng.standard_normal(level.shape)
    depth = Depth([f"l{i}" for i in range(n_libraries)], np.exp(log), np.exp(2 * log))
    return depth, rng.integers(1500, 60_000, len(labels)), labels


def correlations(depth, labels, columns=slice(None)):
    """Mean correlation between libraries within bins."""
    found = np.corrcoef(residuals(depth, labels)[:, columns].T)
    return found[np.triu_indices(len(found), 1)].mean()


def residuals(depth, labels):
    log = np.log(depth.mean + 0.1)
    return log - np.array([log[labels == label].mean(axis=0) for label in range(N_BINS)])[labels]


@pytest.mark.parametrize("common", [0.05, 0.1, 0.3])
def test_deviations_are_independent_afterwards(common):
    depth, lengths, labels = make(common)
    before = correlations(depth, labels)
    found = without_common_bias(depth, lengths, labels)
    after = correlations(found, labels)
    assert before == pytest.approx(common**2 / (common**2 + 0.1**2), abs=0.08)
    assert abs(after) < 0.08 < before
    # What tells libraries apart stays: the differences of a contig's log depths between them.
    kept, was = (np.log(one.mean + 0.1) for one in (found, depth))
    np.testing.assert_allclose(kept - kept[:, :1], was - was[:, :1], atol=1e-9)
    np.testing.assert_allclose(
        found.variance / (found.mean + 0.1) ** 2, depth.variance / (depth.mean + 0.1) ** 2, rtol=1e-9
    )


def test_independent_depth_stays_nearly_as_it_is():
    depth, lengths, labels = make(0.0)
    found = without_common_bias(depth, lengths, labels)
    spread = np.log(depth.mean).mean(axis=1).std()
    assert np.log(found.mean).mean(axis=1).std() == pytest.approx(spread, rel=0.15)


def test_contigs_in_the_wrong_bin_do_not_mislead_it():
    """A tenth of the contigs, whose depths differ from the bin's in all libraries."""
    depth, lengths, labels = make(0.0)
    rows = np.random.default_rng(3).choice(len(labels), len(labels) // 10, replace=False)
    labels[rows] = (labels[rows] + 7) % N_BINS
    spread = np.log(depth.mean).mean(axis=1).std()
    assert np.log(without_common_bias(depth, lengths, labels).mean).mean(axis=1).std() > 0.75 * spread


def test_where_nothing_can_be_learned_depth_is_the_same_object():
    depth, lengths, labels = make(0.3, n_libraries=1)
    assert without_common_bias(depth, lengths, labels) is depth  # one library
    depth, lengths, labels = make(0.3)
    assert without_common_bias(depth, lengths, np.where(labels < 2, labels, -1)) is depth  # 60 contigs
    assert without_common_bias(depth, lengths, np.arange(len(labels)) // 9) is depth  # bins of nine contigs
    level = Depth(depth.libraries, np.round(np.full_like(depth.mean, 3.0)), depth.variance)
    assert without_common_bias(level, lengths, labels) is level  # no deviation at all
    empty = Depth(depth.libraries, np.zeros((0, LIBRARIES)), np.zeros((0, LIBRARIES)))
    assert without_common_bias(empty, lengths[:0], labels[:0]) is empty


def test_libraries_of_unequal_noise():
    own = np.array([0.05] * 7 + [1.0])
    depth, lengths, labels = make(0.3, own)
    found = without_common_bias(depth, lengths, labels)
    assert correlations(depth, labels, slice(0, 7)) > 0.95
    assert abs(correlations(found, labels, slice(0, 7))) < 0.5  # no more than 0.95 is taken for common
    noisy = np.corrcoef(residuals(found, labels).T)[7, :7]
    assert np.abs(noisy).max() < 0.3  # it is not turned against the others


def test_a_library_without_depth_does_not_hide_what_the_others_share():
    depth, lengths, labels = make(0.3)
    depth.mean[labels >= 5, 3] = 0  # most genomes are not in this library
    found = without_common_bias(depth, lengths, labels)
    others = [0, 1, 2, 4, 5, 6, 7]
    assert abs(correlations(found, labels, others)) < 0.1 < 0.8 < correlations(depth, labels, others)


def test_a_contig_that_lacks_a_library_stays_with_its_bin():
    depth, lengths, labels = make(0.3)
    depth.mean[::7, 2] = depth.variance[::7, 2] = np.nan
    found = without_common_bias(depth, lengths, labels)
    assert np.isnan(found.mean[::7, 2]).all() and np.isfinite(np.delete(found.mean[::7], 2, axis=1)).all()
    log = np.log(found.mean[:, 0] + 0.1)
    from_bin = np.abs(log - np.array([np.median(log[labels == label]) for label in range(N_BINS)])[labels])
    assert from_bin[::7].mean() == pytest.approx(from_bin.mean(), rel=0.5)


def test_depths_are_raised_and_never_negative():
    depth, lengths, labels = make(0.3)
    depth.mean[6] = 0
    found = without_common_bias(depth, lengths, labels)
    assert (found.mean >= depth.mean - 1e-9).all() and np.isfinite(found.mean).all()
    depth.mean[:] = depth.mean[:, :1]  # all libraries say the same
    assert np.isfinite(without_common_bias(depth, lengths, labels).mean).all()

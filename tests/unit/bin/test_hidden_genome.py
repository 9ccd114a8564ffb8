"""A second genome in a bin that is a good share of a small sample."""

import numpy as np
import pytest

from workflow_lib.bin.hidden_genome import hidden_genome
from workflow_lib.bin.mixture import Contigs, Noise, estimate
from workflow_lib.bin.relatives import no_relatives
from workflow_lib.bin.split_merge import _second_genome, split_bins

DIM, N, NOISE = 24, 30, 0.2
APART = 14.0  # standard deviations of the noise, along one axis


def sample(n_others, *, apart=APART, n_libraries=1):
    """Bin 0 of two genomes of 30 contigs each, and bins of one genome each."""
    rng = np.random.default_rng(2)
    truth = np.repeat(np.arange(n_others + 2), N)
    centres = 5 * rng.standard_normal((n_others + 2, DIM))
    centres[1] = centres[0]
    centres[1, 0] += apart
    composition = (centres[truth] + rng.standard_normal((len(truth), DIM))).astype(np.float32)
    log_depth = 4 + NOISE * rng.standard_normal((len(truth), n_libraries))
    lengths = np.full(len(truth), 5000.0)
    contigs = Contigs(composition, np.ones(len(truth), dtype=bool), log_depth, lengths, no_relatives(len(truth)))
    variance = np.full(log_depth.shape, NOISE**2)
    return contigs, Noise(np.ones(len(truth)), variance), variance, np.maximum(truth - 1, 0), truth


@pytest.mark.parametrize("n_libraries", [0, 1, 3])
def test_it_is_found_by_the_noise_of_the_others(n_libraries):
    contigs, noise, variance, labels, truth = sample(4, n_libraries=n_libraries)
    second = hidden_genome(contigs, noise, variance, labels, np.flatnonzero(labels == 0))
    assert np.array_equal(second, truth[:60] == 1) or np.array_equal(second, truth[:60] == 0)
    bins, within = estimate(contigs, noise, labels)
    by_all = contigs.composition[:60] @ bins.axes, within.composition[:60], contigs.log_depth[:60], variance[:60]
    assert _second_genome(*by_all) is None
    found, n_split = split_bins(contigs, within, bins, variance, labels, set())
    assert n_split == 1
    assert len(np.unique(found[:60])) == 2


def test_one_genome_is_none_however_large():
    contigs, noise, variance, labels, _ = sample(4, apart=0.0)
    for label in range(5):
        assert hidden_genome(contigs, noise, variance, labels, np.flatnonzero(labels == label)) is None


def test_unbinned_contigs_tell_nothing_of_noise():
    contigs, noise, variance, labels, truth = sample(4)
    labels = np.where(labels == 4, -1, labels)
    second = hidden_genome(contigs, noise, variance, labels, np.flatnonzero(labels == 0))
    assert second is not None
    contigs.composition[truth == 5] *= 100
    assert np.array_equal(second, hidden_genome(contigs, noise, variance, labels, np.flatnonzero(labels == 0)))


def test_bins_of_a_twentieth_are_left_to_the_noise_of_all():
    contigs, noise, variance, labels, _ = sample(39)
    rows = np.flatnonzero(labels == 0)
    assert hidden_genome(contigs, noise, variance, labels, rows) is None  # 60 of 1,230 contigs
    for n_bins, found in ((39, True), (40, False)):  # 60 of 1,200 contigs are a twentieth, of 1,230 less
        kept = np.where(labels >= n_bins, -1, labels)
        assert (hidden_genome(contigs, noise, variance, kept, rows) is not None) == found


def test_too_few_others_tell_nothing():
    contigs, noise, variance, labels, _ = sample(1)
    labels[60 + 25 :] = -1  # 25 contigs of one bin, 24 axes
    assert hidden_genome(contigs, noise, variance, labels, np.flatnonzero(labels == 0)) is None
    assert hidden_genome(contigs, noise, variance, np.minimum(labels, 0), np.flatnonzero(labels == 0)) is None


def test_bins_are_judged_by_those_that_were_given(monkeypatch):
    """A split of one bin changes nothing for the next, whichever is looked at first."""
    contigs, noise, variance, labels, _ = sample(8)
    bins, within = estimate(contigs, noise, labels)
    seen = []

    def look(contigs, noise, variance, labels, rows):
        seen.append(labels.copy())
        return np.arange(len(rows)) < len(rows) // 2

    monkeypatch.setattr("workflow_lib.bin.split_merge._second_genome", lambda *_: None)
    monkeypatch.setattr("workflow_lib.bin.split_merge.hidden_genome", look)
    found, n_split = split_bins(contigs, within, bins, variance, labels, set())
    assert n_split == len(seen) == 9
    assert len(np.unique(found)) == 18
    assert all(np.array_equal(one, labels) for one in seen)

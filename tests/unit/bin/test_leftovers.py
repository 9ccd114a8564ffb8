"""Genomes of shorter contigs than the others are binned by a threshold of their own."""

from functools import partial

import numpy as np
import pytest

from workflow_lib.bin.kmedoid import kmedoid
from workflow_lib.bin.leftovers import bin_leftovers
from workflow_lib.bin.metric import Pieces
from workflow_lib.embed.base import unit_rows

DIM, PER_GENOME = 24, 40
FIND = partial(kmedoid, min_bin_size=1)
SIZES = {"min_bin_size": 10, "min_bin_length": 100_000, "seed": 1}


@pytest.fixture
def sample():
    """Four genomes in bins, two of short and noisy contigs left over, and twenty strays; halves of all lengths."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((6, DIM))

    def draw(rows, noise):
        return unit_rows((rows + noise * rng.standard_normal((len(rows), DIM))).astype(np.float32))

    truth = np.repeat(np.arange(6), PER_GENOME)
    is_short = truth >= 4
    vectors = np.concatenate([draw(centres[truth[~is_short]], 0.15), draw(centres[truth[is_short]], 0.6)])
    vectors = np.concatenate([vectors, draw(np.zeros((20, DIM)), 1.0)])
    lengths = np.concatenate([np.where(is_short, 3000, 40_000), np.full(20, 3000)])
    labels = np.concatenate([np.where(is_short, -1, truth), np.full(20, -1)])
    rows = np.arange(4 * PER_GENOME)
    whole = centres[truth[rows]]
    halves = np.where(rows % 2, 20_000, 2500)
    noise = np.where(rows % 2, 0.15, 0.65)[:, None]
    pieces = Pieces(rows, halves, np.stack([draw(whole, noise), draw(whole, noise)], axis=1))
    return labels, vectors, pieces, lengths, np.concatenate([truth, np.full(20, -1)])


def test_what_is_left_makes_bins_of_its_own(sample):
    labels, vectors, pieces, lengths, truth = sample
    before = labels.copy()
    found = bin_leftovers(labels, vectors, pieces, lengths, FIND, **SIZES)
    assert np.array_equal(labels, before)
    assert np.array_equal(found[truth < 4][: 4 * PER_GENOME], before[: 4 * PER_GENOME])
    for genome in (4, 5):
        names, counts = np.unique(found[truth == genome], return_counts=True)
        assert counts.max() > 0.8 * PER_GENOME
        assert names[counts.argmax()] in (4, 5)
    assert (found[-20:] == -1).mean() > 0.7
    assert found.max() == 5


def test_where_little_is_left_nothing_changes(sample):
    labels, vectors, pieces, lengths, _ = sample
    few = np.where(np.arange(len(labels)) < len(labels) - 19, 0, labels)
    long_only = Pieces(pieces.rows[1::2], pieces.lengths[1::2], pieces.vectors[1::2])
    for given, sizes in (
        ((few, vectors, pieces, lengths), SIZES),
        ((labels, vectors, long_only, lengths), SIZES),
        ((labels, vectors, pieces, lengths), SIZES | {"min_bin_length": 10**6}),
        ((labels, vectors, pieces, lengths), SIZES | {"min_bin_length": 150_000}),  # more than a genome has
        ((labels, np.zeros_like(vectors), pieces, lengths), SIZES),
        ((labels, vectors, pieces, np.where(labels < 0, 100_000, lengths)), SIZES),  # each is a bin of its own
    ):
        assert bin_leftovers(*given, FIND, **sizes) is given[0]

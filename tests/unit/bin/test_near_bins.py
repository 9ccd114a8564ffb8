"""Bins near each other: who is compared with whom in large samples, and that it is enough."""

import logging

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from workflow_lib.bin import mixture, near_bins, refine
from workflow_lib.bin.assign import BinningOptions
from workflow_lib.bin.fuse import DepthProfile
from workflow_lib.bin.near_bins import all_pairs, near_pairs, nearest_bins
from workflow_lib.bin.split_merge import refine_by_likelihood
from workflow_lib.embed.base import unit_rows

N_GENOMES, PER_GENOME, DIM = 150, 20, 16


@pytest.fixture(scope="module")
def sample():
    """Composition, depth, lengths, and bins: the genomes but for some contigs in wrong bins and some in none."""
    rng = np.random.default_rng(4)
    truth = rng.integers(N_GENOMES, size=N_GENOMES * PER_GENOME)
    composition = (rng.standard_normal((N_GENOMES, DIM))[truth] + 0.4 * rng.standard_normal((len(truth), DIM))).astype(
        np.float32
    )
    log = rng.standard_normal((N_GENOMES, 3))[truth] + 0.25 * rng.standard_normal((len(truth), 3))
    profile = DepthProfile(["a", "b", "c"], log, np.zeros_like(log), np.full(3, 0.25))
    labels, lengths = truth.copy(), rng.integers(1500, 20_000, len(truth))
    labels[::10] = -1
    # A wrong bin, as K-medoid would have it: the second nearest.
    both = np.concatenate([composition, log], axis=1)
    centres = np.stack([both[truth == i].mean(axis=0) for i in range(N_GENOMES)])
    labels[5::15] = np.argsort(((both[5::15, None] - centres) ** 2).sum(axis=2), axis=1)[:, 1]
    return composition, profile, lengths, labels, truth


def refined(sample, *, near_only):
    composition, _, lengths, labels, _ = sample
    return refine.refine(unit_rows(composition), labels, lengths, 0.5, near_only=near_only)


def mixed(sample, *, near_only):
    composition, profile, lengths, labels, _ = sample
    return refine_by_likelihood(composition, profile, lengths, labels, rounds=2, near_only=near_only)


def test_the_nearest_bins_are_those_of_all_distances():
    points = np.random.default_rng(1).standard_normal((700, 5))
    distances = ((points[:, None] - points) ** 2).sum(axis=2)
    expected = np.sort(np.argsort(distances, axis=1)[:, : near_bins.NEAR], axis=1)
    assert np.array_equal(nearest_bins(points), expected)


def test_a_bin_is_near_itself_whatever_is_as_near():
    assert all(number in near for number, near in enumerate(nearest_bins(np.ones((200, 3)))))


@pytest.mark.parametrize("n_bins", [0, 1, 5])
def test_with_few_bins_all_are_near(n_bins):
    points = np.random.default_rng(1).standard_normal((n_bins, 3))
    assert np.array_equal(nearest_bins(points), np.tile(np.arange(n_bins), (n_bins, 1)))


@pytest.mark.parametrize("most", [7, 1000])
def test_every_contig_is_in_one_block_with_the_bins_near_its_own(most):
    rng = np.random.default_rng(2)
    home, near = rng.integers(-1, 140, 3000), nearest_bins(rng.standard_normal((140, 3)))
    blocks = near_pairs(home, near, most, 400)
    assert np.array_equal(np.sort(np.concatenate([rows for rows, _ in blocks])), np.arange(3000))
    for rows, bins in blocks:
        assert len(rows) <= most or len(rows) <= 64
        for row in rows:
            assert isinstance(bins, slice) if home[row] < 0 else np.array_equal(bins, near[home[row]])


def test_blocks_of_all_pairs_cover_all_contigs():
    parts = [np.arange(1000)[rows] for rows, _ in all_pairs(1000, 50, 300, 10_000)]
    assert np.array_equal(np.concatenate(parts), np.arange(1000))
    assert max(map(len, parts)) == 200
    assert all_pairs(0, 50, 300) == []


@pytest.mark.parametrize("find", [refined, mixed])
def test_near_bins_are_enough(sample, find, monkeypatch):
    """With 16 of 150 bins; K-medoid's errors and leftovers go where comparing with all sends them."""
    monkeypatch.setattr(near_bins, "NEAR", 16)
    found, among_all = find(sample, near_only=True), find(sample, near_only=False)
    assert np.mean(found == among_all) > 0.995
    assert np.mean(among_all != sample[3]) > 0.05


@pytest.mark.parametrize(("find", "near_only"), [(refined, True), (mixed, True), (refined, False)])
def test_the_same_labels_at_any_number_of_threads_and_block_size(sample, find, near_only, monkeypatch):
    found = []
    for threads, rows in ((1, 4096), (2, 4096), (3, 4096), (1, 5), (2, 64)):
        for module in (refine, mixture, near_bins):
            monkeypatch.setattr(module, "_BLOCK", rows)
        with threadpool_limits(threads):
            found.append(find(sample, near_only=near_only).tobytes())
    assert len(set(found)) == 1


def test_what_near_bins_miss_is_told(sample, monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "workflow_lib.bin.near_bins"):
        refined(sample, near_only=True)
        assert {record.levelname for record in caplog.records} == {"INFO"}
        monkeypatch.setattr(near_bins, "NEAR", 1)
        refined(sample, near_only=True)
    assert "have a better bin that is not among the 1 near theirs" in caplog.text
    assert caplog.records[-1].levelname == "WARNING"


def test_contigs_far_from_home_find_their_bin_when_no_near_one_wants_them(sample, monkeypatch):
    monkeypatch.setattr(near_bins, "NEAR", 2)
    composition, profile, lengths, _, truth = sample
    labels = truth.copy()
    labels[::10] = (truth[::10] + 60) % N_GENOMES
    assert np.mean(mixed((composition, profile, lengths, labels, truth), near_only=True) == truth) > 0.99


@pytest.mark.parametrize("labels", [[], [-1, -1, -1], [0, 0, 0], [0, 2, 2]])
def test_no_contig_no_bin_empty_bins(labels):
    vectors = np.tile(np.eye(4, dtype=np.float32)[0], (len(labels), 1))
    lengths = np.full(len(labels), 3000)
    labels = np.array(labels, dtype=np.int64)
    expected = refine.refine(vectors, labels, lengths, 0.5)
    assert np.array_equal(refine.refine(vectors, labels, lengths, 0.5, near_only=True), expected)


def test_from_how_many_contigs_on_only_near_ones_count():
    for options in (BinningOptions(), BinningOptions(device="cuda")):
        assert options.is_large(100_000)
        assert not options.is_large(99_999)
        assert options.has_lists(100_000) == (options.device == "cpu")
    assert not BinningOptions(neighbours_from=0).is_large(10**7)
    assert not BinningOptions(neighbours_from=0).has_lists(10**7)

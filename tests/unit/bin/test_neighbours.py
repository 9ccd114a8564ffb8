"""Lists of near contigs: what they find is measured, and K-medoid in them is K-medoid."""

import logging

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from workflow_lib.bin import kmedoid_lists, neighbours, similarity
from workflow_lib.bin.kmedoid import kmedoid
from workflow_lib.bin.neighbours import find_lists
from workflow_lib.embed.base import unit_rows

THRESHOLD = 0.6


def communities(n, n_genomes, *, dim=48, spread=0.7, seed=1, strays=0.05):
    """Unit rows of genomes of log-normal sizes, some rows of none, some copies and zeros."""
    rng = np.random.default_rng(seed)
    sizes = rng.lognormal(0, 1, n_genomes)
    genome = rng.choice(n_genomes, n, p=sizes / sizes.sum())
    centres = unit_rows(rng.standard_normal((n_genomes, dim)))
    points = centres[genome] + spread / np.sqrt(dim) * rng.standard_normal((n, dim))
    stray = rng.random(n) < strays
    points[stray] = rng.standard_normal((stray.sum(), dim))
    points[:40] = points[0]
    points[100:104] = 0
    return unit_rows(points)


@pytest.fixture(scope="module")
def points():
    return communities(6000, 90)


@pytest.fixture(scope="module")
def lists(points):
    return find_lists(points, THRESHOLD, recall=0.99)


def partition(labels):
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels) if label >= 0}


def test_every_contig_is_in_one_list_and_nearness_is_mutual(points, lists):
    assert np.array_equal(np.sort(lists.order), np.arange(len(points)))
    assert lists.starts[0] == 0
    assert lists.starts[-1] == len(points)
    assert (np.diff(lists.starts) > 0).all()
    assert np.array_equal(lists.near, lists.near.T)
    assert lists.near.diagonal().all()
    for start, end in zip(lists.starts[:-1], lists.starts[1:], strict=True):
        assert (np.diff(lists.order[start:end]) > 0).all()


def test_the_recall_is_that_of_all_pairs(points, lists):
    """Measured on a sample; here over all contigs."""
    member = np.empty(len(points), dtype=np.int64)
    member[lists.order] = np.repeat(np.arange(len(lists.near)), np.diff(lists.starts))
    within = points @ points.T.copy() >= THRESHOLD
    np.fill_diagonal(within, False)
    some = within.any(axis=1)
    looked_at = lists.near[member][:, member]
    recall = ((within & looked_at).sum(axis=1)[some] / within.sum(axis=1)[some]).mean()
    assert lists.quality.recall == pytest.approx(recall, abs=0.01)
    assert recall > 0.98
    assert lists.quality.compared == pytest.approx(looked_at.mean())
    assert lists.quality.compared < 0.4


def test_bins_are_those_of_all_pairs_where_all_are_found(points):
    everything = find_lists(points, THRESHOLD, recall=1.0)
    everything.near[:] = True
    expected = kmedoid(points, THRESHOLD, min_bin_size=3, max_steps=5000)
    found = kmedoid(points, THRESHOLD, min_bin_size=3, max_steps=5000, lists=everything)
    assert partition(found) == partition(expected)


def test_bins_are_nearly_those_of_all_pairs(points, lists):
    expected = kmedoid(points, THRESHOLD, min_bin_size=3)
    found = kmedoid(points, THRESHOLD, min_bin_size=3, lists=lists)
    assert adjusted_rand_score(found, expected) > 0.98


def reference_in_lists(points, threshold, lists, *, max_steps, iterations=3):
    """Labels of K-medoid among near lists: every density mended at every step, all in float64; slow on purpose."""
    member = np.empty(len(points), dtype=np.int64)
    member[lists.order] = np.repeat(np.arange(len(lists.near)), np.diff(lists.starts))
    points, threshold = points.astype(np.float64), float(np.float32(threshold))
    kept = points @ points.T
    kept[(kept < threshold) | ~lists.near[member][:, member]] = 0.0
    density, labels = kept.sum(axis=1), np.full(len(points), -1)
    for step in range(max_steps):
        if density.max() < -50:
            break
        seed = int(np.flatnonzero(density >= density.max() - 1e-5 - 2e-7 * abs(density.max()))[0])
        density[seed] = -100
        of_seed = near = lists.near[member[seed]]
        medoid, members = points[seed], np.zeros(0, dtype=np.int64)
        for number in range(iterations):
            members = np.flatnonzero((points @ medoid >= threshold) & (labels == -1) & near[member])
            if not len(members) or (number == 0 and len(members) == 1):  # nobody, or alone in the lists near its own
                break
            medoid = points[members].mean(axis=0).astype(np.float32).astype(np.float64)
            near = of_seed | (lists.means @ medoid >= lists.cut * np.linalg.norm(medoid))
        labels[members] = step
        density -= kept[:, members].sum(axis=1)
        density[members] = -100
    _, found = np.unique(labels[labels >= 0], return_inverse=True)
    labels[labels >= 0] = found
    return labels


@pytest.mark.parametrize("rank", [12, 48])
@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("max_steps", [60, 5000])
def test_labels_are_those_of_the_slow_reference(rank, threshold, max_steps):
    """Of few axes and of many; the same bins in the same order."""
    axes = np.linalg.qr(np.random.default_rng(2).standard_normal((48, rank)))[0].T
    points = unit_rows(communities(2500, 60, dim=rank, seed=rank) @ axes)
    lists = find_lists(points, threshold, recall=0.97)
    assert lists.quality.compared < 0.9
    found = kmedoid(points, threshold, min_bin_size=1, max_steps=max_steps, lists=lists)
    assert np.array_equal(found, reference_in_lists(points, threshold, lists, max_steps=max_steps))


@pytest.mark.parametrize("max_steps", [0, 1, 30])
def test_lists_stop_at_max_steps(points, lists, max_steps):
    found = kmedoid(points, THRESHOLD, min_bin_size=1, max_steps=max_steps, lists=lists)
    assert found.max() + 1 <= max_steps


def test_same_lists_and_labels_at_any_number_of_threads(points):
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            lists = find_lists(points, THRESHOLD)
            labels = kmedoid(points, THRESHOLD, min_bin_size=2, lists=lists)
        found.append((lists.order.tobytes(), lists.near.tobytes(), lists.quality, labels.tobytes()))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("rows", [16, 100, 777])
def test_same_labels_at_any_block_size(points, lists, rows, monkeypatch):
    expected = kmedoid(points, THRESHOLD, min_bin_size=1, lists=lists)
    for module, name in (
        (similarity, "BLOCK_ROWS"), (similarity, "_VECTOR_ROWS"), (neighbours, "_COUNT_BLOCK"),
        (kmedoid_lists, "BLOCK_ROWS"), (kmedoid_lists, "_COLUMNS"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, rows)
    again = find_lists(points, THRESHOLD, recall=0.99)
    assert again.quality == lists.quality
    assert np.array_equal(kmedoid(points, THRESHOLD, min_bin_size=1, lists=again), expected)


def test_where_lists_part_nothing_all_is_compared():
    """Points in no groups at a low threshold: what is asked for is found, at the price of time."""
    cloud = unit_rows(np.random.default_rng(3).standard_normal((3000, 4)))
    lists = find_lists(cloud, 0.05, recall=1.0)
    assert lists.quality.recall > 0.99
    assert lists.quality.compared > 0.6


def test_no_neighbours_at_all():
    apart = unit_rows(np.random.default_rng(3).standard_normal((2000, 200)))
    lists = find_lists(apart, 0.9)
    assert lists.quality.recall == 1
    assert lists.quality.n_sampled == 0
    labels = kmedoid(apart, 0.9, min_bin_size=1, max_steps=5000, lists=lists)
    assert len(partition(labels)) == 2000


@pytest.mark.parametrize("n", [1, 2, 70, 200])
def test_few_contigs(n):
    few = communities(300, 3)[-n:]
    lists = find_lists(few, THRESHOLD)
    assert partition(kmedoid(few, THRESHOLD, min_bin_size=1, lists=lists)) == partition(
        kmedoid(few, THRESHOLD, min_bin_size=1)
    )


def test_ten_thousand_copies_and_rows_of_zeros():
    """A list may hold any number of copies: blocks of it are compared one by one."""
    copies = np.tile(communities(300, 3)[200], (10_000, 1))
    mixed = np.concatenate([communities(500, 5), copies, np.zeros((300, 48), dtype=np.float32)])
    lists = find_lists(mixed, THRESHOLD)
    labels = kmedoid(mixed, THRESHOLD, min_bin_size=2, max_steps=5000, lists=lists)
    assert len(set(labels[500:10_500])) == 1
    assert labels[500] >= 0
    assert (labels[10_500:] == -1).all()


def test_a_low_recall_is_told(points, monkeypatch, caplog):
    """The cut that the first half of the sample chooses is raised, so that the second half does not find enough."""
    choose = neighbours._choose_cut
    monkeypatch.setattr(neighbours, "_choose_cut", lambda *arguments: min(choose(*arguments) + 0.4, 0.9999))
    with caplog.at_level(logging.WARNING):
        lists = find_lists(points, THRESHOLD)
    assert lists.quality.recall < 0.98
    assert "bins may be torn" in caplog.text

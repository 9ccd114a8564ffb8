"""Refinement of bins after K-medoid."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from workflow_lib.bin.metric import unit_rows
from workflow_lib.bin.refine import refine


def two_genomes(n=30, spread=0.25, seed=1):
    rng = np.random.default_rng(seed)
    centres = np.eye(24)[:2]
    truth = np.repeat([0, 1], n)
    vectors = unit_rows((centres[truth] + spread * rng.standard_normal((2 * n, 24)) / np.sqrt(24)).astype(np.float32))
    return vectors, truth, np.full(2 * n, 5000)


def test_contigs_go_where_they_fit_and_leftovers_join():
    vectors, truth, lengths = two_genomes()
    labels = truth.copy()
    labels[:5] = 1  # in the wrong bin
    labels[-5:] = -1  # not in any
    assert np.array_equal(refine(vectors, labels, lengths, 0.6), truth)


def test_what_is_like_no_bin_stays_out():
    vectors, truth, lengths = two_genomes()
    stranger = np.eye(24, dtype=np.float32)[5]
    between = unit_rows((np.eye(24)[:1] + np.eye(24)[1:2]).astype(np.float32))[0]
    extended = np.vstack([vectors, stranger, between, np.zeros(24, dtype=np.float32)])
    labels = np.concatenate([truth, [-1, -1, -1]])
    assert refine(extended, labels, np.append(lengths, [9000] * 3), 0.3)[-3:].tolist() == [-1, -1, -1]


def test_a_contig_below_the_threshold_of_every_bin_keeps_its_own():
    vectors, truth, lengths = two_genomes()
    far = np.eye(24, dtype=np.float32)[7]
    labels = np.append(truth, 0)
    assert refine(np.vstack([vectors, far]), labels, np.append(lengths, 3000), 0.6)[-1] == 0


def test_long_contigs_decide_where_a_mean_lies():
    vectors = unit_rows(np.array([[1, 0], [0.6, 0.8], [0, 1], [0.72, 0.7]], dtype=np.float32))
    labels = np.array([0, 0, 1, -1])
    near_first = refine(vectors, labels, np.array([1, 10**6, 1000, 1000]), 0.5, passes=1)
    near_none = refine(vectors, labels, np.array([10**6, 1, 1000, 1000]), 0.5, passes=1)
    assert near_first[3] == 0
    assert near_none[3] == -1  # between the two means: no margin


@pytest.mark.parametrize("labels", [[], [-1, -1, -1], [0, 0, 0]])
def test_no_contig_no_bin_one_bin(labels):
    vectors = np.tile(np.eye(4, dtype=np.float32)[0], (len(labels), 1))
    found = refine(vectors, np.array(labels, dtype=np.int64), np.full(len(labels), 3000), 0.5)
    assert found.tolist() == labels


def test_a_bin_may_become_empty():
    vectors = unit_rows(np.array([[1, 0.02], [1, 0], [1, 0.01], [1, 0.3]], dtype=np.float32))
    labels = np.array([0, 0, 0, 1])
    assert refine(vectors, labels, np.array([9, 9, 9, 9]), 0.5, passes=3).tolist() == [0, 0, 0, 1]
    assert refine(vectors, np.array([0, 0, 2, 2]), np.array([9, 9, 9, 9]), 0.5).max() <= 2


def test_the_same_labels_at_any_number_of_threads():
    vectors, truth, lengths = two_genomes(n=3000, spread=2.0)
    labels = np.where(np.arange(len(truth)) % 3 == 0, -1, truth)
    found = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.add(refine(vectors, labels, lengths, 0.3).tobytes())
    assert len(found) == 1


def test_contigs_midway_between_two_bins_do_not_depend_on_the_block(monkeypatch):
    """Their two cosines differ in the eighth digit: float32 products of other shapes would round them otherwise."""
    rng = np.random.default_rng(5)
    centres = unit_rows(rng.standard_normal((40, 48)).astype(np.float32))
    pairs = rng.integers(40, size=(3000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    vectors = np.vstack([centres, unit_rows(centres[pairs].sum(axis=1))]).astype(np.float32)
    labels = np.concatenate([np.arange(40), pairs[:, 0]])
    lengths = np.concatenate([np.full(40, 5000), np.zeros(len(pairs), dtype=np.int64)])  # they do not move the means
    found = set()
    for block in (4096, 64, 7):
        monkeypatch.setattr("workflow_lib.bin.refine._BLOCK", block)
        monkeypatch.setattr("workflow_lib.bin.near_bins._LEAST_BLOCK", 1)
        found.add(refine(vectors, labels, lengths, 0.1, passes=1).tobytes())
    assert len(found) == 1

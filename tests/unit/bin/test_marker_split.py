"""Doubled marker genes split bins, and only where it helps; the better of two binnings is told."""

import numpy as np
import pytest

from workflow_lib.bin.marker_split import binning_score, choose_binning, split_by_markers
from workflow_lib.bin.parts import two_parts
from workflow_lib.markers import MarkerCounts

N_FAMILIES, N_CONTIGS, DIM = 40, 30, 16


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def genomes():
    """Three genomes of thirty contigs with forty markers each, the first two of like composition."""
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((3, DIM)))
    centres[1] = unit(centres[:1] + 0.5 * centres[1:2])
    labels = np.repeat(np.arange(3), N_CONTIGS)
    vectors = unit(centres[labels] + 0.08 * rng.standard_normal((len(labels), DIM)))
    counts = np.zeros((len(labels), N_FAMILIES), dtype=np.uint8)
    for genome in range(3):
        counts[genome * N_CONTIGS + rng.integers(0, N_CONTIGS, N_FAMILIES), np.arange(N_FAMILIES)] = 1
    lengths = rng.integers(3000, 30_000, len(labels))
    return vectors, labels, lengths, MarkerCounts([f"m{i}" for i in range(N_FAMILIES)], counts)


def partition(labels) -> set[frozenset]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels[labels >= 0])}


def test_two_and_three_genomes_in_a_bin_come_apart(genomes):
    vectors, truth, lengths, markers = genomes
    two = np.where(truth == 1, 0, truth)
    assert partition(split_by_markers(two, vectors, lengths, markers)) == partition(truth)
    assert partition(split_by_markers(np.zeros_like(truth), vectors, lengths, markers)) == partition(truth)


def test_good_bins_and_unbinned_contigs_stay(genomes):
    vectors, truth, lengths, markers = genomes
    labels = truth.copy()
    labels[::7] = -1
    assert np.array_equal(split_by_markers(labels, vectors, lengths, markers), labels)


def test_a_family_that_is_not_single_copy_splits_nothing(genomes):
    vectors, truth, lengths, markers = genomes
    markers.counts[:, 0] = 1
    one = truth == 0
    labels = np.zeros(one.sum(), dtype=np.int64)
    found = split_by_markers(labels, vectors[one], lengths[one], MarkerCounts(markers.families, markers.counts[one]))
    assert np.array_equal(found, labels)


@pytest.mark.parametrize(("n_common", "is_cut"), [(0, False), (5, False), (6, False), (20, True), (40, True)])
def test_halves_of_one_genome_stay_together_where_some_families_are_doubled_by_nature(n_common, is_cut):
    """Two genomes share as many families as chance gives; parts of one only those that are doubled."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], N_CONTIGS)
    vectors = unit(np.eye(2, DIM)[labels] + 0.08 * rng.standard_normal((len(labels), DIM)))
    counts = np.zeros((len(labels), N_FAMILIES), dtype=np.uint8)
    for family, half in enumerate(rng.permutation(N_FAMILIES) % 2):
        halves = (0, 1) if family < n_common else (half,)
        for first in halves:
            counts[first * N_CONTIGS + rng.integers(N_CONTIGS), family] = 1
    markers = MarkerCounts([f"m{i}" for i in range(N_FAMILIES)], counts)
    found = split_by_markers(np.zeros_like(labels), vectors, np.full(len(labels), 9000), markers)
    assert partition(found) == (partition(labels) if is_cut else partition(np.zeros_like(labels)))


@pytest.mark.parametrize(("n_common", "is_cut"), [(5, False), (20, True)])
def test_halves_of_one_archaeon_stay_together(n_common, is_cut):
    """An archaeon lacks families: chance gives two archaea more in common than two genomes that may have any family."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], N_CONTIGS)
    vectors = unit(np.eye(2, DIM)[labels] + 0.08 * rng.standard_normal((len(labels), DIM)))
    archaeal = np.arange(N_FAMILIES) < N_FAMILIES // 2
    counts = np.zeros((len(labels), N_FAMILIES), dtype=np.uint8)
    for family in np.flatnonzero(archaeal):
        for first in (0, 1) if family < n_common else (family % 2,):
            counts[first * N_CONTIGS + rng.integers(N_CONTIGS), family] = 1
    markers = MarkerCounts([f"m{i}" for i in range(N_FAMILIES)], counts, archaeal)
    found = split_by_markers(np.zeros_like(labels), vectors, np.full(len(labels), 9000), markers)
    assert partition(found) == (partition(labels) if is_cut else partition(np.zeros_like(labels)))


@pytest.mark.parametrize("is_known", [False, True])
def test_of_a_bacterium_all_families_count(is_known):
    """Five of 40 families in common, fewer than of two genomes with half of them; of the archaeal ones five of ten."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], N_CONTIGS)
    vectors = unit(np.eye(2, DIM)[labels] + 0.08 * rng.standard_normal((len(labels), DIM)))
    archaeal = np.arange(N_FAMILIES) < 10
    counts = np.zeros((len(labels), N_FAMILIES), dtype=np.uint8)
    for family in range(N_FAMILIES):
        for half in (0, 1) if family < 5 else (family % 2,):
            counts[half * N_CONTIGS + rng.integers(N_CONTIGS), family] = 1
    markers = MarkerCounts([f"m{i}" for i in range(N_FAMILIES)], counts, archaeal if is_known else None)
    whole = np.zeros_like(labels)
    assert np.array_equal(split_by_markers(whole, vectors, np.full(len(labels), 9000), markers), whole)


def test_the_larger_part_keeps_the_number(genomes):
    vectors, truth, lengths, markers = genomes
    two = np.where(truth == 1, 0, truth)
    found = split_by_markers(two, vectors, lengths, markers)
    assert set(found) == {0, 2, 3}
    assert lengths[found == 0].sum() >= lengths[found == 3].sum()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_contigs(n):
    vectors = np.tile(np.eye(1, DIM, dtype=np.float32), (n, 1))
    markers = MarkerCounts(["m"], np.full((n, 1), 3, dtype=np.uint8))
    labels = np.zeros(n, dtype=np.int64)
    assert np.array_equal(split_by_markers(labels, vectors, np.full(n, 3000), markers), labels)


def test_without_families_nothing_happens(genomes):
    vectors, _, lengths, _ = genomes
    labels = np.zeros(len(vectors), dtype=np.int64)
    none = MarkerCounts([], np.zeros((len(vectors), 0), dtype=np.uint8))
    assert np.array_equal(split_by_markers(labels, vectors, lengths, none), labels)
    assert binning_score(labels, none) == 0


def test_the_better_binning_is_chosen(genomes):
    _, truth, _, markers = genomes
    halves = truth * 2 + np.arange(len(truth)) % 2
    merged = np.where(truth == 1, 0, truth)
    assert binning_score(truth, markers) == pytest.approx(3.0)
    assert choose_binning([merged, halves, truth, truth.copy()], markers) == 2
    assert choose_binning([truth, merged], markers) == 0


def test_the_first_binning_is_kept_unless_another_is_clearly_better(genomes):
    _, truth, _, markers = genomes
    contigs = np.flatnonzero(truth == 2)
    chosen = {}
    for n in range(len(contigs)):
        first = truth.copy()
        first[contigs[:n]] = -1  # a genome loses contigs, and so markers
        chosen[binning_score(first, markers)] = choose_binning([first, truth], markers)
    assert {choice for score, choice in chosen.items() if score > 3 / 1.25} == {0}
    assert {choice for score, choice in chosen.items() if score < 3 / 1.25} == {1}


def test_two_parts_of_copies_are_none():
    second, distance = two_parts(np.ones((5, 3), dtype=np.float32), np.full(5, 1000))
    assert not second.any()
    assert distance == 0

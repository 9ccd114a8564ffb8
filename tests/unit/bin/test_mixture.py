"""Bins as a mixture of genomes, split and merged by likelihood."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from workflow_lib.bin.fuse import LOG_OFFSET, DepthProfile
from workflow_lib.bin.mixture import _likeliest, assign, estimate, prepare, settle
from workflow_lib.bin.split_merge import (
    _are_two_genomes,
    _second_genome,
    _share_between_depths,
    merge_bins,
    refine_by_likelihood,
    split_bins,
)
from workflow_lib.markers import MarkerCounts

N_GENOMES, PER_GENOME, DIM = 12, 60, 24
NOISE = 0.25  # of log depth


def community(n_libraries=3, seed=1, close=0, dim=DIM, n=PER_GENOME, genomes=N_GENOMES):
    """Composition, depth and truth; the first `close` pairs of genomes have the same composition, other depths."""
    rng = np.random.default_rng(seed)
    centres = 1.5 * rng.standard_normal((genomes, dim))
    depths = 2 + 1.0 * rng.standard_normal((genomes, n_libraries))
    for pair in range(close):
        centres[2 * pair + 1] = centres[2 * pair]
        depths[2 * pair + 1] = depths[2 * pair] + 1.2 * np.sign(depths[2 * pair + 1] - depths[2 * pair])
    truth = np.repeat(np.arange(genomes), n)
    lengths = np.exp(rng.normal(np.log(6000), 0.8, len(truth))).astype(np.int64).clip(1500)
    spread = np.sqrt(0.5 + 3000 / lengths)[:, None]
    composition = centres[truth] + spread * rng.standard_normal((len(truth), dim))
    log = depths[truth] + NOISE * rng.standard_normal((len(truth), n_libraries))
    libraries = [f"library_{i}" for i in range(n_libraries)]
    profile = DepthProfile(libraries, log, np.zeros_like(log), np.full(n_libraries, NOISE))
    return composition.astype(np.float32), profile, lengths, truth


def refined(sample, labels, rounds=4, markers=None):
    composition, profile, lengths, _ = sample
    return refine_by_likelihood(composition, profile, lengths, labels, rounds=rounds, markers=markers)


def marker_genes(rows_of_genomes, n, n_families=40):
    """One gene of every family in each group of contigs."""
    rng = np.random.default_rng(3)
    counts = np.zeros((n, n_families), dtype=np.uint8)
    for rows in rows_of_genomes:
        counts[rng.choice(rows, n_families), np.arange(n_families)] = 1
    return MarkerCounts([f"m{i}" for i in range(n_families)], counts)


def test_genomes_of_one_composition_come_apart_by_depth():
    sample = community(close=3)
    merged = sample[3].copy()
    for pair in range(3):
        merged[merged == 2 * pair + 1] = 2 * pair
    assert len(np.unique(merged)) == N_GENOMES - 3
    found = refined(sample, merged)
    assert adjusted_rand_score(sample[3], found) > 0.98
    assert found.max() + 1 == N_GENOMES


@pytest.mark.parametrize("n_libraries", [0, 3])
def test_a_genome_in_two_bins_becomes_one(n_libraries):
    sample = community(n_libraries)
    labels = sample[3].copy()
    labels[np.flatnonzero(labels == 4)[::2]] = N_GENOMES
    found = refined(sample, labels)
    assert len(np.unique(found[sample[3] == 4])) == 1
    assert adjusted_rand_score(sample[3], found) > 0.98


@pytest.mark.parametrize("n_libraries", [1, 2, 5])
def test_genomes_that_are_all_torn_by_depth_become_one_each(n_libraries):
    sample = community(n_libraries)
    log, truth = sample[1].log[:, 0], sample[3]
    medians = np.array([np.median(log[truth == genome]) for genome in range(N_GENOMES)])
    found = refined(sample, 2 * truth + (log > medians[truth]))  # bins of 0.6 of the noise of a genome
    assert adjusted_rand_score(truth, found) > 0.98
    assert found.max() + 1 == N_GENOMES


@pytest.mark.parametrize("n_libraries", [1, 3])
def test_strains_of_one_composition_are_not_taken_for_torn_genomes(n_libraries):
    sample = community(n_libraries, genomes=40, close=20)
    found = refined(sample, sample[3])
    assert adjusted_rand_score(sample[3], found) > (0.9 if n_libraries == 1 else 0.98)


def test_contigs_fill_the_gap_where_depth_was_cut_and_not_between_genomes():
    rng = np.random.default_rng(5)
    sd = np.array([0.1, 0.4])  # of two libraries, and twice that for every third contig
    variance = (sd * np.where(np.arange(3000) % 3, 1, 2)[:, None]) ** 2
    one = 3 + np.sqrt(variance) * rng.standard_normal(variance.shape)
    for level in (0.2, 0.5, 0.8):
        for library in range(2):
            second = one[:, library] > np.quantile(one[:, library], level)
            assert 0.16 < _share_between_depths(one, variance, second) < 0.24
    second = rng.random(3000) > 0.4
    two = one + second[:, None] * 3 * sd  # more than four standard deviations in both together
    assert _share_between_depths(two, variance, second) < 0.09


def test_a_bin_is_not_split_into_what_would_be_merged_again():
    rng = np.random.default_rng(7)
    composition, variance = rng.standard_normal((400, DIM)), np.full((400, 1), 0.05**2)  # bins say so; it is 0.1
    log = 0.1 * rng.standard_normal((400, 1))
    assert _second_genome(composition, np.ones(400), log, variance) is None
    log[::2] += 0.8
    second = _second_genome(composition, np.ones(400), log, variance)
    assert adjusted_rand_score(np.arange(400) % 2, second) > 0.98


def test_bins_with_contigs_between_their_depths_are_two_genomes_by_composition():
    rng = np.random.default_rng(6)
    second, variance = np.arange(200) >= 100, np.full((200, 1), 0.05**2)  # bins say so; it is 0.1
    log = np.sort(0.1 * rng.standard_normal((200, 1)), axis=0)
    composition = rng.standard_normal((200, DIM))
    assert not _are_two_genomes(composition, np.ones(200), log, variance, second)
    composition[second] += 0.9
    assert _are_two_genomes(composition, np.ones(200), log, variance, second)


def test_parts_of_a_genome_too_far_apart_are_merged_where_their_markers_complete_each_other():
    composition, profile, lengths, truth = community(n_libraries=1)
    second = truth == 4
    second[np.flatnonzero(second)[::2]] = False
    composition[second] += 0.9 * np.sign(composition[second].mean(axis=0))  # an island of another composition
    labels = np.where(second, N_GENOMES, truth)
    sample = composition, profile, lengths, truth
    genomes = [np.flatnonzero(truth == genome) for genome in range(N_GENOMES)]
    assert len(np.unique(refined(sample, labels)[truth == 4])) > 1
    found = refined(sample, labels, markers=marker_genes(genomes, len(truth)))
    assert adjusted_rand_score(truth, found) > 0.98
    # With the markers of two genomes the parts stay two bins.
    halves = [rows for rows in genomes if truth[rows[0]] != 4] + [
        np.flatnonzero(second),
        np.flatnonzero((truth == 4) & ~second),
    ]
    found = refined(sample, labels, markers=marker_genes(halves, len(truth)))
    assert adjusted_rand_score(labels, found) > 0.98


@pytest.mark.parametrize("gap", [False, True])
def test_bins_far_apart_are_merged_only_without_a_gap_between_them(gap):
    """A genome whose contigs lie all along a line is cut in two bins; or half of them lie at either end."""
    composition, profile, lengths, truth = community(n_libraries=1)
    rows = np.flatnonzero(truth == 4)
    place = np.linspace(0, 1, len(rows))
    composition[rows] += 1.3 * np.outer(np.round(place) if gap else place, np.ones(DIM))
    labels = truth.copy()
    labels[rows[len(rows) // 2 :]] = N_GENOMES
    found = refined((composition, profile, lengths, truth), labels)
    assert adjusted_rand_score(labels if gap else truth, found) > 0.985


def test_bins_that_hold_the_same_markers_are_not_merged():
    sample = community()
    truth = sample[3]
    labels = truth.copy()
    labels[np.flatnonzero(labels == 4)[::2]] = N_GENOMES
    rows = [np.flatnonzero(labels == label) for label in range(N_GENOMES + 1)]
    found = refined(sample, labels, markers=marker_genes(rows, len(truth)))
    assert len(np.unique(found[found >= 0])) == N_GENOMES + 1


@pytest.mark.parametrize("n_libraries", [1, 2, 5, 10])
@pytest.mark.parametrize("seed", range(4))
def test_bins_of_one_genome_stay_whole(n_libraries, seed):
    sample = community(n_libraries, seed=seed)
    found = refined(sample, sample[3])
    assert found.max() + 1 == N_GENOMES
    assert adjusted_rand_score(sample[3], found) > 0.95


def test_contigs_in_the_wrong_bin_go_home():
    sample = community()
    rng = np.random.default_rng(3)
    labels = np.where(rng.random(len(sample[3])) < 0.2, rng.integers(0, N_GENOMES, len(sample[3])), sample[3])
    assert adjusted_rand_score(sample[3], refined(sample, labels, rounds=0)) > 0.98


def test_contigs_of_a_genome_without_a_bin_and_without_composition_are_left_out():
    composition, profile, lengths, truth = community(n_libraries=5)
    labels = np.where(truth == 7, -1, truth)
    labels[labels > 7] -= 1
    composition[:2] = 0
    found = refine_by_likelihood(composition, profile, lengths, labels, rounds=4)
    assert (found[:2] == -1).all()
    assert np.mean(found[truth == 7] == -1) > 0.8  # a bin has about as many dimensions as contigs: some fit by chance
    assert np.mean(found[(truth != 7)][2:] == -1) < 0.05


def test_what_all_contigs_have_in_common_does_not_matter():
    """Embeddings of which most is the same would lose in single precision what tells them apart."""
    composition, profile, lengths, truth = community(n_libraries=1, dim=48)
    for offset in (0, 1e4):
        shifted = composition + np.float32(offset)
        contigs, noise = prepare(shifted, profile, lengths)
        rng = np.random.default_rng(2)
        mixed = np.where(rng.random(len(truth)) < 0.3, rng.integers(N_GENOMES, size=len(truth)), truth)
        labels, _, _ = settle(contigs, noise, mixed, passes=4)
        assert adjusted_rand_score(labels, truth) > 0.98


def test_noise_is_found_as_a_function_of_length():
    composition, profile, lengths, truth = community(n=400)
    deep = replace(profile, log=profile.log + 4)  # where counting reads adds nothing
    contigs, noise = prepare(composition, deep, lengths)
    _, noise = estimate(contigs, noise, truth)
    # In units of the covariance within bins the mean variance is 1: 0.5 + 3000 / length, scaled.
    expected = 0.5 + 3000 / lengths
    ratio = noise.composition / expected
    assert np.ptp(ratio) / ratio.mean() < 0.25  # medians of a dozen groups of 400 contigs
    assert noise.depth == pytest.approx(np.full_like(noise.depth, NOISE**2), rel=0.25)


def test_shallow_libraries_do_not_tear_genomes():
    """In eight libraries every genome is shallow in some, where depths differ by chance; K-medoid cut it there."""
    rng = np.random.default_rng(4)
    composition, _, lengths, truth = community()
    means = np.exp(rng.normal(1.0, 2.5, (N_GENOMES, 8)))
    mean = means[truth] * np.exp(0.1 * rng.standard_normal((len(truth), 8)))
    depth = rng.poisson(mean * lengths[:, None] / 300) * 300 / lengths[:, None]
    log = np.log(depth + LOG_OFFSET)
    profile = DepthProfile([f"library_{i}" for i in range(8)], log, np.zeros_like(log), np.full(8, 0.1))
    torn = 2 * truth
    for genome in range(N_GENOMES):
        shallow = log[truth == genome, np.abs(means[genome] - 0.3).argmin()]
        torn[truth == genome] += shallow > np.median(shallow)
    labels = refine_by_likelihood(composition, profile, lengths, torn, rounds=4)
    assert len(np.unique(labels[labels >= 0])) == N_GENOMES
    assert adjusted_rand_score(labels, truth) > 0.99


@pytest.mark.parametrize("scale", [1, 30])
def test_the_likeliest_bin_is_that_of_all_likelihoods(scale):
    """Also where depth decides between many bins of like composition, and where hardly any bin is looked at."""
    rng = np.random.default_rng(5)
    dim, constant = 12, 3.0
    square, noise, spread = scale * rng.chisquare(dim, (200, 9)), rng.uniform(0.5, 2, 200), rng.uniform(0, 0.3, 9)
    total = noise[:, None] + spread
    likelihood = 0.35 * (constant - (30 + dim) / 2 * np.log1p(square / total / 30) - dim / 2 * np.log(total))
    log_depth, variance = rng.normal(1, 1, (200, 4)), rng.uniform(0.05, 0.3, (200, 4))
    depths, uncertainty = rng.normal(1, 1, (9, 4)), rng.uniform(0, 0.02, (9, 4))
    first = rng.integers(-1, 9, 200)
    deviation = np.sqrt(variance[:, None] + uncertainty)
    # Without the factor 1 / sqrt(2 pi), which all likelihoods have.
    log_t = student.logpdf(log_depth[:, None], 6, loc=depths, scale=deviation) + 0.5 * np.log(2 * np.pi)
    related = rng.normal(0, 3, (200, 9))
    total = likelihood + log_t.sum(axis=2) + related
    best, highest = _likeliest(
        square, noise, spread, dim, constant, log_depth, variance, depths, uncertainty, related, first
    )  # fmt: skip
    assert np.array_equal(best, total.argmax(axis=1))
    assert highest == pytest.approx(total.max(axis=1), abs=1e-9)


def test_of_many_axes_the_principal_ones_are_kept():
    composition, profile, lengths, truth = community(dim=130)
    contigs, _ = prepare(composition, profile, lengths)
    assert contigs.composition.shape == (len(truth), 96)
    found = refine_by_likelihood(composition, profile, lengths, truth, rounds=4)
    assert adjusted_rand_score(truth, found) > 0.98


def test_a_genome_in_one_contig_stays_a_bin():
    composition, profile, lengths, truth = community()
    rows = np.flatnonzero((truth != 4) | (np.arange(len(truth)) == np.argmax(truth == 4)))
    profile = DepthProfile(profile.libraries, profile.log[rows], profile.sampling[rows], profile.noise)
    found = refine_by_likelihood(composition[rows], profile, lengths[rows], truth[rows], rounds=4)
    alone = found[truth[rows] == 4]
    assert alone[0] >= 0
    assert np.count_nonzero(found == alone[0]) == 1


@pytest.mark.parametrize("labels", [[], [-1, -1, -1], [0, 0, 1], [0, 0, 0]])
def test_few_contigs(labels):
    n = len(labels)
    profile = DepthProfile(["a"], np.zeros((n, 1)), np.zeros((n, 1)), np.array([0.2]))
    composition = np.tile(np.eye(4, dtype=np.float32)[0], (n, 1))
    found = refine_by_likelihood(composition, profile, np.full(n, 3000), np.array(labels, dtype=np.int64), rounds=4)
    assert found.tolist() == labels


def test_copies_of_one_contig_and_depths_without_noise():
    n = 40
    composition = np.repeat(np.eye(8, dtype=np.float32)[:2], n, axis=0)
    log = np.repeat([[1.0], [3.0]], n, axis=0)
    profile = DepthProfile(["a"], log, np.zeros_like(log), np.array([0.05]))
    labels = np.repeat([0, 1], n)
    found = refine_by_likelihood(composition, profile, np.full(2 * n, 5000), labels, rounds=4)
    assert np.array_equal(found, labels)


def test_splitting_and_merging_alone_number_bins_as_they_say():
    sample = community(close=1)
    contigs, noise = prepare(*sample[:3])
    labels = np.where(sample[3] == 1, 0, sample[3])
    bins, _ = estimate(contigs, noise, sample[3])
    split, n_split = split_bins(contigs, noise, bins, noise.depth, labels, set())
    assert n_split == 1
    assert split.max() == N_GENOMES
    settled, bins, noise = settle(contigs, noise, sample[3], passes=1)
    no_markers = np.zeros((len(settled), 0), dtype=np.uint8)
    merged, n_merged = merge_bins(contigs, noise, bins, noise.depth, settled, no_markers, without_gap=True)
    assert n_merged == 0
    assert np.array_equal(merged, settled)


def of_one_depth(n_libraries, nearer=0.0):
    """Forty genomes; the second has the depth of the first, and a composition `nearer` (0 to 1) to it."""
    composition, profile, lengths, truth = community(n_libraries, genomes=40)
    first, second, log = truth == 0, truth == 1, profile.log.copy()
    log[second] += np.median(log[first], axis=0) - np.median(log[second], axis=0)
    composition[second] += nearer * (composition[first].mean(axis=0) - composition[second].mean(axis=0))
    return composition, replace(profile, log=log), lengths, truth


@pytest.mark.parametrize("n_libraries", [1, 4])
def test_genomes_of_one_depth_in_one_bin_come_apart_by_composition(n_libraries):
    sample = of_one_depth(n_libraries)
    found = refined(sample, np.maximum(sample[3] - 1, 0))
    assert found.max() + 1 == 40
    assert adjusted_rand_score(sample[3], found) > 0.98


@pytest.mark.parametrize(("nearer", "n_bins"), [(0.3, 40), (0.6, 39)])
def test_bins_that_would_be_split_again_are_not_merged_whatever_their_markers_say(nearer, n_bins):
    sample = of_one_depth(1, nearer)
    truth = sample[3]
    as_one = [np.flatnonzero(np.maximum(truth - 1, 0) == bin_) for bin_ in range(39)]
    found = refined(sample, truth, markers=marker_genes(as_one, len(truth)))
    assert found.max() + 1 == n_bins


def test_the_same_labels_at_any_number_of_threads():
    sample = community(n=500, seed=2)  # products of this size differ with the number of threads
    labels = np.where(np.arange(len(sample[3])) % 7 == 0, -1, sample[3])
    found = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.add(refined(sample, labels).tobytes())
    assert len(found) == 1


def test_the_search_does_not_depend_on_where_it_begins():
    sample = community()
    contigs, noise = prepare(*sample[:3])
    _, bins, noise = settle(contigs, noise, sample[3], passes=1)
    shuffled = np.random.default_rng(1).permutation(sample[3])
    assert np.array_equal(assign(contigs, noise, bins, sample[3]), assign(contigs, noise, bins, shuffled))

"""The later steps of binning a sample: the mixture, and marker genes."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from workflow_lib.bin.assign import BinningOptions, assign_bins, split_binning_by_markers
from workflow_lib.bin.fuse import Depth
from workflow_lib.bin.metric import Pieces, unit_rows
from workflow_lib.bin.stage import _choose_by_markers
from workflow_lib.bin.threshold import Threshold
from workflow_lib.markers import MarkerCounts

N_GENOMES, PER_GENOME, DIM = 10, 50, 32
OPTIONS = BinningOptions()


@pytest.fixture(scope="module")
def sample():
    """Ten genomes in three libraries; the first two alike in composition, with other depths."""
    rng = np.random.default_rng(2)
    truth = np.repeat(np.arange(N_GENOMES), PER_GENOME)
    centres = rng.standard_normal((N_GENOMES, DIM))
    centres[1] = centres[0] + 0.1 * rng.standard_normal(DIM)
    lengths = rng.integers(4000, 12_000, len(truth))

    def draw(scale):
        return unit_rows((centres[truth] + scale * rng.standard_normal((len(truth), DIM))).astype(np.float32))

    halves = np.stack([draw(0.6), draw(0.6)], axis=1)
    pieces = Pieces(np.arange(len(truth)), lengths // 2, halves)
    log = rng.standard_normal((N_GENOMES, 3))
    log[1] = log[0] + [0.8, -0.8, 0.8]
    mean = np.exp(3 + log[truth] + 0.2 * rng.standard_normal((len(truth), 3)))
    return draw(0.45), lengths, pieces, Depth(["a", "b", "c"], mean, mean), truth


def bin_sample(sample, depth=True, **changes):
    vectors, lengths, pieces, of_contigs, _ = sample
    options = replace(OPTIONS, **changes)
    return assign_bins(vectors, lengths, pieces, options, depth=of_contigs if depth else None)


def test_with_depth_bins_are_a_mixture_that_parts_like_genomes(sample):
    binning = bin_sample(sample)
    assert binning.has_mixture
    assert binning.n_bins == N_GENOMES
    assert adjusted_rand_score(sample[-1], binning.labels) > 0.98
    assert all(bool(reason) == (label < 0) for reason, label in zip(binning.reasons, binning.labels, strict=True))


def test_genomes_that_are_copied_are_not_torn(sample, caplog):
    """Twelve libraries, up to 1.6 times as deep at the origin of replication as at the terminus, in all alike."""
    vectors, lengths, pieces, _, truth = sample
    rng = np.random.default_rng(7)
    level = rng.normal(3, 1, (N_GENOMES, 12))[truth]
    place = rng.uniform(-0.5, 0.5, (len(truth), 1))
    mean = np.exp(level + np.log(1.6) * place + 0.05 * rng.standard_normal(level.shape))
    depth = Depth([f"l{i}" for i in range(12)], mean, mean)
    with caplog.at_level(logging.INFO):
        binning = assign_bins(vectors, lengths, pieces, OPTIONS, depth=depth)
    assert "depths of a contig deviate alike in all libraries" in caplog.text
    assert binning.n_bins == N_GENOMES
    assert adjusted_rand_score(truth, binning.labels) > 0.98


@pytest.mark.parametrize(("depth", "changes"), [(False, {}), (True, {"depth_weight": 0.0})])
def test_without_depth_bins_are_a_mixture_of_compositions(sample, depth, changes):
    binning = bin_sample(sample, depth, **changes)
    assert binning.has_mixture
    alike = np.where(sample[-1] == 1, 0, sample[-1])  # nothing but depth tells the first two genomes apart
    assert binning.n_bins == N_GENOMES - 1
    assert adjusted_rand_score(alike, binning.labels) > 0.98


@pytest.mark.parametrize("changes", [{"mixture_rounds": 0}, {"adapt_from": 0}])
def test_where_it_is_switched_off_there_is_no_mixture(sample, changes):
    assert not bin_sample(sample, **changes).has_mixture


def test_gc_bias_is_taken_off_depth_where_gc_is_given(sample):
    vectors, lengths, pieces, depth, truth = sample
    rng = np.random.default_rng(6)
    gc = rng.uniform(0.3, 0.65, N_GENOMES)[truth] + 0.08 * rng.choice([-1, 1], len(truth))  # a genome of two parts
    biased = replace(depth, mean=depth.mean * np.exp(-30 * (gc[:, None] - [0.4, 0.5, 0.6]) ** 2))
    as_it_is = assign_bins(vectors, lengths, pieces, OPTIONS, depth=biased)
    freed = assign_bins(vectors, lengths, pieces, OPTIONS, depth=biased, gc=gc)
    assert adjusted_rand_score(truth, freed.labels) > 0.98
    assert adjusted_rand_score(truth, as_it_is.labels) < adjusted_rand_score(truth, freed.labels) - 0.05
    assert as_it_is.gc_folds == {}
    assert list(freed.gc_folds) == depth.libraries
    assert min(freed.gc_folds.values()) > 1.5
    assert max(freed.depth_noise) < 0.8 * max(as_it_is.depth_noise)
    unused = assign_bins(vectors, lengths, pieces, replace(OPTIONS, depth_weight=0.0), depth=biased, gc=gc)
    assert unused.gc_folds == {}
    no_bias = assign_bins(vectors, lengths, pieces, OPTIONS, depth=depth, gc=np.full(len(truth), 0.5))
    assert np.array_equal(no_bias.labels, bin_sample(sample).labels)


def test_a_long_contig_of_no_genome_is_a_bin(sample):
    vectors, lengths, pieces, depth, _ = sample
    rng = np.random.default_rng(8)
    stranger = unit_rows(rng.standard_normal((1, DIM)).astype(np.float32))
    mean = np.vstack([depth.mean, [[900.0, 0.2, 900.0]]])
    binning = assign_bins(
        np.vstack([vectors, stranger]), np.append(lengths, 400_000), pieces, OPTIONS,
        depth=Depth(depth.libraries, mean, mean),
    )  # fmt: skip
    assert binning.has_mixture
    assert np.count_nonzero(binning.labels == binning.labels[-1]) == 1
    assert binning.labels[-1] >= 0


def alike_with_markers(sample):
    """A binning with the first two genomes in one bin, though its vectors part them, and markers of all genomes."""
    truth = sample[-1]
    binning = bin_sample(sample, depth=False)
    rng = np.random.default_rng(3)
    counts = np.zeros((len(truth), 40), dtype=np.uint8)
    for genome in range(N_GENOMES):
        counts[genome * PER_GENOME + rng.integers(0, PER_GENOME, 40), np.arange(40)] = 1
    # Depth alone parts the first two: its axis stands for what the bin was made from.
    apart = np.where(truth == 1, 1.0, 0.0)[:, None] * np.ones(DIM)
    like = replace(binning, vectors=unit_rows((binning.vectors[:, :DIM] + apart).astype(np.float32)))
    return like, MarkerCounts([f"m{i}" for i in range(40)], counts)


def test_markers_part_what_composition_and_depth_do_not(sample):
    like, markers = alike_with_markers(sample)
    found = split_binning_by_markers(like, sample[1], markers, OPTIONS)
    assert found.n_bins == like.n_bins + 1
    assert adjusted_rand_score(sample[-1], found.labels) > adjusted_rand_score(sample[-1], like.labels)


def test_markers_choose_the_binning_but_leave_one_as_published_alone(sample):
    like, markers = alike_with_markers(sample)
    one_bin = replace(like, labels=np.zeros_like(like.labels))
    chosen = _choose_by_markers([one_bin, like], markers, sample[1], OPTIONS)
    assert chosen.n_bins == N_GENOMES
    published = replace(like, threshold=Threshold("percentile", 0.5))
    assert _choose_by_markers([published], markers, sample[1], OPTIONS) is published
    none = MarkerCounts(markers.families, np.zeros_like(markers.counts))
    assert _choose_by_markers([one_bin, like], none, sample[1], OPTIONS) is like


def test_a_large_sample_is_binned_in_lists_of_near_contigs(sample):
    """At a size of 500 all lists may be near; what is told of it is there, and the genomes come out."""
    binning = bin_sample(sample, neighbours_from=len(sample[1]))
    assert binning.neighbours.recall > 0.97
    assert binning.neighbours.wanted == 0.995
    assert 0 < binning.neighbours.compared <= 1
    assert adjusted_rand_score(sample[-1], binning.labels) > 0.98
    assert bin_sample(sample, neighbours_from=len(sample[1]) + 1).neighbours is None
    assert bin_sample(sample, neighbours_from=0).neighbours is None


def test_same_labels_in_lists_at_any_number_of_threads(sample):
    found = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.add(bin_sample(sample, neighbours_from=1).labels.tobytes())
    assert len(found) == 1


def test_steps_grow_with_the_sample(caplog, sample):
    assert [OPTIONS.steps_for(n) for n in (0, 50_000, 1_000_000)] == [1000, 1000, 20_000]
    assert BinningOptions(max_steps=7).steps_for(1_000_000) == 7
    with caplog.at_level(logging.INFO):
        binning = bin_sample(sample, max_steps=2, refine_passes=0, adapt_from=0)
    assert binning.n_bins == 2
    assert "ended at 2 steps (bin.max_steps)" in caplog.text


@pytest.mark.parametrize("neighbours_from", [0, 1])
@pytest.mark.parametrize("fault", ["no depth anywhere", "nothing maps in one", "depth not available"])
def test_odd_depth(sample, fault, neighbours_from, caplog):
    vectors, lengths, pieces, depth, truth = sample
    mean = depth.mean.copy()
    if fault == "no depth anywhere":
        mean[:] = 0
    elif fault == "nothing maps in one":
        mean[:, 1] = 0
    else:
        mean[::7] = np.nan
    odd = Depth(depth.libraries, mean, np.nan_to_num(mean))
    binning = assign_bins(vectors, lengths, pieces, replace(OPTIONS, neighbours_from=neighbours_from), depth=odd)
    expected = {"no depth anywhere": 0, "nothing maps in one": 2, "depth not available": 3}
    assert len(binning.libraries) == expected[fault]
    assert "library" in caplog.text
    assert np.isfinite(binning.vectors).all()
    known = np.isfinite(mean).all(axis=1) & (truth > 1) & (binning.labels >= 0)
    assert known.sum() > 0.7 * np.count_nonzero(truth > 1)
    pairs = np.unique(np.stack([binning.labels[known], truth[known]], axis=1), axis=0)
    assert len(np.unique(pairs[:, 0])) == len(pairs)  # no bin holds two genomes


@pytest.mark.parametrize("neighbours_from", [0, 1])
def test_ten_thousand_copies_of_a_plasmid_and_a_contig_of_8_mbp(sample, neighbours_from):
    vectors, lengths, pieces, depth, truth = sample
    rng, n_copies = np.random.default_rng(4), 10_000
    plasmid, chromosome = unit_rows(rng.standard_normal((2, DIM)).astype(np.float32))
    many = np.vstack([vectors, np.tile(plasmid, (n_copies, 1)), chromosome])
    mean = np.vstack([depth.mean, np.full((n_copies, 3), 80.0), [[20.0, 1.0, 3.0]]])
    binning = assign_bins(
        many, np.concatenate([lengths, np.full(n_copies, 3000), [8_000_000]]), pieces,
        replace(OPTIONS, neighbours_from=neighbours_from), depth=Depth(depth.libraries, mean, mean),
    )  # fmt: skip
    copies = binning.labels[len(truth) : -1]
    assert len(np.unique(copies)) == 1
    assert copies[0] >= 0
    assert binning.labels[-1] >= 0
    assert np.count_nonzero(binning.labels == binning.labels[-1]) == 1
    assert adjusted_rand_score(truth[truth > 1], binning.labels[: len(truth)][truth > 1]) > 0.9

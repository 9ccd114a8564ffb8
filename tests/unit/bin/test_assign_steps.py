"""The later steps of binning a sample: the mixture where there is depth, and marker genes."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from workflow_lib.bin.assign import BinningOptions, assign_bins, split_binning_by_markers
from workflow_lib.bin.fuse import Depth
from workflow_lib.bin.metric import Pieces, unit_rows
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


@pytest.mark.parametrize(
    ("depth", "changes"),
    [(False, {}), (True, {"depth_weight": 0.0}), (True, {"mixture_rounds": 0}), (True, {"adapt_from": 0})],
)
def test_without_depth_or_where_switched_off_there_is_no_mixture(sample, depth, changes):
    binning = bin_sample(sample, depth, **changes)
    assert not binning.has_mixture
    if not binning.depth_share:  # nothing but depth tells the first two genomes apart
        assert len(np.unique(binning.labels[sample[-1] < 2])) < 3
        assert binning.n_bins == N_GENOMES - 1


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


def test_markers_part_what_composition_and_depth_do_not(sample):
    _, lengths, _, _, truth = sample
    binning = bin_sample(sample, depth=False)
    rng = np.random.default_rng(3)
    counts = np.zeros((len(truth), 40), dtype=np.uint8)
    for genome in range(N_GENOMES):
        counts[genome * PER_GENOME + rng.integers(0, PER_GENOME, 40), np.arange(40)] = 1
    # Depth alone parts the first two: its axis stands for what the bin was made from.
    apart = np.where(truth == 1, 1.0, 0.0)[:, None] * np.ones(DIM)
    like = replace(binning, vectors=unit_rows((binning.vectors[:, :DIM] + apart).astype(np.float32)))
    found = split_binning_by_markers(like, lengths, MarkerCounts([f"m{i}" for i in range(40)], counts), OPTIONS)
    assert found.n_bins == binning.n_bins + 1
    assert adjusted_rand_score(truth, found.labels) > adjusted_rand_score(truth, binning.labels)

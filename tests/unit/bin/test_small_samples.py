"""Samples with few contigs: nothing can be learned from them, and genomes must stay apart all the same."""

import numpy as np
import pytest

from workflow_lib.bin.assign import BinningOptions, assign_bins
from workflow_lib.bin.fuse import Depth
from workflow_lib.bin.metric import Pieces
from workflow_lib.embed import load_embedder

BASES = np.frombuffer(b"ACGT", dtype=np.uint8)


def draw_genome(rng, n_bp):
    """A sequence in which each base depends on the two before it, as composition does in a genome."""
    following = rng.dirichlet(np.full(4, 2.0), 16).cumsum(axis=1)
    states, drawn = np.zeros(n_bp, dtype=np.int64), rng.random(n_bp)
    for i in range(2, n_bp):
        states[i] = np.searchsorted(following[4 * states[i - 2] + states[i - 1]], drawn[i]).clip(max=3)
    return BASES[states].tobytes()


def bin_genomes(n_genomes, n_contigs, length, n_libraries, **options):
    """Bin contigs of one length of genomes whose depth differs: the genomes of the contigs, and the binning."""
    rng = np.random.default_rng(n_genomes + n_libraries)
    genomes = [draw_genome(rng, n_contigs * length) for _ in range(n_genomes)]
    truth = np.repeat(np.arange(n_genomes), n_contigs)
    contigs = [genome[i * length : (i + 1) * length] for genome in genomes for i in range(n_contigs)]
    embedder = load_embedder("compact", threads=1)
    halves = embedder.embed([half for contig in contigs for half in (contig[: length // 2], contig[length // 2 :])])
    lengths = np.full(len(contigs), length)
    pieces = Pieces(np.arange(len(contigs)), lengths // 2, halves.reshape(len(contigs), 2, -1))
    mean = np.exp(3 + rng.standard_normal((n_genomes, n_libraries)))[truth]
    mean *= np.exp(0.1 * rng.standard_normal(mean.shape))
    depth = Depth([f"l{i}" for i in range(n_libraries)], mean, mean) if n_libraries else None
    return truth, assign_bins(embedder.embed(contigs), lengths, pieces, BinningOptions(**options), depth=depth)


@pytest.mark.parametrize("n_libraries", [0, 1, 3])
@pytest.mark.parametrize(("n_genomes", "n_contigs"), [(12, 1), (6, 2), (3, 6)])
def test_genomes_of_few_contigs_are_not_mixed(n_genomes, n_contigs, n_libraries):
    length = 30_000 // n_contigs
    truth, binning = bin_genomes(n_genomes, n_contigs, length, n_libraries, min_bin_length=length)  # of one contig
    assert binning.learned == "nothing"
    assert "few contigs in halves" in binning.threshold.note
    assert len(set(zip(truth, binning.labels, strict=True))) == n_genomes == binning.n_bins


@pytest.mark.parametrize("n_libraries", [1, 3])
def test_two_genomes_are_enough_to_adapt_to(n_libraries):
    truth, binning = bin_genomes(2, 60, 3000, n_libraries)
    assert binning.learned == "adaptation"
    assert binning.has_mixture
    assert len(set(zip(truth, binning.labels, strict=True))) == 2 == binning.n_bins
    assert bin_genomes(1, 120, 3000, n_libraries)[1].learned == "whitening"

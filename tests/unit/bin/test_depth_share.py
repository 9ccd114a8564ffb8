"""The share of depth in the similarity, found from the sample."""

import numpy as np
import pytest

from workflow_lib.bin.depth_share import depth_share
from workflow_lib.bin.fuse import Depth, depth_profile
from workflow_lib.bin.metric import Pieces
from workflow_lib.embed.base import unit_rows

N_GENOMES, CONTIGS = 20, 20


def make_sample(*, composition_noise, depth_noise, n_libraries=3, seed=0):
    """Contigs of 20 genomes: their vectors with both halves, and depth in libraries with a noise of its own."""
    rng = np.random.default_rng(seed)
    genome = np.repeat(np.arange(N_GENOMES), CONTIGS)
    centres = rng.standard_normal((N_GENOMES, 16))
    halves = centres[genome, None] + composition_noise * rng.standard_normal((len(genome), 2, 16))
    vectors = unit_rows(halves.mean(axis=1)).astype(np.float32)
    halves = unit_rows(halves.reshape(-1, 16)).reshape(halves.shape).astype(np.float32)
    log_mean = rng.normal(3, 1, (N_GENOMES, n_libraries))[genome]
    log_mean += depth_noise * rng.standard_normal(log_mean.shape)
    names = [f"lib{i}" for i in range(n_libraries)]
    profile = depth_profile(
        Depth(names, np.exp(log_mean), np.zeros_like(log_mean)), vectors, np.full(len(genome), 9000)
    )
    return vectors, Pieces(np.arange(len(genome)), np.full(len(genome), 4500), halves), profile


def test_what_tells_genomes_apart_counts_more():
    clear_depth = make_sample(composition_noise=2.0, depth_noise=0.05)
    clear_composition = make_sample(composition_noise=0.5, depth_noise=0.5, n_libraries=1)
    assert depth_share(*clear_depth) > 0.6
    assert depth_share(*clear_composition) < 0.4


def test_more_libraries_make_depth_count_more():
    shares = [
        np.mean([
            depth_share(*make_sample(composition_noise=0.8, depth_noise=0.25, n_libraries=n, seed=seed))
            for seed in range(5)
        ])
        for n in (1, 10)
    ]  # fmt: skip
    assert shares[1] > shares[0] + 0.1


def test_a_given_share_is_taken():
    assert depth_share(*make_sample(composition_noise=1, depth_noise=0.2), given=0.37) == 0.37


def test_no_depth_has_no_share():
    vectors, pieces, _ = make_sample(composition_noise=1, depth_noise=0.2)
    assert depth_share(vectors, pieces, None, given=0.5) == 0


@pytest.mark.parametrize("n_libraries", [1, 2, 5])
def test_few_halves_take_a_share_that_grows_with_libraries(n_libraries):
    vectors, pieces, profile = make_sample(composition_noise=1, depth_noise=0.2, n_libraries=n_libraries)
    few = Pieces(*(array[:199] for array in (pieces.rows, pieces.lengths, pieces.vectors)))
    assert depth_share(vectors, few, profile) == pytest.approx(0.55 * n_libraries / (n_libraries + 0.5))


def test_copies_of_one_contig_have_a_share():
    vectors, pieces, profile = make_sample(composition_noise=1, depth_noise=0.2)
    same = Pieces(pieces.rows, pieces.lengths, np.repeat(np.repeat(vectors[:1, None], 2, axis=1), len(vectors), axis=0))
    assert 0 <= depth_share(np.repeat(vectors[:1], len(vectors), axis=0), same, profile) <= 1

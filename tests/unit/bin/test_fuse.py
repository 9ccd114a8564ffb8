"""Depth joined to the embedding."""

import numpy as np
import pytest

from workflow_lib.bin.fuse import (
    DEFAULT_NOISE,
    LOG_OFFSET,
    READ_LENGTH,
    Depth,
    counting_variance,
    depth_features,
    depth_profile,
    fuse,
    fuse_pieces,
)
from workflow_lib.bin.metric import Pieces
from workflow_lib.embed.base import unit_rows
from workflow_lib.errors import InputError


def make_depth(mean, variance=None):
    mean = np.asarray(mean, dtype=float)
    names = [f"lib{i}" for i in range(mean.shape[1])]
    return Depth(names, mean, np.asarray(variance, dtype=float) if variance is not None else np.zeros_like(mean))


def vectors_of(n, dim=8, seed=0):
    return unit_rows(np.random.default_rng(seed).standard_normal((n, dim))).astype(np.float32)


@pytest.mark.parametrize(("n_libraries", "tolerance"), [(1, 0.02), (2, 0.15), (5, 0.2), (60, 0.2)])
def test_features_approximate_the_gaussian_kernel(n_libraries, tolerance):
    """One library is integrated by quantiles; random features with 128 frequencies err by about 1/sqrt(256)."""
    rng = np.random.default_rng(n_libraries)
    log = rng.normal(0, 0.8, (300, n_libraries))
    features = depth_features(log, 0.75)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    difference = ((log[:, None] - log[None]) ** 2).mean(axis=2)
    exact = np.exp(-difference / (2 * 0.75**2))
    error = np.abs(features @ features.T.copy() - exact)
    assert error.max() < tolerance if n_libraries == 1 else error.mean() < 0.05
    assert np.quantile(error, 0.999) < tolerance


def test_features_are_seeded():
    log = np.random.default_rng(0).normal(size=(20, 3))
    assert depth_features(log, 0.8, seed=4).tobytes() == depth_features(log, 0.8, seed=4).tobytes()
    assert depth_features(log, 0.8, seed=4).tobytes() != depth_features(log, 0.8, seed=5).tobytes()


def test_inner_product_is_the_weighted_sum():
    vectors, rng = vectors_of(50), np.random.default_rng(1)
    profile = depth_profile(make_depth(rng.lognormal(2, 1, (50, 3))), vectors, np.full(50, 5000))
    share = 0.55
    fused = fuse(vectors, profile, share)
    features = depth_features(profile.log, profile.bandwidth)
    expected = (1 - share) * vectors @ vectors.T.copy() + share * features @ features.T.copy()
    np.testing.assert_allclose(fused @ fused.T.copy(), expected, atol=1e-5)
    assert fused.dtype == np.float32
    assert fused.flags.c_contiguous


def test_weight_zero_and_no_depth_leave_composition_alone():
    vectors = vectors_of(10)
    profile = depth_profile(make_depth(np.arange(10.0)[:, None]), vectors, np.full(10, 5000))
    assert fuse(vectors, profile, 0) is vectors
    assert fuse(vectors, None, 0.5) is vectors


def test_libraries_that_tell_nothing_are_left_out(caplog):
    mean = np.random.default_rng(0).lognormal(1, 1, (30, 3))
    mean[:, 1] = 0
    profile = depth_profile(make_depth(mean), vectors_of(30), np.full(30, 5000))
    assert profile.libraries == ["lib0", "lib2"]
    assert "lib1 has the same depth" in caplog.text
    assert depth_profile(make_depth(np.zeros((30, 2))), vectors_of(30), np.full(30, 5000)) is None
    assert depth_profile(make_depth([[3.0]]), vectors_of(1), np.array([5000])) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_depth_not_available_becomes_the_median(bad, caplog):
    mean = np.random.default_rng(0).lognormal(1, 1, (31, 1))
    mean[4] = bad
    profile = depth_profile(make_depth(mean, np.full((31, 1), np.nan)), vectors_of(31), np.full(31, 5000))
    assert np.isfinite(profile.log).all()
    assert np.isfinite(profile.sampling).all()
    assert profile.log[4, 0] == np.median(np.delete(profile.log[:, 0], 4))
    assert "no depth for 1 contigs" in caplog.text


def test_zero_vector_stays_zero():
    vectors = vectors_of(20)
    vectors[5] = 0
    profile = depth_profile(make_depth(np.arange(20.0)[:, None]), vectors, np.full(20, 5000))
    fused = fuse(vectors, profile, 0.5)
    assert not fused[5].any()
    np.testing.assert_allclose(np.linalg.norm(np.delete(fused, 5, axis=0), axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("noise", [0.1, 0.25, 0.5])
def test_noise_is_found_from_composition(noise):
    """Genomes that composition tells apart: their spread of log depth is found within a fifth."""
    rng = np.random.default_rng(3)
    genome = rng.integers(20, size=2000)
    vectors = unit_rows(vectors_of(20, dim=40)[genome] + 0.3 / np.sqrt(40) * rng.standard_normal((2000, 40)))
    log_mean = rng.normal(3, 1, (20, 2))[genome] + noise * rng.standard_normal((2000, 2))
    profile = depth_profile(make_depth(np.exp(log_mean)), vectors.astype(np.float32), rng.integers(3000, 50000, 2000))
    np.testing.assert_allclose(profile.noise, noise, rtol=0.2)


def test_few_contigs_take_the_default_noise():
    profile = depth_profile(make_depth(np.arange(12.0)[:, None]), vectors_of(12), np.full(12, 5000))
    assert profile.noise.tolist() == [DEFAULT_NOISE]


def test_halves_get_noise_of_their_own_that_grows_with_variance():
    rng = np.random.default_rng(0)
    vectors = vectors_of(400)
    pieces = Pieces(np.arange(400), np.full(400, 3000), np.stack([vectors, vectors], axis=1))
    mean = rng.lognormal(2, 0.1, (400, 1))
    similarity = {}
    for variance in (0.0, 100.0):
        profile = depth_profile(make_depth(mean, np.full((400, 1), variance)), vectors, np.full(400, 6000))
        halves = fuse_pieces(pieces, profile, 0.5).vectors
        similarity[variance] = np.einsum("ij,ij->i", halves[:, 0], halves[:, 1]).mean()
    assert similarity[100.0] < similarity[0.0] < 0.9999


def test_shapes_must_fit():
    with pytest.raises(InputError, match="libraries"):
        Depth(["a"], np.zeros((3, 2)), np.zeros((3, 2)))


def test_counting_reads_makes_shallow_depths_uncertain():
    """The variance is that of the log depths of contigs on which reads of 150 bp fall at random."""
    rng = np.random.default_rng(1)
    for depth, length in ((0.3, 20_000), (2.0, 5000), (20.0, 5000)):
        drawn = rng.poisson(depth * length / READ_LENGTH, 20_000) * READ_LENGTH / length
        log = np.log(drawn + LOG_OFFSET)[:, None]
        expected = np.log(depth + LOG_OFFSET)
        found = counting_variance(np.array([[expected]]), np.array([length]))[0, 0]
        assert found == pytest.approx(log.var(), rel=0.2)
    nothing = counting_variance(np.array([[np.log(LOG_OFFSET)]]), np.array([5000]))[0, 0]
    assert nothing == pytest.approx((0.03 / 0.1) ** 2)  # one read on 5 kbp
    rounded = counting_variance(np.array([[np.log(LOG_OFFSET) - 1e-6]]), np.array([5000]))[0, 0]
    assert rounded == pytest.approx(nothing, rel=1e-4)

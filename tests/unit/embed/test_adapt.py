"""Adaptation to a sample without labels."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from workflow_lib.embed.adapt import adapt_axes, nearest, neighbour_means, smooth
from workflow_lib.embed.base import unit_rows

N_GENOMES, PER_GENOME, DIM = 10, 40, 64


def make_sample(seed=1, n=PER_GENOME):
    """Contigs of ten genomes that differ in 12 directions, under louder noise in 20 others; halves are noisier."""
    rng = np.random.default_rng(seed)
    genomes = np.zeros((N_GENOMES, DIM))
    genomes[:, :12] = 0.4 * rng.standard_normal((N_GENOMES, 12))
    noise = np.full(DIM, 0.15)
    noise[20:40] = 0.5
    labels = np.repeat(np.arange(N_GENOMES), n)

    def draw(scale):
        return unit_rows(genomes[labels] + scale * noise * rng.standard_normal((len(labels), DIM)) + 0.2)

    return draw(1.0), np.stack([draw(np.sqrt(2)), draw(np.sqrt(2))], axis=1), labels


def agreement(vectors, labels):
    clusters = KMeans(N_GENOMES, n_init=5, random_state=0).fit_predict(vectors)
    return adjusted_rand_score(labels, clusters)


def test_axes_bring_genomes_out_of_the_noise():
    vectors, halves, labels = make_sample()
    assert agreement(adapt_axes(vectors, halves), labels) > agreement(vectors, labels) + 0.5


def test_neighbours_draw_genomes_together():
    vectors, halves, labels = make_sample()
    same = labels[:, None] == labels
    axes = adapt_axes(vectors, halves)
    gaps = [(v @ v.T)[same].mean() - (v @ v.T)[~same].mean() for v in (axes, smooth(axes))]
    assert gaps[1] > gaps[0] + 0.1


def test_unit_rows_of_at_most_48_columns():
    vectors, halves, _ = make_sample()
    for adapted in (adapt_axes(vectors, halves), smooth(vectors)):
        assert adapted.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(adapted, axis=1), 1, atol=1e-6)
    assert adapt_axes(vectors, halves).shape == (len(vectors), 48)
    assert adapt_axes(vectors[:, :8], halves[:, :, :8]).shape == (len(vectors), 8)


def test_nearest_rows_are_the_most_similar_ones():
    vectors, _, _ = make_sample()
    rows = nearest(vectors, 5)
    similarity = vectors @ vectors.T
    for row, found in enumerate(rows):
        assert row in found
        assert similarity[row, found].min() == pytest.approx(np.sort(similarity[row])[-5], abs=1e-6)
    means = neighbour_means(vectors, rows)
    np.testing.assert_allclose(means[7], vectors[rows[7]].mean(axis=0), atol=1e-6)


def test_the_same_bytes_at_any_number_of_threads():
    vectors, halves, _ = make_sample()
    found = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.add(smooth(adapt_axes(vectors, halves)).tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("n", [0, 1, 20])
def test_too_few_contigs_stay_as_they_are(n):
    vectors, halves, _ = make_sample()
    assert np.array_equal(adapt_axes(vectors[:n], halves[:n]), vectors[:n])
    assert np.array_equal(smooth(vectors[:n]), vectors[:n])


def test_without_halves_the_axes_stay():
    vectors, halves, _ = make_sample()
    assert np.array_equal(adapt_axes(vectors, halves[:0]), vectors)


def test_identical_contigs_and_zeros():
    same = np.tile(unit_rows(np.ones((1, 16), dtype=np.float32)), (50, 1))
    adapted = smooth(adapt_axes(same, np.stack([same, same], axis=1)))
    assert np.isfinite(adapted).all()
    assert np.isfinite(smooth(np.zeros((50, 16), dtype=np.float32))).all()

"""Adaptation to a sample without labels."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from workflow_lib.bin import adapt as adapt_module
from workflow_lib.bin.adapt import adapt, nearest, neighbour_means, smooth
from workflow_lib.bin.metric import Pieces, unit_rows

N_GENOMES, PER_GENOME, DIM = 10, 40, 64


def make_sample(seed=1, n=PER_GENOME, draws=0):
    """Contigs of ten genomes that differ in 12 directions, under louder noise in 20 others; halves are noisier."""
    rng = np.random.default_rng(seed)
    genomes = np.zeros((N_GENOMES, DIM))
    genomes[:, :12] = 0.4 * rng.standard_normal((N_GENOMES, 12))
    noise = np.full(DIM, 0.15)
    noise[20:40] = 0.5
    labels = np.repeat(np.arange(N_GENOMES), n)

    rng = np.random.default_rng([seed, draws])  # the same genomes, other contigs

    def draw(scale):
        rows = genomes[labels] + scale * noise * rng.standard_normal((len(labels), DIM)) + 0.2
        return unit_rows(rows.astype(np.float32))

    halves = np.stack([draw(np.sqrt(2)), draw(np.sqrt(2))], axis=1)
    return draw(1.0), Pieces(np.arange(len(labels)), np.full(len(labels), 3000), halves), labels


def agreement(vectors, labels):
    clusters = KMeans(N_GENOMES, n_init=5, random_state=0).fit_predict(vectors)
    return adjusted_rand_score(labels, clusters)


def take(pieces, n):
    return Pieces(pieces.rows[:n], pieces.lengths[:n], pieces.vectors[:n])


def test_axes_bring_genomes_out_of_the_noise():
    vectors, pieces, labels = make_sample()
    assert agreement(adapt(vectors, pieces)[0], labels) > agreement(vectors, labels) + 0.5


def test_halves_are_in_a_space_that_they_did_not_teach():
    """So they are as alike as halves of other contigs of the sample, not more."""
    vectors, pieces, _ = make_sample()
    _, unseen, _ = make_sample(seed=1, draws=1)
    _, adapted = adapt(vectors, take(pieces, 80))
    everything = np.concatenate([vectors, unseen.vectors.reshape(-1, DIM)])
    others = adapt(everything, take(pieces, 80))[0][len(vectors) :].reshape(-1, 2, 48)

    def similarity(pairs):
        return np.einsum("ij,ij->i", pairs[:, 0], pairs[:, 1]).mean()

    assert similarity(adapted.vectors) == pytest.approx(similarity(others), abs=0.1)


def test_neighbours_draw_genomes_together():
    vectors, pieces, labels = make_sample()
    same = labels[:, None] == labels
    adapted, _ = adapt(vectors, pieces)
    gaps = [(v @ v.T)[same].mean() - (v @ v.T)[~same].mean() for v in (adapted, smooth(adapted))]
    assert gaps[1] > gaps[0] + 0.1


def test_unit_rows_of_at_most_48_columns_and_zeros_stay():
    vectors, pieces, _ = make_sample()
    vectors[5] = 0
    adapted, halves = adapt(vectors, pieces)
    assert adapted.dtype == halves.vectors.dtype == np.float32
    assert adapted.shape == (len(vectors), 48)
    assert halves.vectors.shape == (len(pieces), 2, 48)
    assert not adapted[5].any()
    np.testing.assert_allclose(np.linalg.norm(np.delete(adapted, 5, axis=0), axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(smooth(np.delete(vectors, 5, axis=0)), axis=1), 1, atol=1e-6)
    few = Pieces(pieces.rows, pieces.lengths, np.ascontiguousarray(pieces.vectors[:, :, :8]))
    assert adapt(np.ascontiguousarray(vectors[:, :8]), few)[0].shape == (len(vectors), 8)


def test_rows_of_zeros_stay_zero_and_are_nobodys_neighbours():
    """Fifteen vectors are alike, the others are against them: 0, of a row of zeros, would be more than that."""
    vectors, _, _ = make_sample(n=3)
    axis = np.zeros(DIM)
    axis[0] = 3
    vectors = unit_rows((vectors + np.where(np.arange(len(vectors)) < 15, 1, -1)[:, None] * axis).astype(np.float32))
    with_zeros = np.insert(vectors, [0, 4, 4, 30], 0, axis=0)
    empty = ~with_zeros.any(axis=1)
    smoothed = smooth(with_zeros)
    assert empty.sum() == 4
    assert not smoothed[empty].any()
    np.testing.assert_array_equal(smoothed[~empty], smooth(vectors))
    few = with_zeros[:22]  # no more than 20 of them with a vector
    assert smooth(few) is few


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
    vectors, pieces, _ = make_sample(n=150)  # more than a block
    found = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            adapted, halves = adapt(vectors, pieces)
            found.add(smooth(adapted).tobytes() + halves.vectors.tobytes())
    assert len(found) == 1


def test_a_large_sample_is_adapted_by_a_part_of_it(monkeypatch):
    vectors, pieces, labels = make_sample()
    monkeypatch.setattr("workflow_lib.bin.adapt._SAMPLE", 300)
    adapted, _ = adapt(vectors, pieces)
    assert len(adapted) == len(vectors)
    assert agreement(adapted, labels) > agreement(vectors, labels) + 0.5


@pytest.mark.parametrize("n", [0, 1, 20])
def test_too_few_contigs_stay_as_they_are(n):
    vectors, pieces, _ = make_sample()
    assert np.array_equal(adapt(vectors[:n], take(pieces, n))[0], vectors[:n])
    assert np.array_equal(smooth(vectors[:n]), vectors[:n])


def test_without_halves_the_axes_stay():
    vectors, pieces, _ = make_sample()
    assert adapt(vectors, take(pieces, 19))[0] is vectors


def test_identical_contigs_and_zeros():
    same = np.tile(unit_rows(np.ones((1, 16), dtype=np.float32)), (50, 1))
    adapted, _ = adapt(same, Pieces(np.arange(50), np.full(50, 3000), np.stack([same, same], axis=1)))
    assert np.isfinite(smooth(adapted)).all()
    assert np.isfinite(smooth(np.zeros((50, 16), dtype=np.float32))).all()


def test_neighbours_of_a_few_are_sought_among_all(monkeypatch):
    """A genome has too few contigs in a sample of the contigs to stand for it: a tenth of 40 here."""
    vectors, pieces, labels = make_sample()
    some = np.arange(3, len(vectors), 10)
    found = nearest(vectors, 5, some)
    assert np.array_equal(np.sort(found), np.sort(nearest(vectors, 5)[some]))
    monkeypatch.setattr(adapt_module, "_SAMPLE", len(some))
    assert agreement(adapt(vectors, pieces)[0], labels) > agreement(vectors, labels) + 0.5

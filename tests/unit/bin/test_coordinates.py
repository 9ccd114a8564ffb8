"""Few axes: inner products stay, within what is said to be lost."""

import numpy as np
import pytest

from workflow_lib.bin.coordinates import principal_coordinates
from workflow_lib.embed.base import unit_rows


def flat(n, rank, dim, *, seed=1):
    """Unit rows of a few dimensions, in many columns."""
    rng = np.random.default_rng(seed)
    return unit_rows(rng.standard_normal((n, rank)) @ np.linalg.qr(rng.standard_normal((dim, rank)))[0].T)


def turn(vectors, order=None):
    return principal_coordinates(vectors, np.arange(len(vectors)) if order is None else order, map_blocks=map)


def largest_error(vectors, coordinates):
    exact = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    rows = coordinates.rows.astype(np.float64)
    return np.abs(rows @ rows.T - exact).max()


@pytest.mark.parametrize(("n", "rank", "dim"), [(500, 5, 64), (9000, 20, 32), (3, 2, 40), (1, 1, 8)])
def test_products_are_those_of_the_vectors(n, rank, dim):
    vectors = flat(n, rank, dim)
    coordinates = turn(vectors)
    assert coordinates.rows.shape == (n, rank)
    assert coordinates.rows.dtype == np.float32
    assert largest_error(vectors[:500], turn(vectors[:500])) <= coordinates.lost < 3e-6
    assert np.allclose(coordinates.of(vectors[0]), coordinates.rows[0], atol=1e-6)


def test_rows_come_in_the_order_asked_for():
    vectors = flat(300, 6, 48)
    order = np.random.default_rng(2).permutation(300)[:100]
    assert np.array_equal(turn(vectors, order).rows, turn(vectors).rows[order])


def test_rows_of_full_rank_stay_as_they_are():
    vectors = flat(400, 30, 32)
    order = np.arange(400)[::-1]
    coordinates = turn(vectors, order)
    assert coordinates.lost == 0
    assert np.array_equal(coordinates.rows, vectors[order])
    assert np.array_equal(coordinates.of(vectors[0]), vectors[0])


def test_one_row_unlike_all_others_counts():
    """The sample that axes are found from need not hold it; its share off the axes is measured over all rows."""
    vectors = flat(30_001, 4, 64)
    vectors[20_001] = unit_rows(np.random.default_rng(5).standard_normal((1, 64)))
    coordinates = turn(vectors)
    assert largest_error(vectors[19_980:20_020], turn(vectors, np.arange(19_980, 20_020))) <= coordinates.lost < 3e-6


def test_what_is_off_the_axes_is_told():
    vectors = flat(2000, 5, 64) + np.float32(9e-5) * np.random.default_rng(3).standard_normal((2000, 64))
    vectors = vectors.astype(np.float32)
    coordinates = turn(vectors)
    assert coordinates.rows.shape[1] < 48
    assert largest_error(vectors, coordinates) <= coordinates.lost


def test_zeros():
    coordinates = turn(np.zeros((20, 16), dtype=np.float32))
    assert not coordinates.rows.any()
    assert coordinates.lost == 0

"""Kept pairs in one pass: the sums of NumPy in float64, whatever rounding did to the products that choose them."""

import numpy as np
import pytest

from workflow_lib.bin.kept_pairs import add_kept, drop_misses, drop_unsure_misses, find_near, sum_both_ways
from workflow_lib.bin.similarity import ThresholdedSimilarity
from workflow_lib.embed.base import unit_rows


@pytest.fixture
def points():
    return unit_rows(np.random.default_rng(1).standard_normal((300, 6)))


def bounds(threshold):
    return ThresholdedSimilarity(threshold, largest_norm=1.0, dim=6, map_blocks=map).bounds()


@pytest.mark.parametrize("threshold", [0.0001, 0.5, 0.95, 2.0])
def test_sums_are_those_of_numpy(points, threshold):
    rows, columns = np.arange(0, 90), np.arange(50, 300)
    products = points[rows] @ points[columns].T
    of_rows, of_columns = np.ones(len(rows)), np.zeros(len(columns))
    coordinates = points[rows], points[columns]
    add_kept(products, bounds(threshold), coordinates, points, (rows, columns), (of_rows, of_columns))
    exact = points[rows].astype(np.float64) @ points[columns].astype(np.float64).T
    kept = np.where(exact >= np.float32(threshold), exact, 0)
    assert np.allclose(of_rows, 1 + kept.sum(axis=1), rtol=0, atol=1e-12)  # order of a float64 sum
    assert np.allclose(of_columns, kept.sum(axis=0), rtol=0, atol=1e-12)


def test_float64_decides_near_the_threshold(points):
    """Products that are wrong by less than rounding may do: every pair with itself, at a threshold of 1."""
    squares = np.einsum("ij,ij->i", points, points, dtype=np.float64)
    assert 0 < np.count_nonzero(squares >= 1) < len(points)
    rows = np.arange(len(points))
    for error in (-1e-7, 0, 1e-7):
        kept = np.zeros(len(points))
        for i in rows:
            one, point = rows[i : i + 1], points[i : i + 1]
            product = np.full((1, 1), squares[i] + error, dtype=np.float32)
            add_kept(product, bounds(1.0), (point, point), points, (one, one), (kept[i : i + 1], np.zeros(1)))
        assert np.array_equal(kept > 0, squares >= 1)
    zero, one = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)
    near = [find_near(points[[i]], points[i], zero, one, bounds(1.0), points[[i]], zero, points[i]) for i in rows]
    assert np.array_equal([len(found) == 1 for found in near], squares >= 1)


@pytest.mark.parametrize("threshold", [-0.2, 0.3, 0.8, 1.0])
def test_near_points_of_spans(points, threshold):
    order = np.random.default_rng(2).permutation(len(points))
    starts, ends = np.array([0, 40, 40, 200]), np.array([30, 40, 90, 300])
    places = np.concatenate([np.arange(*span) for span in zip(starts, ends, strict=True)])
    found = find_near(points[order], points[5], starts, ends, bounds(threshold), points, order, points[5])
    exact = points[order[places]].astype(np.float64) @ points[5].astype(np.float64)
    assert np.array_equal(found, places[exact >= np.float32(threshold)])
    none = np.zeros(0, dtype=np.int64)
    assert not len(find_near(points[order], points[5], none, none, bounds(threshold), points, order, points[5]))


@pytest.mark.parametrize("threshold", [-0.2, 0.3, 0.95, 2.0])
def test_misses_are_dropped(points, threshold):
    """Also where the products, wrong by up to 1e-3, do not tell them."""
    exact = points.astype(np.float64) @ points[:90].T.astype(np.float64)
    unsure = np.abs(exact - threshold) < 1e-3
    products = np.where(unsure, threshold, exact).astype(np.float32)
    low, high = np.float32(threshold - 1e-3), np.float32(threshold + 1e-3)
    found = drop_misses(products, low, high)
    assert np.array_equal(found, unsure.sum(axis=1))
    drop_unsure_misses(products, np.flatnonzero(found), (low, high, threshold), points, points[:90])
    np.testing.assert_allclose(products, np.where(exact >= threshold, exact, 0), rtol=0, atol=1.001e-3)
    assert np.array_equal(products == 0, exact < threshold)


def test_sums_of_rows_and_columns(points):
    of_rows, of_columns = sum_both_ways(points)
    np.testing.assert_allclose(of_rows, points.sum(axis=1, dtype=np.float64), rtol=0, atol=1e-13)
    np.testing.assert_allclose(of_columns, points.sum(axis=0, dtype=np.float64), rtol=0, atol=1e-13)
    assert of_rows.dtype == of_columns.dtype == np.float64

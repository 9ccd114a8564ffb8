import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from workflow_lib.report.embedding_map import GRID, choose_rows, project


def unit_rows(rng, n, d):
    vectors = rng.normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_chosen_rows_are_unique_and_a_prefix():
    few = choose_rows(50, 10, always=[7, 3, 7], seed=2)
    many = choose_rows(50, 500, always=[7, 3, 7], seed=2)
    assert few.tolist()[:2] == [7, 3]
    assert many[:10].tolist() == few.tolist()
    assert sorted(many) == list(range(50))
    assert choose_rows(0, 10).tolist() == []
    assert choose_rows(5, 2, always=[4, 3, 2]).tolist() == [4, 3]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 11])
@pytest.mark.parametrize("d", [1, 2, 8])
def test_few_points_are_drawn_by_pca(n, d):
    points, method = project(unit_rows(np.random.default_rng(0), n, d))
    assert method == "PCA"
    assert points.shape == (n, 2)
    assert points.dtype == np.int64
    assert ((points >= 0) & (points <= GRID)).all()


@pytest.mark.parametrize("vectors", [np.ones((40, 5)), np.zeros((40, 5)), np.zeros((3, 5))])
def test_identical_vectors_lie_on_one_point(vectors):
    points, method = project(vectors.astype(np.float32))
    assert method == "PCA"
    assert (points == GRID // 2).all()


def test_pca_keeps_distances_of_points_in_a_plane():
    """Oracle: two dimensions need no projection, so distances are kept up to one scale and rounding to the grid."""
    plane = np.random.default_rng(3).normal(size=(9, 2))
    vectors = np.hstack([plane, np.zeros((9, 4))]).astype(np.float32)
    points, _ = project(vectors)
    found = np.linalg.norm(points[:, None] - points[None], axis=2)
    expected = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    scale = found.max() / expected.max()
    assert np.allclose(found, expected * scale, atol=3)  # grid units; each end is rounded by at most 0.5 on both axes


def test_clusters_stay_together_and_apart():
    rng = np.random.default_rng(1)
    centres = unit_rows(rng, 4, 20)
    labels = np.repeat(np.arange(4), 25)
    vectors = (centres[labels] + 0.05 * rng.normal(size=(100, 20))).astype(np.float32)
    points, method = project(vectors, seed=1)
    assert method == "t-SNE"
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).all()


def test_map_is_the_same_at_any_number_of_threads():
    vectors = unit_rows(np.random.default_rng(5), 150, 12)
    maps = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            maps.append(project(vectors, seed=4)[0])
    assert (maps[0] == maps[1]).all()


def test_some_identical_vectors_among_others():
    rng = np.random.default_rng(2)
    vectors = np.vstack(
        [np.repeat(unit_rows(rng, 1, 6), 40, axis=0), unit_rows(rng, 10, 6), np.zeros((3, 6), np.float32)]
    )
    points, _ = project(vectors)
    assert points.shape == (53, 2)

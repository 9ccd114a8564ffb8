"""K-medoid: against an n x n reference, the published oracles, and in every corner."""

import numpy as np
import pytest

from workflow_lib.bin import kmedoid
from workflow_lib.bin import similarity as blocks
from workflow_lib.errors import InputError


def partition(labels):
    """Bins as sets of points; numbering does not count."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels) if label >= 0}


def reference(points, threshold, *, min_bin_size=10, max_steps=1000, iterations=3):
    """Algorithm 1 with all pairs in float64 and every density kept, struck ones too; slow on purpose."""
    points = points.astype(np.float64)
    threshold = float(np.float32(threshold))
    kept = points @ points.T
    kept[kept < threshold] = 0.0
    density = kept.sum(axis=1)
    step_of = np.zeros(len(points), dtype=int)
    for step in range(1, max_steps + 1):
        if step_of.all():
            break
        seed = int(np.flatnonzero(density >= density.max() - 1e-5)[0])
        density[seed] = -100
        medoid, members = points[seed], np.array([], dtype=int)
        for _ in range(iterations):
            members = np.flatnonzero((points @ medoid >= threshold) & (step_of == 0))
            if len(members) == 0:
                break
            medoid = points[members].mean(axis=0).astype(np.float32).astype(np.float64)
        step_of[members] = step
        density -= kept[:, members].sum(axis=1)
        density[members] = -100
    for step in range(1, max_steps + 1):
        if np.count_nonzero(step_of == step) < min_bin_size:
            step_of[step_of == step] = 0
    return step_of - 1


def unit(points):
    return (points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def clustered(rng, n, dim, *, n_clusters, spread, noise=0.2):
    centres = unit(rng.standard_normal((n_clusters, dim)))
    points = centres[rng.integers(n_clusters, size=n)] + spread / np.sqrt(dim) * rng.standard_normal((n, dim))
    stray = rng.random(n) < noise
    points[stray] = rng.standard_normal((np.count_nonzero(stray), dim))
    return unit(points)


CASES = [
    (seed, dim, spread, threshold, size)
    for seed, (dim, spread) in enumerate([(3, 0.5), (8, 0.8), (24, 0.7), (24, 1.2), (64, 1.0)])
    for threshold in (0.2, 0.5, 0.7, 0.9)
    for size in (1, 5)
]


@pytest.mark.parametrize(("seed", "dim", "spread", "threshold", "size"), CASES)
def test_same_partition_as_the_slow_reference(seed, dim, spread, threshold, size):
    points = clustered(np.random.default_rng(seed), 400, dim, n_clusters=12, spread=spread)
    found = kmedoid(points, threshold, min_bin_size=size)
    assert partition(found) == partition(reference(points, threshold, min_bin_size=size))


@pytest.mark.parametrize("seed", range(60))
def test_seeds_that_lose_themselves(seed):
    """In few dimensions medoids wander off, so that seeds stay behind, struck but unlabelled."""
    rng = np.random.default_rng(1000 + seed)
    points = unit(rng.standard_normal((150, int(rng.integers(2, 5)))))
    threshold = rng.uniform(0.02, 0.6)
    iterations = int(rng.integers(1, 7))
    found = kmedoid(points, threshold, min_bin_size=1, iterations=iterations)
    assert partition(found) == partition(reference(points, threshold, min_bin_size=1, iterations=iterations))


@pytest.mark.parametrize("threshold", [0.0, -0.05, -0.3, -0.9, -1.0, -2.0])
@pytest.mark.parametrize("seed", range(4))
def test_thresholds_that_let_negative_similarities_count(threshold, seed):
    points = unit(np.random.default_rng(seed).standard_normal((150, 5)))
    found = kmedoid(points, threshold, min_bin_size=1, max_steps=60)
    assert partition(found) == partition(reference(points, threshold, min_bin_size=1, max_steps=60))


@pytest.mark.parametrize("max_steps", [0, 1, 2, 5, 17])
@pytest.mark.parametrize("seed", range(4))
def test_stops_at_max_steps(max_steps, seed):
    points = clustered(np.random.default_rng(seed), 300, 12, n_clusters=25, spread=0.8)
    found = kmedoid(points, 0.6, min_bin_size=2, max_steps=max_steps)
    assert partition(found) == partition(reference(points, 0.6, min_bin_size=2, max_steps=max_steps))
    assert len(partition(found)) <= max_steps


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_are_not_unit(seed):
    rng = np.random.default_rng(seed)
    points = (clustered(rng, 200, 6, n_clusters=6, spread=0.6) * rng.uniform(0.2, 3, (200, 1))).astype(np.float32)
    found = kmedoid(points, 0.7, min_bin_size=1)
    assert partition(found) == partition(reference(points, 0.7, min_bin_size=1))


def test_above_every_similarity_nothing_is_binned():
    points = clustered(np.random.default_rng(0), 50, 8, n_clusters=3, spread=0.3)
    assert (kmedoid(points, 1.5, min_bin_size=1) == -1).all()
    assert (kmedoid(points, np.inf, min_bin_size=1) == -1).all()


def test_identical_points_are_one_bin():
    points = np.tile(unit(np.ones((1, 33))), (1000, 1))
    assert (kmedoid(points, 0.9) == 0).all()


@pytest.mark.parametrize("copies", [2, 300])
def test_copies_share_a_bin_even_at_their_own_similarity(copies):
    """At a threshold equal to |x|^2 rounding could part copies; decisions near the threshold are made in float64."""
    points = unit(np.random.default_rng(5).standard_normal((7, 31)))
    threshold = float(np.einsum("ij,ij->i", points.astype(np.float64), points).min()) - 1e-9
    found = kmedoid(np.repeat(points, copies, axis=0), np.float32(threshold) - 1e-7, min_bin_size=1)
    assert all(len(set(found[i * copies : (i + 1) * copies])) == 1 for i in range(7))


def test_zero_vectors_stay_unbinned():
    points = clustered(np.random.default_rng(0), 60, 8, n_clusters=2, spread=0.3, noise=0)
    points[::3] = 0
    found = kmedoid(points, 0.5, min_bin_size=1)
    assert (found[::3] == -1).all()
    assert (np.delete(found, np.s_[::3]) >= 0).all()
    assert (kmedoid(np.zeros((5, 4), dtype=np.float32), 0.5, min_bin_size=1) == -1).all()


def test_no_point_and_one_point():
    assert kmedoid(np.zeros((0, 4), dtype=np.float32), 0.5).shape == (0,)
    one = unit(np.ones((1, 4)))
    assert kmedoid(one, 0.5).tolist() == [-1]
    assert kmedoid(one, 0.5, min_bin_size=1).tolist() == [0]
    assert kmedoid(one, 0.5).dtype == np.int64


def test_labels_are_numbered_from_the_first_bin_found():
    points = clustered(np.random.default_rng(2), 300, 16, n_clusters=4, spread=0.4)
    found = kmedoid(points, 0.6, min_bin_size=5)
    assert set(found[found >= 0]) == set(range(found.max() + 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_what_is_not_finite(bad):
    points = np.ones((5, 3), dtype=np.float32)
    points[3, 1] = bad
    with pytest.raises(InputError, match="row 3"):
        kmedoid(points, 0.5)


def test_refuses_other_nonsense():
    points = np.ones((5, 3), dtype=np.float32)
    with pytest.raises(InputError, match="NaN"):
        kmedoid(points, np.nan)
    with pytest.raises(InputError, match="matrix"):
        kmedoid(points[0], 0.5)
    with pytest.raises(InputError, match="iterations"):
        kmedoid(points, 0.5, iterations=0)


def test_input_is_not_changed_and_may_be_any_float():
    points = clustered(np.random.default_rng(3), 200, 10, n_clusters=5, spread=0.5)
    before = points.copy()
    expected = kmedoid(points, 0.6)
    assert (points == before).all()
    assert (kmedoid(np.asfortranarray(points.astype(np.float64)), 0.6) == expected).all()


@pytest.fixture(scope="module")
def many():
    """Clusters, strays, copies and zeros: ties wherever ties can be."""
    points = clustered(np.random.default_rng(7), 1700, 40, n_clusters=30, spread=0.8)
    points[100:160] = points[100]
    points[500:510] = 0
    return points


def test_same_labels_at_any_number_of_threads(many):
    from threadpoolctl import threadpool_limits

    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, "blas"):
            found.append(kmedoid(many, 0.6, min_bin_size=3))
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


@pytest.mark.parametrize("rows", [16, 100, 777, 4096])
def test_same_labels_at_any_block_size(many, rows, monkeypatch):
    expected = kmedoid(many, 0.6, min_bin_size=1)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", rows)
    monkeypatch.setattr(blocks, "_VECTOR_ROWS", rows)
    assert (kmedoid(many, 0.6, min_bin_size=1) == expected).all()


def test_order_of_the_points_does_not_change_the_bins(many):
    order = np.random.default_rng(1).permutation(len(many))
    shuffled = np.empty(len(many), dtype=np.int64)
    shuffled[order] = kmedoid(many[order], 0.6, min_bin_size=3)
    assert partition(shuffled) == partition(kmedoid(many, 0.6, min_bin_size=3))


def test_memory_is_bounded():
    """No n x n array: 6,000 points would need 144 MB for one; blocks and the working copy need a tenth."""
    import tracemalloc

    points = clustered(np.random.default_rng(0), 6000, 16, n_clusters=40, spread=0.5)
    tracemalloc.start()
    try:
        kmedoid(points, 0.6)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.shared
def test_same_partition_as_the_published_code(shared):
    paths = sorted((shared / "oracles").glob("kmedoid_*.npz"))
    assert paths
    for path in paths:
        oracle = np.load(path)
        found = kmedoid(
            oracle["features"],
            float(oracle["min_similarity"]),
            min_bin_size=int(oracle["min_bin_size"]),
            max_steps=int(oracle["max_iter"]),
        )
        assert partition(found) == partition(oracle["labels"]), path.name

"""The product on a device: the same decisions as on the CPU. PyTorch's own CPU stands for a GPU where there is none."""

import numpy as np
import pytest

from workflow_lib.bin import torch_similarity
from workflow_lib.bin.kmedoid import Search, drop_small_bins, kmedoid
from workflow_lib.bin.similarity import ThresholdedSimilarity
from workflow_lib.bin.torch_similarity import TorchSimilarity
from workflow_lib.embed.base import unit_rows
from workflow_lib.errors import InputError

THRESHOLD = 0.6


@pytest.fixture(scope="module")
def points():
    """Clusters, strays, copies and zeros."""
    rng = np.random.default_rng(7)
    centres = unit_rows(rng.standard_normal((30, 40)))
    rows = centres[rng.integers(30, size=1700)] + 0.8 / np.sqrt(40) * rng.standard_normal((1700, 40))
    rows[100:160] = rows[100]
    rows[500:510] = 0
    return unit_rows(rows)


def make_pair(points, threshold=THRESHOLD, device="cpu"):
    options = {"largest_norm": 1.0, "dim": points.shape[1], "map_blocks": map}
    return ThresholdedSimilarity(threshold, **options), TorchSimilarity(threshold, **options, device=device)


def check_same(points, device):
    threshold = float(points[0].astype(np.float64) @ points[100])  # a pair that lies on it, and 60 copies of it
    for value in (THRESHOLD, threshold):
        ours, theirs = make_pair(points, value, device)
        for expected, found in zip(ours.density(points), theirs.density(points), strict=True):
            np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-5)  # as far as densities are ties
        members = points[90:200]
        np.testing.assert_allclose(theirs.sums_to(points, members), ours.sums_to(points, members), rtol=2e-7, atol=1e-5)
        assert np.array_equal(theirs.near(points, points[100]), ours.near(points, points[100]))


def search(points, similarity):
    found = Search(points, similarity, 3)
    while found.n_unlabelled and found.step():
        pass
    return drop_small_bins(found.labels, 1)


@pytest.mark.parametrize("size", [16_384, 100])
def test_products_and_decisions_are_those_of_the_cpu(points, size, monkeypatch):
    monkeypatch.setattr(torch_similarity, "_COLUMNS", size)
    monkeypatch.setattr(torch_similarity, "_ROWS", size)
    monkeypatch.setattr(torch_similarity, "_UNSURE", 50)
    check_same(points, "cpu")


def test_labels_are_those_of_the_cpu(points):
    ours, theirs = (search(points, similarity) for similarity in make_pair(points))
    assert np.array_equal(ours, theirs)


def test_no_rows():
    _, theirs = make_pair(np.zeros((1, 4), dtype=np.float32))
    none = np.zeros((0, 4), dtype=np.float32)
    assert [part.shape for part in theirs.density(none)] == [(0,), (0,)]
    assert theirs.near(none, np.ones(4, dtype=np.float32)).shape == (0,)


def test_a_device_that_is_not_there_is_refused(points):
    with pytest.raises(InputError, match=r"bin\.device"):
        kmedoid(points, THRESHOLD, device="cuda:99")


@pytest.mark.gpu
def test_products_and_labels_on_a_gpu(points):
    check_same(points, "cuda")
    assert np.array_equal(kmedoid(points, THRESHOLD, device="cuda"), kmedoid(points, THRESHOLD))

"""The k largest similarities, block by block."""

import numpy as np
import pytest

from workflow_lib.index.topk import sort_nearest, update_nearest


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("width", [1, 7, 50])
def test_blocks_give_what_a_sort_of_all_gives(k, width):
    """Few values, so that many tie: the earlier row is the nearer one."""
    similarities = np.random.default_rng(k).integers(0, 6, (5, 50)).astype(np.float32)
    best, rows = np.full((5, k), -np.inf, dtype=np.float32), np.full((5, k), -1, dtype=np.int64)
    for first in range(0, 50, width):
        update_nearest(similarities[:, first : first + width], first, best, rows)
    found, owners = sort_nearest(best, rows)
    expected = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    assert np.array_equal(owners, expected)
    assert np.array_equal(found, np.take_along_axis(similarities, expected, axis=1))


def test_fewer_windows_than_neighbours_leave_places_empty():
    best, rows = np.full((1, 4), -np.inf, dtype=np.float32), np.full((1, 4), -1, dtype=np.int64)
    update_nearest(np.array([[0.5, 0.9]], dtype=np.float32), 0, best, rows)
    found, owners = sort_nearest(best, rows)
    assert owners[0, :2].tolist() == [1, 0]
    assert np.isneginf(found[0, 2:]).all()

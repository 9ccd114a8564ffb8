import numpy as np
import pytest

from workflow_lib.index.approximate import sort_ties
from workflow_lib.index.genome_search import nearest_for_each, nearest_of_genomes

N_GENOMES, WINDOWS = 90, 40


def test_several_choices_of_genomes_share_their_searches():
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(N_GENOMES), WINDOWS)
    rows = rng.standard_normal((len(codes), 8)).astype(np.float32)
    queries, asked = rng.standard_normal((300, 8)).astype(np.float32), []

    def search(vectors, k):
        asked.append((len(vectors), k))
        distances = np.linalg.norm(vectors[:, None] - rows[None], axis=2)
        order = distances.argsort(axis=1, kind="stable")[:, :k]
        return np.take_along_axis(distances, order, axis=1), order

    wanted = [rng.random(N_GENOMES) < share for share in (1, 0.9, 0.5)] * 2
    wanted[3:] = [wanted[2]] * 3
    alone = [
        np.concatenate([block for _, block in nearest_of_genomes(search, queries, codes, one, 49)]) for one in wanted
    ]
    apart, asked[:] = list(asked), []
    together = list(nearest_for_each(search, queries, codes, wanted, N_GENOMES, 49))
    assert [found.tobytes() for found in together] == [found.tobytes() for found in alone]
    assert asked.count((256, 128)) == asked.count((44, 128)) == 1  # the first look is one for all
    assert len(asked) < 0.6 * len(apart)


@pytest.mark.parametrize("k", [1, 30])
def test_it_looks_until_the_nearest_genomes_and_fifteen_more_are_found(k):
    """Windows lie in order of their rows, so those of a genome together; the first ten genomes are left out."""
    codes = np.repeat(np.arange(N_GENOMES), WINDOWS)
    asked = []

    def search(vectors, n_windows):
        asked.append(n_windows)
        rows = np.tile(np.arange(n_windows), (len(vectors), 1))
        return (rows / 1e4).astype(np.float32), rows

    wanted = np.arange(N_GENOMES) >= 10
    ((_, distances),) = nearest_of_genomes(search, np.zeros((2, 8), np.float32), codes, wanted, k)
    assert np.isfinite(distances[:, wanted]).sum(axis=1).min() >= k + 15
    assert asked == [128, 512, 2048, *([3600] if k == 30 else [])]
    assert np.array_equal(distances[0, :16], (np.arange(16) * WINDOWS / 1e4).astype(np.float32))


def test_no_queries_have_distances_of_no_rows():
    codes, wanted = np.zeros(3, dtype=np.int32), [np.ones(1, dtype=bool)]
    (found,) = nearest_for_each(lambda vectors, k: None, np.zeros((0, 8), dtype=np.float32), codes, wanted, 1, 1)
    assert found.shape == (0, 1)


def test_neighbours_at_one_distance_are_ordered_by_row():
    rng = np.random.default_rng(1)
    distances = np.sort(rng.random((20, 500)).astype(np.float32).round(2), axis=1)
    rows = np.array([rng.permutation(500) for _ in distances])
    distances[0, 100:], rows[0, 100:] = np.inf, -1
    distances[1, :5] = -0.0
    order = np.lexsort((np.where(rows < 0, 500, rows), distances), axis=1)
    found = sort_ties(distances, rows)
    assert found[0].dtype == np.float32
    assert found[1].dtype == np.int64
    assert np.array_equal(found[0], np.take_along_axis(distances, order, axis=1))
    assert np.array_equal(found[1], np.take_along_axis(rows, order, axis=1))

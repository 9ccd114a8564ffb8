"""Contigs by bin: the same as a look at all contigs for every bin."""

import numpy as np
import pytest

from workflow_lib.bin.groups import rows_of_bins, weighted_sums


def test_rows_and_sums_are_those_of_a_slow_search():
    rng = np.random.default_rng(1)
    labels = rng.integers(-1, 9, 500)
    labels[labels == 4] = -1  # an empty bin among others
    vectors, weights = rng.standard_normal((500, 70)).astype(np.float32), rng.random(500)
    groups = rows_of_bins(labels, 11)
    sums, total = weighted_sums(vectors, labels, weights)
    assert len(groups) == 11
    for label, rows in enumerate(groups):
        assert np.array_equal(rows, np.flatnonzero(labels == label))
        if label < 9:
            expected = (weights[rows, None] * vectors[rows].astype(np.float64)).sum(axis=0)
            np.testing.assert_allclose(sums[label], expected, atol=1e-12)
            assert total[label] == pytest.approx(weights[rows].sum())


@pytest.mark.parametrize("labels", [np.zeros(0, dtype=np.int64), np.full(3, -1)])
def test_no_contig_and_no_bin(labels):
    assert rows_of_bins(labels) == []
    sums, total = weighted_sums(np.ones((len(labels), 4), dtype=np.float32), labels, np.ones(len(labels)))
    assert sums.shape == (0, 4)
    assert total.shape == (0,)

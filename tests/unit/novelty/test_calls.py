"""From q-values to a call, and the reasons for none."""

import numpy as np
import pytest

from workflow_lib.novelty.calls import decide
from workflow_lib.novelty.design import TESTS


def make(**values):
    """One query's p-values and unit counts (100 for a test made); with one query q equals p."""
    p = np.full((1, len(TESTS)), np.nan)
    for test, value in values.items():
        p[0, TESTS.index(test)] = value
    return decide(p, np.where(np.isnan(p), 7, 100), alpha=0.1)


@pytest.mark.parametrize(
    ("values", "call", "rank"),
    [
        ({"species": 0.01, "genus": 0.01, "phylum": 0.5, "reference": 0.01}, "novel_genus", "genus"),
        ({"species": 0.01, "genus": 0.02, "phylum": 0.1}, "novel_phylum", "phylum"),
        ({"species": 0.01, "phylum": 0.05}, "novel_phylum", "phylum"),
        ({"genus": 0.01, "known": 0.9}, "novel_genus", "genus"),
        ({"species": 0.4, "genus": 0.01, "known": 0.3}, "ambiguous", "species"),
        ({"species": 0.4, "known": 0.05, "reference": 0.01}, "known", "known"),
        ({"species": 0.05, "known": 0.05}, "ambiguous", "species"),
        ({"species": 0.4, "reference": 0.01}, "ambiguous", "species"),
        ({"reference": 0.01}, "novel", "reference"),
        ({"reference": 0.2}, "ambiguous", "reference"),
        ({}, "abstain", ""),
    ],
)
def test_the_call(values, call, rank):
    calls = make(**values)
    assert (calls.call, calls.call_rank) == ([call], [rank])
    assert calls.n_cal.tolist() == [100 if rank else 7]
    assert calls.conflict.tolist() == [values == {"species": 0.05, "known": 0.05}]


@pytest.mark.parametrize(
    ("p", "call", "n_cal"),
    [
        ({"species": 0.01, "genus": 0.02}, "novel_genus", 200),
        ({"species": 0.4, "genus": 0.01}, "ambiguous", 30),
        ({"species": 0.05, "genus": 0.02, "known": 0.05}, "ambiguous", 200),
        ({"species": 0.4, "known": 0.05}, "known", 90),
        ({}, "abstain", 200),
    ],
)
def test_units_are_those_of_the_test_behind_the_call(p, call, n_cal):
    """Of an ambiguous query, too: so many units are why its p could fall no lower."""
    row, units = np.full((1, len(TESTS)), np.nan), np.zeros((1, len(TESTS)), dtype=np.int64)
    for test, own in {"species": 30, "genus": 200, "known": 90}.items():
        row[0, TESTS.index(test)], units[0, TESTS.index(test)] = p.get(test, np.nan), own
    calls = decide(row, units, alpha=0.1)
    assert (calls.call, calls.n_cal.tolist()) == ([call], [n_cal])


def test_a_rank_is_never_called_above_one_that_stands():
    rng = np.random.default_rng(1)
    p = rng.uniform(size=(300, len(TESTS))) ** 4
    p[rng.random(p.shape) < 0.2] = np.nan
    calls = decide(p, np.full(p.shape, 50), alpha=0.2)
    ranks = [TESTS.index(rank) for rank in ("species", "genus", "family", "order", "class", "phylum")]
    for row, call in zip(calls.q, calls.call, strict=True):
        if call.startswith("novel_"):
            deepest = TESTS.index(call.removeprefix("novel_"))
            below = [column for column in ranks[: ranks.index(deepest) + 1] if np.isfinite(row[column])]
            assert (row[below] <= 0.2).all()


def test_no_queries():
    calls = decide(np.zeros((0, len(TESTS))), np.zeros((0, len(TESTS)), dtype=np.int64), alpha=0.1)
    assert calls.call == []
    assert calls.q.shape == (0, len(TESTS))


def test_a_rank_is_not_called_above_one_that_is_nearer_than_half():
    """The p-value of a rank is at least that of the rank below."""
    p = np.full((50, len(TESTS)), np.nan)
    p[:, TESTS.index("species")] = [0.01] * 49 + [0.6]
    p[:, TESTS.index("genus")] = 0.01
    likelihoods = np.tile([0, 0.01, 0.01, np.nan, np.nan, np.nan, np.nan, 0.98], (50, 1))
    units = np.full((50, 7), 100)
    calls = decide(p, np.where(np.isnan(p), 0, 100), alpha=0.1, classes=(likelihoods, units))
    assert set(calls.call[:49]) == {"novel_genus"}
    assert calls.call[49] == "ambiguous"
    assert calls.q[49, TESTS.index("genus")] == 1

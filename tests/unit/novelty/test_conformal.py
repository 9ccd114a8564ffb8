"""p-values that hold for groups of dependent scores, and the false discovery rate."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from workflow_lib.novelty.conformal import Calibration, benjamini_hochberg, monotone_over_ranks


def test_single_scores_give_the_textbook_p_value():
    scores = np.array([0.1, 0.4, 0.2, 0.3])
    one = Calibration(scores, np.arange(4))
    assert one.n_units == 4
    assert one.smallest_p == 1 / 5
    queries = np.array([0.05, 0.1, 0.25, 0.4, 0.5])
    assert one.p_large(queries) == pytest.approx([(1 + (scores >= s).sum()) / 5 for s in queries])
    assert one.p_small(queries) == pytest.approx([(1 + (scores <= s).sum()) / 5 for s in queries])


def test_a_unit_counts_once_however_many_scores_it_has():
    few = Calibration(np.array([1.0, 2.0]), np.array([0, 1]))
    many = Calibration(np.array([1.0] * 50 + [2.0]), np.array([0] * 50 + [1]))
    queries = np.array([0.5, 1.0, 1.5, 2.0, 3.0])
    assert many.p_large(queries) == pytest.approx(few.p_large(queries))
    assert many.n_units == 2


def test_scores_that_are_missing_or_of_no_unit_do_not_count():
    one = Calibration(np.array([1.0, np.nan, 3.0, 2.0]), np.array([0, 1, -1, 2]))
    assert one.n_units == 2
    assert one.p_large(np.array([2.5])) == pytest.approx(1 / 3)


def test_scores_of_what_found_nothing_make_no_p_smaller():
    """Left out, they would make p too small: a reference of which lists stand empty has more of them than queries."""
    one = Calibration(np.array([1.0, np.inf, 3.0, np.inf, np.nan]), np.arange(5))
    assert one.n_units == 4
    assert one.p_large(np.array([2.0, 9.0])) == pytest.approx([4 / 5, 3 / 5])
    assert one.p_small(np.array([0.5, 2.0, 9.0])) == pytest.approx([3 / 5, 4 / 5, 1])
    assert one.spread_over(np.array([2.0])).tolist() == pytest.approx([1.5 / 5, 3.5 / 5])
    assert one.quantiles(np.array([0.0, 1.0])).tolist() == [1.0, np.inf]


def test_no_calibration_says_nothing():
    one = Calibration(np.zeros(0), np.zeros(0, dtype=np.int64))
    assert one.smallest_p == 1
    assert one.p_large(np.array([9.0])).tolist() == one.p_small(np.array([-9.0])).tolist() == [1.0]


@pytest.mark.parametrize("side", ["p_large", "p_small"])
def test_p_values_hold_though_the_pieces_of_a_genome_are_alike(side):
    """Pieces that share 90% of their variance; counting each for itself would break the level by far."""
    rng = np.random.default_rng(5)
    n_units, n_pieces, repeats = 19, 8, 6000
    p, naive = np.empty(repeats), np.empty(repeats)
    for i in range(repeats):
        units = 3 * rng.standard_normal(n_units + 1)
        scores = units[:-1, None] + rng.standard_normal((n_units, n_pieces))
        query = np.array([units[-1] + rng.standard_normal()])
        codes = np.repeat(np.arange(n_units), n_pieces)
        p[i] = getattr(Calibration(scores.ravel(), codes), side)(query)[0]
        naive[i] = getattr(Calibration(scores.ravel(), np.arange(scores.size)), side)(query)[0]
    for level in (0.05, 0.1, 0.2, 0.5):
        standard_error = np.sqrt(level * (1 - level) / repeats)
        assert (p <= level).mean() <= level + 3 * standard_error
    # The p-values are not valid by being useless: a fifth of them lie below about a fifth.
    assert (p <= 0.2).mean() > 0.15
    assert (naive <= 0.02).mean() > 0.02 + 5 * np.sqrt(0.02 * 0.98 / repeats)


def test_adjusted_p_values_are_those_of_scipy():
    rng = np.random.default_rng(1)
    p = np.maximum(np.round(rng.uniform(size=200) ** 2, 2), 0.001)  # with ties
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))


def test_missing_p_values_are_not_tested():
    p = np.array([0.01, np.nan, 0.04])
    assert benjamini_hochberg(p) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert benjamini_hochberg(np.array([])).tolist() == []
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()


def test_p_values_do_not_fall_from_rank_to_rank():
    p = np.array([[0.1, np.nan, 0.05, 0.3], [np.nan, 0.5, 0.2, np.nan]])
    expected = np.array([[0.1, np.nan, 0.1, 0.3], [np.nan, 0.5, 0.5, np.nan]])
    assert monotone_over_ranks(p) == pytest.approx(expected, nan_ok=True)

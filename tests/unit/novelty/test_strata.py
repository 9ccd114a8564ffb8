"""Length strata and the make-up of bins."""

import numpy as np
import pytest

from workflow_lib.novelty.strata import (
    class_range,
    compose_bin,
    count_levels,
    find_class,
    find_stratum,
    format_stratum,
    usable_stratum,
)

BOUNDS = np.array([2500, 5000, 10_000, 20_000])


def test_finding_a_stratum():
    lengths = np.array([2499, 2500, 4999, 5000, 19_999, 20_000, 10**9])
    assert find_stratum(lengths, BOUNDS).tolist() == [-1, 0, 0, 1, 2, 3, 3]
    assert format_stratum(1, BOUNDS) == "5000-9999"
    assert format_stratum(-1, BOUNDS) == ""


@pytest.mark.parametrize(
    ("calibrated", "expected"),
    [
        ([True, True, True], [-1, 0, 1, 2, 2]),
        ([True, False, False], [-1, 0, 0, 0, 0]),
        ([False, True, False], [-1, -1, 1, 1, 1]),
        ([False, False, False], [-1, -1, -1, -1, -1]),
    ],
)
def test_a_query_is_held_against_its_own_or_shorter_pieces(calibrated, expected):
    assert usable_stratum(np.array([-1, 0, 1, 2, 3]), np.array(calibrated)).tolist() == expected


def test_classes_of_lengths_reach_as_far_down_as_up():
    lengths = np.array([2500, 2600, 2973, 5000, 10_000, 80_000])
    assert find_class(lengths, 2500).tolist() == [0, 0, 1, 4, 8, 20]
    assert find_class(np.array([100]), 2500).tolist() == [0]
    ranges = [class_range(number, 2500) for number in range(21)]
    assert ranges[:3] == [(2500, 2726), (2500, 3536), (2500, 5000)]
    assert ranges[4] == (3536, 7071)
    for number, (low, high) in enumerate(ranges):
        centre = 2500 * 2 ** (number / 4)
        assert low * high == pytest.approx(centre**2, rel=0.1)
        assert low <= centre * 2**-0.125 or number == 0
        assert high >= centre * 2**0.124


def test_levels():
    assert count_levels(1) == (1,)
    assert count_levels(8) == (1, 2, 4, 8)
    assert count_levels(10) == (1, 2, 4, 8, 10)


def test_composition():
    names = [f"c{i}" for i in range(8)]
    lengths = np.array([1000, 3000, 3000, 3000, 3000, 3000, 9000, 9000])
    strata = np.array([-1, 0, 0, 0, 0, 0, 1, 1])
    one = compose_bin(names, lengths, strata, (1, 2, 4))
    assert {stratum: len(members) for stratum, members in one.members.items()} == {0: 4, 1: 2}
    assert one.levels == {0: 2, 1: 1}
    assert one.weights == pytest.approx({0: 15 / 33, 1: 18 / 33})
    # The choice depends on the names, not on the order of the contigs.
    order = np.random.default_rng(1).permutation(8)
    other = compose_bin([names[i] for i in order], lengths[order], strata[order], (1, 2, 4))
    assert {names[i] for i in one.members[0]} == {names[order[i]] for i in other.members[0]}


def test_a_bin_without_usable_contigs():
    one = compose_bin(["a"], np.array([100]), np.array([-1]), (1, 2))
    assert one.members == one.weights == {}


def test_what_stands_for_a_bin_is_drawn_by_length():
    """Of nine contigs one stands; the one that is twice as long in a fifth of the bins, the others in a tenth each."""
    lengths, taken = np.array([8000] + [4000] * 8), np.zeros(9)
    for number in range(3000):
        names = [f"bin.{number}.{i}" for i in range(9)]
        one = compose_bin(names, lengths, np.zeros(9, dtype=np.int64), (1,))
        taken[one.members[0]] += 1
    shares = taken / 3000
    assert abs(shares[0] - 0.2) < 0.025
    assert np.abs(shares[1:] - 0.1).max() < 0.02


def test_contigs_of_cuts_are_counted_once():
    names, strata = list("abcd"), np.array([0, 0, 0, 1])
    assert compose_bin(names, np.full(4, 3000), strata, (1, 2, 4), np.array([0, 0, 1, 2])).n_contigs in (2, 3)
    assert compose_bin(names, np.full(4, 3000), strata, (1, 2, 4)).n_contigs == 3
    assert compose_bin(names, np.full(4, 3000), strata, (1,), np.zeros(4, dtype=np.int64)).n_contigs == 1

"""From p-values to calls: false discovery rates a rank, the deepest rank that is rejected, and the opposite test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workflow_lib.novelty.conformal import benjamini_hochberg, monotone_over_ranks
from workflow_lib.novelty.design import KNOWN, REFERENCE, TEST_RANKS, TESTS

_RANK_COLUMNS = [TESTS.index(rank) for rank in TEST_RANKS]
ABSTAIN, AMBIGUOUS, NOVEL = "abstain", "ambiguous", "novel"
CONFLICT = "conflict"


@dataclass(frozen=True)
class Calls:
    """The calls of m queries; columns of the arrays are `TESTS`.

    Attributes
    ----------
    p, q : float64 (m, T); NaN where a test was not made. p is monotone over the ranks.
    call : known, novel_species ... novel_phylum, novel, ambiguous or abstain.
    call_rank : the test behind the call; empty for abstain.
    n_cal : units that calibrated the test of `call_rank`; for abstain the most that any test had.
    conflict : bool (m,), both the novelty test of a rank and the opposite test reject.
    """

    p: np.ndarray
    q: np.ndarray
    call: list[str]
    call_rank: list[str]
    n_cal: np.ndarray
    conflict: np.ndarray


def decide(p: np.ndarray, n_units: np.ndarray, *, alpha: float) -> Calls:
    """Call every query at the false discovery rate `alpha`, within a rank and over the queries given.

    Parameters
    ----------
    p : float64 (m, T), NaN where a test cannot be made.
    n_units : int64 (m, T), calibration units.
    """
    p = p.copy()
    p[:, _RANK_COLUMNS] = monotone_over_ranks(p[:, _RANK_COLUMNS])
    q = np.column_stack([benjamini_hochberg(p[:, column]) for column in range(len(TESTS))])
    decided = [_decide_one(row, alpha) for row in q]
    tests = [test for _, test, _ in decided]
    n_cal = np.array(
        [row[TESTS.index(test)] if test else row.max(initial=0) for row, test in zip(n_units, tests, strict=True)],
        dtype=np.int64,
    )
    conflict = np.array([conflict for *_, conflict in decided], dtype=bool)
    return Calls(p, q, [call for call, *_ in decided], tests, n_cal, conflict)


def _decide_one(q: np.ndarray, alpha: float) -> tuple[str, str, bool]:
    """(call, test behind it, conflict) of one query's q-values."""
    tested = [rank for rank in TEST_RANKS if np.isfinite(q[TESTS.index(rank)])]
    deepest = ""
    for rank in tested:  # from species up without a gap: a rank above one that stands is not called
        if q[TESTS.index(rank)] > alpha:
            break
        deepest = rank
    known = bool(q[TESTS.index(KNOWN)] <= alpha)
    if deepest and known:
        return AMBIGUOUS, deepest, True
    if deepest:
        return f"novel_{deepest}", deepest, False
    if known:
        return KNOWN, KNOWN, False
    if tested:
        return AMBIGUOUS, tested[0], False
    if np.isfinite(q[TESTS.index(REFERENCE)]):
        return (NOVEL if q[TESTS.index(REFERENCE)] <= alpha else AMBIGUOUS), REFERENCE, False
    return ABSTAIN, "", False

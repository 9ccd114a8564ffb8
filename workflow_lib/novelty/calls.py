"""From p-values to calls: false discovery rates a rank, the deepest rank that is rejected, and the opposite test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workflow_lib.novelty.conformal import benjamini_hochberg, monotone_over_ranks
from workflow_lib.novelty.counted_classes import bound_shares
from workflow_lib.novelty.design import KNOWN, REFERENCE, TEST_RANKS, TESTS

_RANK_COLUMNS = [TESTS.index(rank) for rank in TEST_RANKS]
ABSTAIN, AMBIGUOUS, NOVEL = "abstain", "ambiguous", "novel"
CONFLICT = "conflict"
_MEDIAN = 0.5  # p above which a rank is not called, whatever the rate allows
_LEAST = 1.001  # p times (units + 1) of the smallest p that a calibration can give, but for rounding


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


def decide(
    p: np.ndarray,
    n_units: np.ndarray,
    *,
    alpha: float,
    classes: tuple[np.ndarray, np.ndarray] | None = None,
    groups: np.ndarray | None = None,
) -> Calls:
    """Call every query at the false discovery rate `alpha`, within a rank and over the queries given.

    Parameters
    ----------
    p : float64 (m, T), NaN where a test cannot be made.
    n_units : int64 (m, T), calibration units.
    classes : likelihoods, float64 (m, ranks + 2), of the classes of queries: copies of indexed genomes, the null of
        each rank of `TEST_RANKS`, and what is novel at all of them; NaN as p; and the calibration units, int64, of all
        but the copies. With them the false discoveries expected are counted class by class (see `mixture_p`), else
        every query counts as one at the edge of the null (Benjamini & Hochberg 1995).
    groups : of `bound_shares`, for the classes.
    """
    plain = p.copy()
    plain[:, _RANK_COLUMNS] = monotone_over_ranks(p[:, _RANK_COLUMNS])
    counted = plain if classes is None else _count_by_class(p, n_units, plain, *classes, groups)
    q = np.column_stack([benjamini_hochberg(counted[:, column]) for column in range(len(TESTS))])
    decided = [_decide_one(row, alpha) for row in q]
    tests = [test for _, test, _ in decided]
    n_cal = np.array(
        [row[TESTS.index(test)] if test else row.max(initial=0) for row, test in zip(n_units, tests, strict=True)],
        dtype=np.int64,
    )
    conflict = np.array([conflict for *_, conflict in decided], dtype=bool)
    return Calls(plain, q, [call for call, *_ in decided], tests, n_cal, conflict)


def _count_by_class(
    p: np.ndarray,
    n_units: np.ndarray,
    plain: np.ndarray,
    likelihoods: np.ndarray,
    units: np.ndarray,
    groups: np.ndarray | None,
) -> np.ndarray:
    """p-values, float64 (m, T), whose sum over the queries is that of the false discoveries expected of each class.

    Those of `known` stay as they are: known queries can be far nearer than the genomes left out (copies of indexed
    ones), and shares found from such scores say little of the rest.
    Where hardly any query is of a null, all together may be called within the rate, also those that match a reference
    genome. So those of ranks are 1 where a query is nearer than `_MEDIAN` of what is not novel at the rank.
    """
    counted = plain.copy()
    is_known = np.isfinite(likelihoods[:, 1:])
    used = is_known[:, :-1].any(axis=0)
    if not used.any():
        return counted
    columns = np.array(_RANK_COLUMNS)[used]
    own = np.append(used, True)
    fewest = np.where(is_known, units, units.max(initial=0)).min(axis=0, initial=units.max(initial=0))
    bounds, totals = bound_shares(likelihoods[:, np.append(True, own)], fewest[own], groups)
    is_least = p[:, columns] * (n_units[:, columns] + 1) < _LEAST
    novel = np.minimum(mixture_p(p[:, columns], is_least, bounds[:-1], totals[:-1]), plain[:, columns])
    counted[:, columns] = np.where(plain[:, columns] > _MEDIAN, 1.0, novel)
    return counted


def mixture_p(p: np.ndarray, is_least: np.ndarray, bounds: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Probability, float64 (m, ranks), that a query is novel at no rank up to r and scores as high: sum of share x p.

    A query that is not novel at a rank is of one of the classes up to it: novel below that rank only. Of n queries of a
    class, n p are expected to score as high. This times m is the expected number of false discoveries: Storey's (2002,
    J. R. Stat. Soc. B 64:479) procedure with a null hypothesis of several parts. The shares are the worst that `bounds`
    and `totals` allow: as much as can be of the class with the largest p, of the rest as much as can be of the next.

    Parameters
    ----------
    p : float64 (m, ranks), NaN where not tested.
    is_least : bool (m, ranks), where p is the smallest that its calibration can give. A lower class is nearer: with a
        finer grain its p would be no larger than that of the next class, which it takes there, and where it has none.
    bounds, totals : float64 (ranks,), largest share of all queries in each class, and in all classes up to it.
    """
    filled, result = p.copy(), np.empty_like(p)
    for column in range(p.shape[1] - 2, -1, -1):
        smaller = np.fmin(filled[:, column], filled[:, column + 1])
        coarse = is_least[:, column] | np.isnan(filled[:, column])
        filled[:, column] = np.where(coarse, smaller, filled[:, column])
    for rank in range(p.shape[1]):
        order = np.argsort(-filled[:, : rank + 1], axis=1, kind="stable")  # NaN last
        most = np.cumsum(bounds[order], axis=1).clip(max=totals[rank])
        shares = np.diff(most, axis=1, prepend=0)
        total = np.nansum(shares * np.take_along_axis(filled, order, axis=1), axis=1)
        result[:, rank] = np.where(np.isnan(p[:, rank]), np.nan, total)
    return result


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

"""What the queries are made of: how many are known, of a new species, of a new genus and so on.

Benjamini and Hochberg's procedure counts every query as one at the edge of the null hypothesis. Most are not: at the
rank of phylum a strain of an indexed species is as far from the edge as can be. The calibrations say how the scores of
each class are spread; the shares of the classes follow from the scores of all queries.
"""

from __future__ import annotations

import numpy as np

from workflow_lib.novelty.conformal import Calibration

_CELLS = 8  # of scores, with about the same share of all classes together in each
_STEPS = 200
# Standard errors of a share's upper bound. With one, held-out species of a small reference broke the rate.
_ERRORS = 3


def class_likelihoods(classes: list[Calibration], scores: np.ndarray) -> np.ndarray:
    """Probability, float64 (m, 1 + C), of the cell that each score is in, under each class; before them, of copies.

    Cells are cut at quantiles of all classes' calibration scores; a class without calibration is spread evenly. Copies
    of indexed genomes, and what is nearly one, are all in the lowest cell, nearer than the genomes left out: without a
    class of their own, the farther half of these would be seen in what is not known.
    """
    levels = np.arange(1, _CELLS) / _CELLS
    pooled = np.concatenate([one.quantiles(np.linspace(0, 1, 101)) for one in classes])
    cuts = np.unique(np.quantile(pooled, levels)) if len(pooled) else np.zeros(0)
    cells = np.searchsorted(cuts, scores, side="right")
    return np.column_stack([cells == 0, *(one.spread_over(cuts)[cells] for one in classes)])


def count_independent(groups: np.ndarray) -> float:
    """How many independent queries tell as much as these, of which those of a group vary together; 0 of none.

    (sum n)^2 / sum n^2 over groups of n queries (Kish 1965, Survey Sampling): of 100 contigs of one genome and one each
    of 20 others it is 1.4.
    """
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def bound_shares(
    likelihoods: np.ndarray, units: np.ndarray, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Upper bounds of the shares of the classes among queries, float64 (C,), and of their running sums.

    The shares are those of the largest likelihood. A bound is 1 / k and three standard errors higher, sqrt(s (1 - s)
    (1 / k + 1 / n)) each, where k is the number of independent queries (`count_independent`), and n units calibrate the
    class (of a sum the last class) or the next, whichever has fewer; 1 if there are no queries. What is counted too
    many in one class is missing in the next: a sum is known better than its parts. Where copies, which are counted with
    the first class, make the likelihood of k queries clearly larger (by three standard errors, a factor of e^4.5), the
    larger bound counts, of the shares with them and without.

    Parameters
    ----------
    likelihoods : float64 (m, 1 + C), of `class_likelihoods`; rows with NaN are passed over.
    units : int64 (C,), calibration units of each class.
    groups : int64 (m,), queries of one genome have the same number; None: each is of a genome of its own.
    """
    usable = np.isfinite(likelihoods).all(axis=1)
    rows = likelihoods[usable]
    if not len(rows):
        return np.ones(len(units)), np.ones(len(units))
    independent = len(rows) if groups is None else count_independent(groups[usable])
    fewer = np.maximum(np.minimum(units, np.append(units[1:], units[-1])), 1)

    def bound(share: np.ndarray) -> np.ndarray:
        share = np.minimum(share, 1)  # sums may be above by rounding
        error = np.sqrt(share * (1 - share) * (1 / independent + 1 / fewer))
        return np.minimum(share + _ERRORS * error + 1 / independent, 1)

    shares, copies = estimate_shares(rows[:, 1:]), estimate_shares(rows)
    found = [shares]
    gain = np.log(rows @ copies).mean() - np.log(rows[:, 1:] @ shares).mean()
    if gain * independent > _ERRORS**2 / 2:
        found.append(np.append(copies[0] + copies[1], copies[2:]))
    bounds = [bound(shares) for shares in found]
    totals = [bound(np.cumsum(shares)) for shares in found]
    return np.max(bounds, axis=0), np.max(totals, axis=0)


def estimate_shares(likelihoods: np.ndarray) -> np.ndarray:
    """Shares of the classes, float64 (C,), that make the likelihoods (m, C) of the queries largest.

    They are found by expectation maximisation (Saerens, Latinne & Decaestecker 2002, Neural Comput. 14:21).
    """
    shares = np.full(likelihoods.shape[1], 1 / likelihoods.shape[1])
    for _ in range(_STEPS):
        joint = likelihoods * shares
        shares = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares

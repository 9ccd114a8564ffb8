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
_LOSS = 2.0  # of log-likelihood, at the upper bound of a share: as two standard errors of a normal distribution cost
_CLEAR = 4.5  # gain of log-likelihood from which there are copies: as three standard errors cost
_LEVELS = 100  # steps of a share between 0 and 1
_TINY = 1e-300


def class_likelihoods(classes: list[Calibration], scores: np.ndarray) -> np.ndarray:
    """Probability, float64 (m, 1 + C), of the cell that each score is in, under each class; before them, of copies.

    Cells are cut at quantiles of all classes' finite calibration scores; infinite ones lie in the last cell. A class
    without calibration is spread evenly. Copies of indexed genomes, and what is nearly one, are all in the lowest cell,
    nearer than the genomes left out: without a class of their own, the farther half of these would be seen in what is
    not known.
    """
    levels = np.arange(1, _CELLS) / _CELLS
    pooled = np.concatenate([one.quantiles(np.linspace(0, 1, 101)) for one in classes])
    finite = pooled[np.isfinite(pooled)]
    cuts = np.unique(np.quantile(finite, levels)) if len(finite) else np.zeros(0)
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

    A bound is the largest share with which, whatever the others are, the queries are less likely than with the
    likeliest shares by a factor of e^2 at most (`_largest_share`), and 1 / k more; 1 if there are no queries. The
    evidence for a class is that of 1 / (1 / k + 1 / n) queries, where k is the number of independent ones
    (`count_independent`), and n units calibrate the class (of a sum the last class) or the next, whichever has fewer.
    What is counted too many in one class is missing in the next: a sum is known better than its parts. Where copies,
    which are counted with the first class, make the likelihood of k queries larger by a factor of e^4.5, the larger
    bound counts, of the shares with them and without.

    Parameters
    ----------
    likelihoods : float64 (m, 1 + C), of `class_likelihoods`; rows with NaN are passed over.
    units : int64 (C,), calibration units of each class.
    groups : int64 (m,), queries of one genome have the same number; None: each is of a genome of its own.
    """
    usable = np.isfinite(likelihoods).all(axis=1)
    if not usable.any():
        return np.ones(len(units)), np.ones(len(units))
    independent = np.count_nonzero(usable) if groups is None else count_independent(groups[usable])
    fewer = np.maximum(np.minimum(units, np.append(units[1:], units[-1])), 1)
    evidence = 1 / (1 / independent + 1 / fewer)
    cells, counts = np.unique(likelihoods[usable], axis=0, return_counts=True)
    frequencies = counts / counts.sum()
    forms = [cells[:, 1:]]
    with_copies, without = (frequencies @ np.log(rows @ _shares(rows, frequencies)) for rows in (cells, cells[:, 1:]))
    if (with_copies - without) * independent > _CLEAR:
        forms.append(cells)
    alone = np.eye(len(units), dtype=bool)

    def bound(classes: np.ndarray) -> np.ndarray:
        found = [
            [_largest_share(rows, frequencies, *one) for one in zip(classes, evidence, strict=True)] for rows in forms
        ]
        return np.minimum(np.max(found, axis=0) + 1 / independent, 1)

    return bound(alone), bound(np.tril(np.ones_like(alone)))


def estimate_shares(likelihoods: np.ndarray) -> np.ndarray:
    """Shares of the classes, float64 (C,), that make the likelihoods (m, C) of the queries largest.

    They are found by expectation maximisation (Saerens, Latinne & Decaestecker 2002, Neural Comput. 14:21).
    """
    return _shares(likelihoods, np.full(len(likelihoods), 1 / len(likelihoods)))


def _shares(likelihoods: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """`estimate_shares` of likelihoods (m, C) that have these frequencies (m,)."""
    everything = np.ones((1, likelihoods.shape[1]))
    return _estimate_in(likelihoods, frequencies, np.zeros(likelihoods.shape[1], dtype=np.int64), everything)[0]


def _estimate_in(likelihoods: np.ndarray, frequencies: np.ndarray, part: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """The likeliest shares, float64 (G, C), with which parts of the classes have given totals.

    Parameters
    ----------
    likelihoods, frequencies : (m, C) and (m,).
    part : int64 (C,), the part of each class.
    totals : float64 (G, C), that of the part of each class.
    """
    same = part[:, None] == part
    shares = totals / same.sum(axis=1)
    for _ in range(_STEPS):
        shares = shares * ((frequencies / np.maximum(shares @ likelihoods.T, _TINY)) @ likelihoods)
        shares = shares * totals / np.maximum(shares @ same, _TINY)
    return shares


def _largest_share(likelihoods: np.ndarray, frequencies: np.ndarray, inside: np.ndarray, evidence: float) -> float:
    """Upper bound of the share of some classes together: profile likelihood, in steps of 0.01.

    Where classes score alike, one may stand for the other: the likeliest share of a class is then often 0, and the
    variance of a counted share tells nothing of it.

    Parameters
    ----------
    likelihoods, frequencies : (m, C) or (m, 1 + C), the first of copies, which count with the first class; and (m,).
    inside : bool (C,), the classes.
    evidence : independent queries that tell as much.
    """
    if inside.all():
        return 1.0
    if likelihoods.shape[1] > len(inside):
        inside = np.append(inside[0], inside)
    levels = np.linspace(0, 1, _LEVELS + 1)[:, None]
    totals = np.where(inside, levels, 1 - levels)
    shares = _estimate_in(likelihoods, frequencies, inside.astype(np.int64), totals)
    value = np.log(np.maximum(shares @ likelihoods.T, _TINY)) @ frequencies
    possible = np.flatnonzero(value >= value.max() - _LOSS / evidence)
    return min((possible[-1] + 1) / _LEVELS, 1.0)

"""Conformal p-values with groups as units, and the Benjamini-Hochberg procedure."""

from __future__ import annotations

import numpy as np


class Calibration:
    """Scores of calibration pieces, grouped into units that count once each.

    Sources: for conformal p-values Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World; for groups,
    each of the same total weight whatever its size, Lee, Barber & Willett (2023), arXiv:2306.06342.

    Parameters
    ----------
    scores : float (n,), NaN where a piece does not belong to this calibration; inf where an approximate search found
        nothing: it may be as far or as near as any query, whichever makes p larger.
    units : int (n,), the unit (genome, species ...) of each piece; negative: none.
    """

    def __init__(self, scores: np.ndarray, units: np.ndarray) -> None:
        used = ~np.isnan(scores) & (units >= 0)
        _, codes, sizes = np.unique(units[used], return_inverse=True, return_counts=True)
        order = np.lexsort((sizes[codes], scores[used]))  # of equals the same order, so that sums round alike
        self.n_units = len(sizes)
        self._scores = scores[used][order]
        self._weights = np.concatenate([[0.0], np.cumsum(1 / sizes[codes[order]])]) if len(sizes) else np.zeros(1)

    def p_large(self, scores: np.ndarray) -> np.ndarray:
        """p-values, float64 (m,), of the hypothesis that a score is no larger than the calibration's are.

        p = (1 + sum over units of the share of the unit's scores >= score) / (units + 1). For a new unit that is
        exchangeable with the calibration's, P(p <= a) <= a: with the new unit's own share, which is at most 1, in the
        place of the 1, p would be the weighted rank of a random score of a random unit.
        """
        return self._p(self._weights[-1] - self._weights[np.searchsorted(self._scores, scores, side="left")])

    def p_small(self, scores: np.ndarray) -> np.ndarray:
        """The same for the hypothesis that a score is no smaller: the share of scores <= score counts.

        Infinite scores do too: where nothing was found, how far it is is not known.
        """
        infinite = self._weights[-1] - self._weights[np.searchsorted(self._scores, np.inf, side="left")]
        below = self._weights[np.searchsorted(self._scores, scores, side="right")]
        return self._p(np.minimum(below + infinite, self._weights[-1]))

    def _p(self, counts: np.ndarray) -> np.ndarray:
        # The sums of 1/size have rounding errors of about 1e-13: a count of a whole unit must not be lost to them.
        return np.minimum((1 + np.round(counts, 9)) / (self.n_units + 1), 1.0)

    def spread_over(self, cuts: np.ndarray) -> np.ndarray:
        """Share, float64 (len(cuts) + 1,), of the scores below, between and from `cuts` on, units weighing the same.

        One more unit lies evenly, so that no share is 0, and shares of few units say little.
        """
        cells = np.searchsorted(cuts, self._scores, side="right")
        counts = np.bincount(cells, np.diff(self._weights), minlength=len(cuts) + 1)
        return (counts + 1 / len(counts)) / (self.n_units + 1)

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        """Scores at the levels (0 to 1) of the weight, units weighing the same; none without scores."""
        if not len(self._scores):
            return np.zeros(0)
        rows = np.searchsorted(self._weights[1:], levels * self.n_units)
        return self._scores[np.minimum(rows, len(self._scores) - 1)]

    @property
    def smallest_p(self) -> float:
        """The smallest p-value, and smallest q-value, that can ever come out: 1 / (units + 1)."""
        return 1 / (self.n_units + 1)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values of Benjamini & Hochberg (1995), J. R. Stat. Soc. B 57:289; NaN entries are not tested.

    Valid for independent p-values and under positive regression dependence; conformal p-values of one calibration set
    have it (Bates, Candes, Lei, Romano & Sesia 2023, Ann. Stat. 51:149).
    """
    q = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    m = len(order)
    adjusted = p[order] * m / np.arange(1, m + 1)
    q[order] = np.minimum(np.minimum.accumulate(adjusted[::-1])[::-1], 1.0)
    return q


def monotone_over_ranks(p: np.ndarray) -> np.ndarray:
    """Running maximum over the columns (m, ranks), from species up; NaN stays NaN and is passed over.

    "The genus is in the index" holds wherever "the species is in the index" does, so the p-value may not fall; the
    maximum of p-values of which one is valid is valid.
    """
    result = np.maximum.accumulate(np.where(np.isnan(p), -np.inf, p), axis=1)
    return np.where(np.isnan(p), np.nan, result)

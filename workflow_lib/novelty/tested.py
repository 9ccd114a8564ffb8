"""Scores to p-values: each test of a group of queries against its calibration, pooled or of the queries' own taxon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workflow_lib.novelty.calls import Calls, decide
from workflow_lib.novelty.conformal import Calibration
from workflow_lib.novelty.counted_classes import class_likelihoods
from workflow_lib.novelty.design import KNOWN, OUTSIDE, TEST_RANKS, TESTS

ADAPTIVE, BENJAMINI_HOCHBERG = "adaptive", "benjamini_hochberg"
# Units from which on a domain, or a phylum, is a stratum of its own; the lower rank counts. A genus is wider in some
# phyla than in others: 25 units of its own tell more of a query than 100 of all.
STRATUM_UNITS = {"domain": 100, "phylum": 25}
_CLASS_UNITS = 10  # units that tell how the scores of a class are spread, if they are too few for a test

# Of a test: its calibration, of all pieces or of those whose nearest genome is one of some, bool (G,).
Calibrate = Callable[[str, np.ndarray | None], Calibration]


@dataclass(frozen=True)
class Settings:
    """How calls are made.

    Attributes
    ----------
    alpha : false discovery rate. min_length : bp below which a query is abstained from.
    min_calibration : units below which a test is not made.
    fdr : how false discoveries are counted, class by class (`adaptive`, see `counted_classes`) or `benjamini_hochberg`.
    """

    alpha: float
    min_length: int
    min_calibration: int
    fdr: str = ADAPTIVE


class RankTests:
    """The p-values of m queries while they are gathered, group by group.

    Parameters
    ----------
    m : queries. lineages : of the G genomes, rank -> name.
    """

    def __init__(self, m: int, lineages: list[dict[str, str]], settings: Settings) -> None:
        self.p = np.full((m, len(TESTS)), np.nan)
        self._likelihoods = np.full((m, len(TEST_RANKS) + 2), np.nan)
        self._n_units = np.zeros((m, len(TESTS)), dtype=np.int64)
        self._class_units = np.zeros((m, len(TEST_RANKS) + 1), dtype=np.int64)
        self._taxa = {rank: np.array([one.get(rank, "") for one in lineages], dtype=str) for rank in STRATUM_UNITS}
        self._settings = settings
        self._own: list[dict[str, str]] = [{} for _ in range(m)]  # of a query, test -> taxon that is its stratum

    def add(
        self,
        rows: np.ndarray,
        calibrate: Calibrate,
        scores: np.ndarray,
        nearest: np.ndarray,
        no_known: np.ndarray,
        *,
        known_scores: np.ndarray | None = None,
    ) -> None:
        """Test some queries that share their calibrations.

        Parameters
        ----------
        rows : int64 (n,), positions of the queries. scores : float64 (n,). nearest : int64 (n,), their nearest genomes.
        no_known : bool (n,), queries that the opposite test is not made of.
        known_scores : float64 (n,), what the opposite test takes for scores: at least as large, so that its p-values
            are too large, never too small. None: the scores.
        """
        classes = {}
        for column, test in enumerate(TESTS):
            one = calibrate(test, None)
            self._n_units[rows, column] = one.n_units
            if test in TEST_RANKS and one.n_units >= min(_CLASS_UNITS, self._settings.min_calibration):
                classes[test] = one
            if not is_sufficient(one, self._settings):
                continue
            if test == KNOWN:
                own = scores if known_scores is None else known_scores
                self.p[rows[~no_known], column] = one.p_small(own[~no_known])
                continue
            self.p[rows, column] = one.p_large(scores)
            if test in TEST_RANKS:
                self._test_strata(rows, calibrate, test, scores, nearest)
        calibrations = [*classes.values(), calibrate(OUTSIDE, None)]
        columns = [*(TEST_RANKS.index(test) for test in classes), len(TEST_RANKS)]
        self._likelihoods[np.ix_(rows, [0, *(column + 1 for column in columns)])] = class_likelihoods(
            calibrations, scores
        )
        self._class_units[np.ix_(rows, columns)] = [one.n_units for one in calibrations]

    def _test_strata(
        self, rows: np.ndarray, calibrate: Calibrate, test: str, scores: np.ndarray, nearest: np.ndarray
    ) -> None:
        """Hold queries against the calibration of their nearest genome's domain, or phylum, where it has enough."""
        column = TESTS.index(test)
        for rank, least in STRATUM_UNITS.items():
            taxa = self._taxa[rank]
            for taxon in set(taxa[nearest]) - {""}:
                one = calibrate(test, taxa == taxon)
                if one.n_units < least or not is_sufficient(one, self._settings):
                    continue
                own = taxa[nearest] == taxon
                self.p[rows[own], column] = one.p_large(scores[own])
                self._n_units[rows[own], column] = one.n_units
                for row in rows[own]:
                    self._own[row][test] = str(taxon)

    def drop(self, rows: np.ndarray) -> None:
        """Take back the tests of some queries."""
        self.p[rows] = self._likelihoods[rows] = np.nan

    def decide(self, groups: np.ndarray | None = None) -> Calls:
        """The calls, of all queries together; `groups` as of `bound_shares`."""
        classes = (self._likelihoods, self._class_units) if self._settings.fdr == ADAPTIVE else None
        return decide(self.p, self._n_units, alpha=self._settings.alpha, classes=classes, groups=groups)

    def name_strata(self, strata: list[str]) -> list[str]:
        """Strata with taxa and the tests that they are strata of, e.g. `4204-8408|Bacillota:genus|Bacteria:phylum`."""
        named = []
        for stratum, own in zip(strata, self._own, strict=True):
            taxa = {taxon: ",".join(test for test in own if own[test] == taxon) for taxon in own.values()}
            named.append("|".join([stratum, *(f"{taxon}:{tests}" for taxon, tests in taxa.items())]))
        return named


def is_sufficient(one: Calibration, settings: Settings) -> bool:
    """Whether a calibration has units enough, and can reach the level at all."""
    return one.n_units >= settings.min_calibration and one.smallest_p <= settings.alpha

"""What stands for contigs in the tests: a contig itself, or the cuts of one that is longer than what calibrates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workflow_lib.embed.cuts import CUT_LENGTH, Cuts
from workflow_lib.novelty.calibration_set import CalibrationSet
from workflow_lib.novelty.strata import find_stratum, usable_stratum


@dataclass(frozen=True)
class StandIns:
    """n contigs and p cuts of them, one after the other.

    A contig that is longer than its stratum is held against shorter pieces: it is nearer to every genome than they are,
    so that it looks known. Its cuts are as long as pieces are.

    Attributes
    ----------
    names : n + p, of contigs and cuts.
    contig : int64 (n + p,), the contig that each is, or is cut from.
    bp : float64 (n + p,), that each stands for; the cuts of a contig share its length.
    has_vector : bool (n + p,), whether it has a direction.
    long_enough : bool (n + p,), no shorter than the shortest query.
    known : int64 (n + p,), bp that are A, C, G or T.
    stratum : int64 (n + p,), -1: too short, no direction, no calibrated stratum.
    longer : bool (n + p,), longer than the pieces of its stratum.
    replaced : bool (n,), contigs for which their cuts stand.
    """

    names: list[str]
    contig: np.ndarray
    bp: np.ndarray
    has_vector: np.ndarray
    long_enough: np.ndarray
    known: np.ndarray
    stratum: np.ndarray
    longer: np.ndarray
    replaced: np.ndarray
    _vectors: np.ndarray
    _cuts: Cuts

    @property
    def dim(self) -> int:
        """Columns of the vectors."""
        return self._vectors.shape[1]

    def of(self, contigs: np.ndarray) -> np.ndarray:
        """int64 (m,): what stands for some contigs (positions): those not replaced, then the usable cuts of others."""
        n, replaced = len(self.replaced), self.replaced[contigs]
        sides = (np.searchsorted(self._cuts.rows, contigs[replaced], side=side) for side in ("left", "right"))
        cuts = [np.arange(n + first, n + last) for first, last in zip(*sides, strict=True)]
        return np.concatenate([contigs[~replaced], *(own[self.stratum[own] >= 0] for own in cuts)])

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """float32 (m, d) of some contigs or cuts."""
        n, found = len(self.replaced), np.empty((len(positions), self._vectors.shape[1]), dtype=np.float32)
        found[positions < n] = self._vectors[positions[positions < n]]
        found[positions >= n] = self._cuts.vectors[positions[positions >= n] - n]
        return found


def find_stand_ins(
    calibration: CalibrationSet,
    vectors: np.ndarray,
    names: list[str],
    lengths: np.ndarray,
    cuts: Cuts | None,
    *,
    min_length: int,
    min_calibration: int,
    known: np.ndarray | None = None,
) -> StandIns:
    """See `StandIns`.

    Parameters
    ----------
    vectors, names, lengths : of n contigs. cuts : of some of them; None: there are none.
    known : int64 (n + p,), as of `queries.call_contigs`: what strata, and `min_length`, are of;
        None: all letters are known bases.
    min_length : bp below which nothing stands for itself. min_calibration : units that make a stratum.
    """
    n, none = len(names), np.zeros(0, dtype=np.int64)
    cuts = Cuts(none, none, vectors[:0]) if cuts is None else cuts
    if known is None:
        known = np.concatenate([lengths, np.full(len(cuts.rows), CUT_LENGTH, dtype=np.int64)])
    natural = find_stratum(known, calibration.bounds)
    stratum = usable_stratum(natural, calibration.calibrated_strata(min_calibration))
    has_vector = np.concatenate([vectors.any(axis=1), cuts.vectors.any(axis=1)])
    long_enough = known >= min_length
    stratum[~has_vector | ~long_enough] = -1
    longer = (natural > stratum) & (stratum >= 0)
    n_cuts = np.bincount(cuts.rows[stratum[n:] >= 0], minlength=n)
    bp = np.concatenate([lengths, lengths[cuts.rows] / np.maximum(n_cuts, 1)[cuts.rows]])
    cut_names = [f"{names[row]}|{start}" for row, start in zip(cuts.rows.tolist(), cuts.starts.tolist(), strict=True)]
    contig = np.concatenate([np.arange(n), cuts.rows])
    replaced = longer[:n] & (n_cuts > 0)
    told = has_vector, long_enough, known, stratum, longer, replaced
    return StandIns([*names, *cut_names], contig, bp, *told, vectors, cuts)

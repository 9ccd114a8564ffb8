"""Length strata: which calibration a query of a given length is held against, and how a bin is made of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


def find_stratum(lengths: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """int64 (m,): the stratum [bounds[s], bounds[s + 1]) of each length; -1 below, the number of strata above them."""
    return np.searchsorted(bounds, lengths, side="right") - 1


def usable_stratum(natural: np.ndarray, calibrated: np.ndarray) -> np.ndarray:
    """The longest calibrated stratum that is no longer than the query's own; -1 where there is none.

    Parameters
    ----------
    natural : int64 (m,) as of `find_stratum`.
    calibrated : bool (S,), strata with enough calibration genomes.

    A query held against shorter pieces has a smaller score than they have: its novelty p-value is too large, never too
    small.
    """
    best = np.full(len(calibrated) + 2, -1, dtype=np.int64)  # the last entry serves natural = -1
    for stratum in range(len(calibrated) + 1):
        own = stratum < len(calibrated) and calibrated[stratum]
        best[stratum] = stratum if own else best[stratum - 1] if stratum else -1
    return best[natural]


def format_stratum(stratum: int, bounds: np.ndarray) -> str:
    """A stratum as text, e.g. `5000-9999` (bp)."""
    return f"{bounds[stratum]}-{bounds[stratum + 1] - 1}" if stratum >= 0 else ""


def count_levels(pieces: int) -> tuple[int, ...]:
    """Numbers of pieces at which bins are calibrated: powers of two and `pieces` itself, e.g. (1, 2, 4, 8)."""
    return tuple(sorted({*(2**i for i in range(pieces.bit_length()) if 2**i <= pieces), pieces}))


@dataclass(frozen=True)
class Composition:
    """How a bin is seen by its test.

    Attributes
    ----------
    members : for each stratum in use, the contigs (positions) that stand for it, as many as a level of `count_levels`.
    levels : position in `count_levels` of each stratum in use.
    weights : share of the bin's length in each stratum in use; they sum to 1.
    """

    members: dict[int, np.ndarray]
    levels: dict[int, int]
    weights: dict[int, float]


def compose_bin(names: list[str], lengths: np.ndarray, strata: np.ndarray, levels: tuple[int, ...]) -> Composition:
    """Choose the contigs that stand for a bin.

    In each stratum as many contigs as the largest level that the bin reaches, in the order of a hash of their names:
    the test then averages over as many pieces as its calibration did. Contigs of stratum -1 are left out.
    """
    total = lengths[strata >= 0].sum()
    members, chosen, weights = {}, {}, {}
    for stratum in sorted(set(strata[strata >= 0].tolist())):
        positions = np.flatnonzero(strata == stratum)
        level = int(np.searchsorted(levels, len(positions), side="right")) - 1
        by_hash = sorted(positions.tolist(), key=lambda i: hashlib.sha256(names[i].encode()).digest())
        members[stratum] = np.array(sorted(by_hash[: levels[level]]))
        chosen[stratum] = level
        weights[stratum] = float(lengths[positions].sum() / total)
    return Composition(members, chosen, weights)

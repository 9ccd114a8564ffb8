"""Length strata: which calibration a query of a given length is held against, and how a bin is made of them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

_CLASSES = 4  # of query lengths, an octave: noise differs by 4% from a class's middle to its end


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


def find_class(lengths: np.ndarray, shortest: int) -> np.ndarray:
    """int64 (m,): classes of lengths, a quarter of an octave each; 0 is around the shortest query."""
    return np.rint(_CLASSES * np.log2(np.maximum(lengths, shortest) / shortest)).astype(np.int64)


def class_range(number: int, shortest: int) -> tuple[int, int]:
    """Lengths [low, high) of the pieces that queries of a class are held against.

    They reach half an octave to both sides; less where there are no shorter pieces, so that pieces are not longer than
    the queries on average.
    """
    centre, reach = shortest * 2 ** (number / _CLASSES), min(max(number, 0.5) / _CLASSES, 0.5)
    return max(round(centre / 2**reach), shortest), round(centre * 2**reach)


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
    n_contigs : of which the members are, or are cuts.
    """

    members: dict[int, np.ndarray]
    levels: dict[int, int]
    weights: dict[int, float]
    n_contigs: int


def compose_bin(
    names: list[str],
    lengths: np.ndarray,
    strata: np.ndarray,
    levels: tuple[int, ...],
    contigs: np.ndarray | None = None,
) -> Composition:
    """Choose what stands for a bin among its contigs, or cuts of them.

    In each stratum as many as the largest level that the bin reaches: the test then averages over as many pieces as its
    calibration did. They are drawn by a hash of their names, the more likely the more bp they stand for, as pieces of a
    genome are (Efraimidis and Spirakis 2006, Inf. Process. Lett. 97:181). Those of stratum -1 are left out.

    Parameters
    ----------
    names, strata : of n contigs or cuts. lengths : (n,), bp that each stands for.
    contigs : int64 (n,), contig that each is of; None: each is one.
    """
    total = lengths[strata >= 0].sum()
    members, chosen, weights = {}, {}, {}
    for stratum in sorted(set(strata[strata >= 0].tolist())):
        positions = np.flatnonzero(strata == stratum)
        level = int(np.searchsorted(levels, len(positions), side="right")) - 1
        drawn = sorted(positions.tolist(), key=lambda i: _draw(names[i]) / lengths[i])
        members[stratum] = np.array(sorted(drawn[: levels[level]]))
        chosen[stratum] = level
        weights[stratum] = float(lengths[positions].sum() / total)
    used = np.concatenate([np.zeros(0, dtype=np.int64), *members.values()])
    return Composition(members, chosen, weights, len(used if contigs is None else np.unique(contigs[used])))


def _draw(name: str) -> float:
    """A number of the exponential distribution, the same for the same name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return -math.log((number + 1) / (2**64 + 1))

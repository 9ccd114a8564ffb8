"""Contigs and bins as queries: their scores, their p-values, and why some get none."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

import numpy as np

from workflow_lib.embed.cuts import Cuts
from workflow_lib.errors import InputError
from workflow_lib.index import SearchIndex
from workflow_lib.index.base import to_chord
from workflow_lib.novelty.calibration_set import CalibrationSet
from workflow_lib.novelty.calls import ABSTAIN, CONFLICT, Calls
from workflow_lib.novelty.design import KNOWN
from workflow_lib.novelty.genera import find_genera, keep_one_genus
from workflow_lib.novelty.identity import (
    MIN_PLACED,
    Matches,
    Pairs,
    best_identities,
    keep_large,
    keep_placed,
    pair_identities,
)
from workflow_lib.novelty.scores import (
    Measure,
    Neighbours,
    find_neighbours,
    join_neighbours,
    margin_taxa,
    summarise_each,
)
from workflow_lib.novelty.stand_ins import StandIns, find_stand_ins
from workflow_lib.novelty.strata import Composition, class_range, compose_bin, find_class, format_stratum
from workflow_lib.novelty.tested import RankTests, Settings

logger = logging.getLogger(__name__)

TOO_SHORT, NO_VECTOR, TOO_FEW = "too_short", "no_vector", "too_few_calibration_genomes"
INCOMPLETE, MIXED = "incomplete_neighbours", "mixed_bin"
LONGER, PARTLY, SEVERAL = "longer_than_calibrated", "partly_matched", "several_genera"
# A bin is taken for a mixture when its contigs point more ways than those of 99.5% of the calibration genomes.
_MIXED_LEVEL, _MIXED_GENOMES = 0.005, 50  # of the latter at least


@dataclass(frozen=True)
class Results:
    """One row a query; what the table of a level is made of.

    Attributes
    ----------
    names : m queries. lengths : int64 (m,) bp. n_windows : int64 (m,) vectors searched.
    strata : text (m). reasons : why there is no call, else empty. flags : sets of words.
    neighbours : NaN and -1 where nothing was searched.
    """

    names: list[str]
    lengths: np.ndarray
    n_windows: np.ndarray
    strata: list[str]
    reasons: list[str]
    flags: list[set[str]]
    neighbours: Neighbours
    calls: Calls


def call_contigs(
    index: SearchIndex,
    calibration: CalibrationSet,
    vectors: np.ndarray,
    names: list[str],
    lengths: np.ndarray,
    settings: Settings,
    *,
    bins: dict[str, np.ndarray] | None = None,
    matches: Matches | None = None,
    cuts: Cuts | None = None,
    known: np.ndarray | None = None,
) -> Results:
    """Test every contig.

    Contigs of a bin, and those in none with one nearest genome, vary together: they count as one where the shares of
    the classes of queries are bounded (`counted_classes.bound_shares`).

    For a contig that is longer than the pieces that calibrate stands the one of its cuts that has the median score; one
    without cuts is held against shorter pieces and flagged.

    Parameters
    ----------
    vectors : float32 (m, d), unit rows; a row of zeros is abstained from.
    names : m contig names. lengths : int64 (m,) bp.
    bins : bin -> positions of its contigs; None: there are none.
    matches : of `Sketch.match`, contigs in the order of `names`, then the cuts; needed where the calibration has
        identities.
    cuts : of contigs of `LONG` bp and more.
    known : int64, of contigs in the order of `names`, then of the cuts: bp that are A, C, G or T. Vectors and
        identities come from these alone: a contig is held against pieces of as many. None: all are.

    Memory: the vectors, a block of the search, and queries x genomes of a block.
    """
    stand_ins = _find_stand_ins(calibration, vectors, names, lengths, cuts, settings, known)
    found, at, n_vectors = _search(index, calibration, stand_ins, _usable_matches(matches, calibration))
    searched, enough = at >= 0, stand_ins.long_enough[: len(names)]
    neighbours, large, known_by = (_spread(one, searched) for one in found)
    complete = ~searched | np.isfinite(neighbours.score)  # an approximate index may find fewer than k genomes
    stratum = np.where(searched & complete, stand_ins.stratum[at], -1)
    longer, tested = stand_ins.longer[at] & (stratum >= 0), RankTests(len(names), index.table.lineages, settings)
    own_class = _length_classes(stand_ins.known[at], stratum, calibration.bounds)
    for own, length_class in np.unique(np.column_stack([stratum, own_class])[stratum >= 0], axis=0).tolist():
        rows = np.flatnonzero((stratum == own) & (own_class == length_class))
        pieces = partial(calibration.pieces, own, length_class=length_class)
        own_scores = neighbours.score[rows], neighbours.genome[rows], longer[rows]
        tested.add(rows, pieces, *own_scores, known_scores=known_by.score[rows])
    calls = tested.decide(_group_contigs(neighbours.genome, bins or {}))
    return Results(
        names=names,
        lengths=lengths,
        n_windows=n_vectors,
        strata=tested.name_strata(_format_classes(stratum, own_class, calibration.bounds)),
        reasons=[
            _reason(call, bool(is_enough), bool(has_vector), "" if is_complete else INCOMPLETE)
            for call, is_enough, has_vector, is_complete in zip(calls.call, enough, searched, complete, strict=True)
        ],
        flags=_flags(calls, longer, neighbours, large, known_by),
        neighbours=_known_by(calls, neighbours, known_by),
        calls=calls,
    )


def call_bins(
    index: SearchIndex,
    calibration: CalibrationSet,
    bins: dict[str, np.ndarray],
    vectors: np.ndarray,
    names: list[str],
    lengths: np.ndarray,
    settings: Settings,
    *,
    matches: Matches | None = None,
    cuts: Cuts | None = None,
    known: np.ndarray | None = None,
) -> Results:
    """Test every bin by one statistic.

    A bin is the mean vector of its contigs: plain within a length stratum, strata weighted by their share of length.
    Its distances are to the mean directions of the genomes. Of calibration genomes the same is made with as many pieces
    in each stratum (`CalibrationSet.bin_scores`). Contigs that are longer than these are replaced by their cuts.

    Parameters
    ----------
    bins : bin -> positions of its contigs in `vectors`, `names`, `lengths`; `matches`, `known` as of `call_contigs`.

    Memory: one bin's contigs, and genomes x candidates of one test.
    """
    stand_ins = _find_stand_ins(calibration, vectors, names, lengths, cuts, settings, known)
    members_of, measure = [stand_ins.of(own) for own in bins.values()], _make_measure(index, calibration)
    compositions = [_compose(stand_ins, own, calibration) for own in members_of]
    longer = np.array([stand_ins.longer[own].any() for own in members_of], dtype=bool)
    pairs = _match_bins(matches, calibration, compositions, members_of, len(stand_ins.names))
    tested, found = RankTests(len(bins), index.table.lineages, settings), []
    genera = find_genera(index.table, calibration)
    mixed, untold = np.zeros((2, len(bins)), dtype=bool)
    for row in (row for row, one in enumerate(compositions) if one.members):
        vector = _bin_vector(compositions[row], stand_ins, members_of[row])
        distances = to_chord(calibration.means @ vector / max(np.linalg.norm(vector), 1e-12))[None, :]
        placed = _bin_pairs(pairs, row, distances, calibration, is_placed=compositions[row].n_contigs >= MIN_PLACED)
        found.append(summarise_each(distances, measure, _best_of_each(placed, 1, genera, calibration)))
        near, _, by = found[-1]
        mixed[row], untold[row] = _is_mixed(vector, calibration.bin_evenness(compositions[row]))
        like = partial(calibration.bins, compositions[row])
        tested.add(np.array([row]), like, near.score, near.genome, longer[row : row + 1], known_scores=by.score)
    _warn_of_untold(int(untold.sum()))
    tested.drop(np.flatnonzero(mixed))
    calls = tested.decide()
    searched = np.array([bool(one.members) for one in compositions], dtype=bool)
    neighbours, large, known_by = (_spread(join_neighbours([one[i] for one in found]), searched) for i in range(3))
    return Results(
        names=list(bins),
        lengths=np.array([lengths[own].sum() for own in bins.values()], dtype=np.int64),
        n_windows=np.array([sum(map(len, one.members.values())) for one in compositions], dtype=np.int64),
        strata=tested.name_strata([_format_composition(one, calibration.bounds) for one in compositions]),
        reasons=[
            _reason(call, *_usability(stand_ins, own), MIXED if is_mixed else "")
            for call, own, is_mixed in zip(calls.call, bins.values(), mixed, strict=True)
        ],
        flags=_flags(calls, longer, neighbours, large, known_by),
        neighbours=_known_by(calls, neighbours, known_by),
        calls=calls,
    )


def _find_stand_ins(
    calibration: CalibrationSet,
    vectors: np.ndarray,
    names: list[str],
    lengths: np.ndarray,
    cuts: Cuts | None,
    settings: Settings,
    known: np.ndarray | None,
) -> StandIns:
    own = {"min_length": settings.min_length, "min_calibration": settings.min_calibration, "known": known}
    return find_stand_ins(calibration, vectors, names, lengths, cuts, **own)


def _usability(stand_ins: StandIns, contigs: np.ndarray) -> tuple[bool, bool]:
    """Whether any of some contigs (positions) is long enough, and whether any of these has a vector."""
    enough = stand_ins.long_enough[contigs]
    return bool(enough.any()), bool((stand_ins.has_vector[contigs] & enough).any())


def _warn_of_untold(n: int) -> None:
    if n:
        logger.warning("%d bins: fewer than %d reference genomes tell if they are mixed", n, _MIXED_GENOMES)


def _make_measure(index: SearchIndex, calibration: CalibrationSet) -> Measure:
    return Measure(calibration.spread, int(calibration.k), margin_taxa(index.table.lineages), calibration.name_order)


def _search(
    index: SearchIndex, calibration: CalibrationSet, stand_ins: StandIns, matches: Matches
) -> tuple[list[Neighbours], np.ndarray, np.ndarray]:
    """Search all contigs, or their cuts, of which the one of median score is taken; of an even number the last is left
    out, for each of two is an extreme.

    Returns
    -------
    neighbours of the contigs that have a vector, as `_best_of_each`; what stands for each
    contig, int64 (n,) position, -1 where nothing does; how many vectors were searched for it, int64 (n,).
    """
    n, n_all = len(stand_ins.replaced), len(stand_ins.names)
    positions = stand_ins.of(np.arange(n))
    positions = _leave_odd(positions[stand_ins.has_vector[positions]], stand_ins.contig)
    pairs = pair_identities(matches, np.arange(n_all), len(index.table.genomes))
    best = _best_of_each(pairs, n_all, find_genera(index.table, calibration), calibration)
    found = find_neighbours(
        index,
        stand_ins.vectors(positions),
        _make_measure(index, calibration),
        [(identity[positions], matched[positions]) for identity, matched in best],
    )
    contig = stand_ins.contig[positions]
    order, n_vectors = np.lexsort((found[0].score, contig)), np.bincount(contig, minlength=n)
    chosen = order[(np.cumsum(n_vectors) - n_vectors + n_vectors // 2)[n_vectors > 0]]
    at = np.full(n, -1, dtype=np.int64)
    at[n_vectors > 0] = positions[chosen]
    return [Neighbours(**{name: column[chosen] for name, column in vars(one).items()}) for one in found], at, n_vectors


def _best_of_each(
    pairs: Pairs, n_groups: int, genera: np.ndarray, calibration: CalibrationSet
) -> list[tuple[np.ndarray, np.ndarray]]:
    """`best_identities` of all pairs, of those large enough to be known by, and of these of those of one genus."""
    large = keep_large(pairs)
    each = pairs, large, keep_one_genus(large, genera)
    return [best_identities(own, n_groups, calibration.name_order) for own in each]


def _length_classes(known: np.ndarray, stratum: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """int64 (m,), of `find_class`; a query that is longer than its stratum is taken for one of the stratum's end."""
    return find_class(np.minimum(known, bounds[stratum + 1]), int(bounds[0]))


def _format_classes(stratum: np.ndarray, length_class: np.ndarray, bounds: np.ndarray) -> list[str]:
    """Lengths of the pieces that queries are held against, e.g. `4204-8408` (bp); nothing without a stratum."""
    ranges = [class_range(number, int(bounds[0])) for number in range(int(length_class.max(initial=0)) + 1)]
    texts = [f"{low}-{min(high, int(bounds[-1])) - 1}" for low, high in ranges]
    return [texts[own] if is_tested else "" for own, is_tested in zip(length_class, stratum >= 0, strict=True)]


def _known_by(calls: Calls, neighbours: Neighbours, known_by: Neighbours) -> Neighbours:
    """The neighbours, of queries that are known by another genome than that of the highest identity by that genome."""
    other = np.array([call == KNOWN for call in calls.call], dtype=bool) & (known_by.score > neighbours.score)
    return Neighbours(**{name: np.where(other, getattr(known_by, name), own) for name, own in vars(neighbours).items()})


def _group_contigs(nearest: np.ndarray, bins: dict[str, np.ndarray]) -> np.ndarray:
    """Which contigs vary together, int64 (m,): those of a bin, and those in none that have one nearest genome."""
    groups = nearest + len(bins) + 1  # -1, of none: a number of its own
    for number, members in enumerate(bins.values()):
        groups[members] = number
    return groups


def _leave_odd(positions: np.ndarray, contig: np.ndarray) -> np.ndarray:
    """Positions without the last of each contig that has an even number of them; `contig`: that of every position."""
    own, counts = contig[positions], np.bincount(contig[positions], minlength=1)
    order = np.argsort(own, kind="stable")
    last = order[np.cumsum(counts)[(counts > 0) & (counts % 2 == 0)] - 1]
    return np.delete(positions, last)


def _compose(stand_ins: StandIns, members: np.ndarray, calibration: CalibrationSet) -> Composition:
    names, levels = [stand_ins.names[i] for i in members], tuple(calibration.levels.tolist())
    own = stand_ins.bp[members], stand_ins.stratum[members]
    return compose_bin(names, *own, levels, stand_ins.contig[members])


def _usable_matches(matches: Matches | None, calibration: CalibrationSet) -> Matches:
    """Refuse queries without matches where the calibration has identities; pass over them where it has none."""
    if not calibration.has_identity:
        return Matches.none()
    if matches is None:
        raise InputError(
            "the calibration's scores hold identities to reference genomes, the queries' would not",
            remedy="give `matches` of the sketch that the index was calibrated with",
        )
    return matches


def _match_bins(
    matches: Matches | None,
    calibration: CalibrationSet,
    compositions: list[Composition],
    members_of: list[np.ndarray],
    n_all: int,
) -> Pairs:
    """`pair_identities` of what stands for each bin, of `n_all` contigs and cuts."""
    groups = np.full(n_all, -1, dtype=np.int64)
    for row, (one, own) in enumerate(zip(compositions, members_of, strict=True)):
        for members in one.members.values():
            groups[own[members]] = row
    return pair_identities(_usable_matches(matches, calibration), groups, len(calibration.means))


def _bin_pairs(pairs: Pairs, row: int, distances: np.ndarray, calibration: CalibrationSet, *, is_placed: bool) -> Pairs:
    """The pairs of a bin, which is group 0 in them, that count as in `CalibrationSet.bin_scores`."""
    own = slice(*np.searchsorted(pairs[0], [row, row + 1]))
    found = np.zeros(own.stop - own.start, dtype=np.int64), *(values[own] for values in pairs[1:])
    if is_placed:
        nearest = np.lexsort((calibration.name_order, distances[0]))[None, : calibration.bin_candidates.shape[2]]
        found = keep_placed(found, nearest, np.take_along_axis(distances, nearest, axis=1), calibration.spread)
    return found


def _bin_vector(composition: Composition, stand_ins: StandIns, members_of: np.ndarray) -> np.ndarray:
    """float64 (d,): a bin's mean vector, of the length that even contigs give it."""
    mixed = np.zeros(stand_ins.dim)
    for stratum, members in composition.members.items():
        mixed += composition.weights[stratum] * stand_ins.vectors(members_of[members]).mean(axis=0)
    return mixed


def _is_mixed(vector: np.ndarray, calibrated: np.ndarray) -> tuple[bool, bool]:
    """Whether a bin is mixed, and whether too few genomes (`_MIXED_GENOMES`) are calibrated to tell; then it is not.

    It is where it is less even than all but `_MIXED_LEVEL` of the genomes' bins, of fewer than 199 than all of them.
    """
    squares = calibrated[np.isfinite(calibrated)]
    if len(squares) < _MIXED_GENOMES:  # too many good bins would be lost
        return False, True
    level = max(_MIXED_LEVEL, 1 / (len(squares) + 1))
    return bool((1 + (squares <= vector @ vector).sum()) / (len(squares) + 1) <= level), False


def _format_composition(composition: Composition, bounds: np.ndarray) -> str:
    """Contigs or cuts used of each stratum, e.g. `2500-4999:8;5000-9999:2`."""
    return ";".join(f"{format_stratum(s, bounds)}:{len(members)}" for s, members in composition.members.items())


def _reason(call: str, long_enough: bool, has_vector: bool, other: str) -> str:
    """Why there is no call; `other` is a reason found while searching."""
    if call != ABSTAIN:
        return ""
    if not long_enough:
        return TOO_SHORT
    return (other or TOO_FEW) if has_vector else NO_VECTOR


def _flags(
    calls: Calls, longer: np.ndarray, neighbours: Neighbours, large: Neighbours, known_by: Neighbours
) -> list[set[str]]:
    words = LONGER, PARTLY, SEVERAL, CONFLICT
    told = longer, large.score > neighbours.score, known_by.score > large.score, calls.conflict
    return [{word for word, is_on in zip(words, own, strict=True) if is_on} for own in zip(*told, strict=True)]


def _spread(found: Neighbours, rows: np.ndarray) -> Neighbours:
    """Neighbours of the queries of `rows` (bool) as those of all queries: -1 and NaN elsewhere."""
    values = {}
    for name, column in vars(found).items():
        values[name] = np.full(len(rows), -1 if name == "genome" else np.nan, dtype=column.dtype)
        values[name][rows] = column
    return Neighbours(**values)

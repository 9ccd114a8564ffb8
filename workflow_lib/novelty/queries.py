"""Contigs and bins as queries: their scores, their p-values, and why some get none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from workflow_lib.embed.cuts import Cuts
from workflow_lib.errors import InputError
from workflow_lib.index import SearchIndex
from workflow_lib.novelty.calibration_set import CalibrationSet
from workflow_lib.novelty.calls import ABSTAIN, CONFLICT, Calls
from workflow_lib.novelty.groups import (
    Groups,
    find_group_neighbours,
    find_group_vectors,
    find_mixed,
    format_groups,
    hold_groups,
)
from workflow_lib.novelty.identity import Matches, find_identities
from workflow_lib.novelty.scores import Neighbours, find_neighbours, margin_taxa
from workflow_lib.novelty.stand_ins import StandIns, find_stand_ins
from workflow_lib.novelty.strata import format_stratum
from workflow_lib.novelty.tested import RankTests, Settings

TOO_SHORT, NO_VECTOR, TOO_FEW = "too_short", "no_vector", "too_few_calibration_genomes"
INCOMPLETE, MIXED = "incomplete_neighbours", "mixed_bin"
LONGER = "longer_than_calibrated"


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
    matches: Matches | None = None,
    cuts: Cuts | None = None,
) -> Results:
    """Test every contig.

    A contig that is longer than the pieces that calibrate is tested as a bin of its cuts (see `call_bins`); one without
    cuts is held against shorter pieces and flagged.

    Parameters
    ----------
    vectors : float32 (m, d), unit rows; a row of zeros is abstained from.
    names : m contig names. lengths : int64 (m,) bp.
    matches : of `Sketch.match`, contigs in the order of `names`, then the cuts; needed where the calibration has
        identities.
    cuts : of the contigs.

    Memory: a block of the search, queries x genomes of a block, and a few numbers a contig.
    """
    matches, stand_ins = _prepare(calibration, vectors, names, lengths, cuts, settings, matches)
    tests, taxa = RankTests(len(names), index.table.lineages, settings), margin_taxa(index.table.lineages)
    has_vector, cut = vectors.any(axis=1), np.flatnonzero(stand_ins.is_cut)
    whole = has_vector & ~stand_ins.is_cut
    neighbours = _search_wholes(index, calibration, vectors, whole, matches, taxa)
    complete = ~whole | np.isfinite(neighbours.score)  # an approximate index may find fewer than k genomes
    strata = np.where(whole & complete, stand_ins.stratum[: len(names)], -1)
    longer = stand_ins.longer[: len(names)] & (strata >= 0)
    for stratum in np.unique(strata[strata >= 0]):
        rows = np.flatnonzero(strata == stratum)
        pieces = partial(calibration.pieces, int(stratum))
        tests.add(rows, pieces, neighbours.score[rows], neighbours.genome[rows], longer[rows])
    groups = Groups.of([np.array([row]) for row in cut], stand_ins, calibration)
    near_cut = find_group_neighbours(groups, find_group_vectors(groups, stand_ins), calibration, matches, taxa)
    longer[cut] = groups.longer(stand_ins)
    hold_groups(tests, cut, groups, near_cut, calibration, longer[cut])
    calls, n_vectors = tests.decide(), has_vector.astype(np.int64)
    n_vectors[cut] = groups.n_vectors
    formatted = np.array([format_stratum(stratum, calibration.bounds) for stratum in strata], dtype=object)
    formatted[cut] = format_groups(groups, calibration.bounds)
    return Results(
        names=names,
        lengths=lengths,
        n_windows=n_vectors,
        strata=tests.name_strata(formatted.tolist()),
        reasons=[
            _reason(call, bool(length >= settings.min_length), bool(has_vector), "" if is_complete else INCOMPLETE)
            for call, length, has_vector, is_complete in zip(calls.call, lengths, has_vector, complete, strict=True)
        ],
        flags=_flags(calls, longer),
        neighbours=_spread(near_cut, stand_ins.is_cut, onto=neighbours),
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
) -> Results:
    """Test every bin by one statistic.

    A bin is the mean vector of its contigs: plain within a length stratum, strata weighted by their share of the bin's
    length. Its distances are those to the mean directions of the genomes. Of every calibration genome the same is made
    with its own pieces, as many in each stratum (see `CalibrationSet.bin_scores`). Contigs that are longer than these
    pieces are replaced by their cuts.

    Parameters
    ----------
    bins : bin -> positions of its contigs in `vectors`, `names`, `lengths` and `matches` (as of `call_contigs`).

    Memory: one bin's contigs, and genomes x candidates of one test.
    """
    matches, stand_ins = _prepare(calibration, vectors, names, lengths, cuts, settings, matches)
    groups = Groups.of(list(bins.values()), stand_ins, calibration)
    means, taxa = find_group_vectors(groups, stand_ins), margin_taxa(index.table.lineages)
    found = find_group_neighbours(groups, means, calibration, matches, taxa)
    mixed, longer = find_mixed(groups, means, calibration), groups.longer(stand_ins)
    tests = RankTests(len(bins), index.table.lineages, settings)
    hold_groups(tests, np.arange(len(bins)), groups, found, calibration, longer)
    tests.drop(np.flatnonzero(mixed))
    calls, has_vector, enough = tests.decide(), vectors.any(axis=1), lengths >= settings.min_length
    return Results(
        names=list(bins),
        lengths=np.array([lengths[own].sum() for own in bins.values()], dtype=np.int64),
        n_windows=groups.n_vectors,
        strata=tests.name_strata(format_groups(groups, calibration.bounds)),
        reasons=[
            _reason(call, bool(enough[own].any()), bool((has_vector & enough)[own].any()), MIXED if is_mixed else "")
            for call, own, is_mixed in zip(calls.call, bins.values(), mixed, strict=True)
        ],
        flags=_flags(calls, longer),
        neighbours=_spread(found, groups.n_vectors > 0),
        calls=calls,
    )


def _search_wholes(
    index: SearchIndex,
    calibration: CalibrationSet,
    vectors: np.ndarray,
    whole: np.ndarray,
    matches: Matches,
    taxa: np.ndarray,
) -> Neighbours:
    """Neighbours of the contigs of `whole` (bool) among all contigs."""
    owners = np.arange(max(len(vectors), matches.owner.max(initial=-1) + 1))  # of contigs, and behind them of cuts
    identity, matched = find_identities(matches, owners, len(owners), len(index.table.genomes))
    found = find_neighbours(
        *(index, vectors[whole], calibration.spread),
        k=int(calibration.k),
        taxa=taxa,
        identity=(identity[: len(vectors)][whole], matched[: len(vectors)][whole]),
    )
    return _spread(found, whole)


def _prepare(
    calibration: CalibrationSet,
    vectors: np.ndarray,
    names: list[str],
    lengths: np.ndarray,
    cuts: Cuts | None,
    settings: Settings,
    matches: Matches | None,
) -> tuple[Matches, StandIns]:
    """Matches, empty where the calibration has no identities, and what stands for the contigs.

    Raises
    ------
    InputError
        for queries without matches where the calibration has identities.
    """
    if calibration.has_identity and matches is None:
        raise InputError(
            "the calibration's scores hold identities to reference genomes, the queries' would not",
            remedy="give `matches` of the sketch that the index was calibrated with",
        )
    stand_ins = find_stand_ins(
        *(calibration, vectors, names, lengths, cuts),
        min_length=settings.min_length,
        min_calibration=settings.min_calibration,
    )
    return matches if calibration.has_identity else Matches.none(), stand_ins


def _reason(call: str, long_enough: bool, has_vector: bool, other: str) -> str:
    """Why there is no call; `other` is a reason found while searching."""
    if call != ABSTAIN:
        return ""
    if not long_enough:
        return TOO_SHORT
    return (other or TOO_FEW) if has_vector else NO_VECTOR


def _flags(calls: Calls, longer: np.ndarray) -> list[set[str]]:
    return [
        {word for word, on in ((LONGER, is_longer), (CONFLICT, is_conflict)) if on}
        for is_longer, is_conflict in zip(longer, calls.conflict, strict=True)
    ]


def _spread(found: Neighbours, rows: np.ndarray, *, onto: Neighbours | None = None) -> Neighbours:
    """Neighbours of the queries of `rows` (bool) among all queries; elsewhere those of `onto`, or -1 and NaN."""
    values = {}
    for name, column in vars(found).items():
        if onto is None:
            values[name] = np.full(len(rows), -1 if name == "genome" else np.nan, dtype=column.dtype)
        else:
            values[name] = getattr(onto, name).copy()
        values[name][rows] = column
    return Neighbours(**values)

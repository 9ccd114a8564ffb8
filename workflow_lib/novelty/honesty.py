"""Does the error rate hold: the calibration tried on clades of the reference that it did not see, and shown.

Nothing here enters a call. Clades of the reference are split in halves many times; one half calibrates, the genomes of
the other are queries whose novelty is known, as what they were searched without is known. The calls are made as those
of a sample are, but for strata of taxa and classes of length: of both halves a stratum's pieces are spread alike.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from workflow_lib.fasta import read_fasta
from workflow_lib.files import atomic_open
from workflow_lib.index import load_index
from workflow_lib.index.base import to_chord
from workflow_lib.novelty.calibration_set import CalibrationSet, read_calibration
from workflow_lib.novelty.conformal import Calibration
from workflow_lib.novelty.design import CALIBRATED, KNOWN, OUTSIDE, TEST_RANKS, TESTS
from workflow_lib.novelty.strata import Composition, format_stratum
from workflow_lib.novelty.tested import STRATUM_UNITS, Calibrate, RankTests, Settings, is_sufficient
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)

LEVELS = (0.05, 0.1, 0.2)
_REPEATS = 20
_MIN_CLADES = 4  # fewer cannot be split in halves that both say something
_BIN_STRATA = 3  # shortest strata, of which one simulated bin is made in even parts; the other is of the longest
_HISTOGRAM_BINS = 40
_MAX_PAIRS = 300  # genomes whose identity to their nearest is measured


@dataclass(frozen=True)
class _Queries:
    """n contigs or bins: scores, float64 (T, n), of every test, genomes, int64 (n,), and calibrations of their like."""

    level: str
    stratum: str
    scores: np.ndarray
    genome: np.ndarray
    calibrate: Calibrate


def measure_calibration(
    index_folder: str | Path, genomes: dict[str, Genome], folder: str | Path, *, settings: Settings, seed: int
) -> None:
    """Write strata.tsv, rates.tsv, distances.tsv and identities.tsv of a calibrated index to `folder`.

    Parameters
    ----------
    genomes : of the reference table, for the sequences of the pairs whose identity is measured.
    settings : of the calls; half of the units calibrate, so half of `min_calibration` is enough.
    seed : of the splits, and of the choice of pairs.

    Memory: the calibration, and the sketches of a few hundred genomes.
    """
    index = load_index(index_folder)
    calibration = read_calibration(index_folder, index)
    kinds = list(_queries(calibration))
    generator = np.random.default_rng(seed)
    folder = Path(folder)
    strata = _strata_rows(index.table.lineages, kinds, settings)
    _write(folder / "strata.tsv", ("level", "stratum", "test", "units", "smallest_q", "tested"), strata)
    _warn_of_untested(strata, settings)
    columns = ("level", "stratum", "rank", "alpha", "units", "queries", "realised", "standard_error", "p_null", "power")
    halved = replace(settings, alpha=max(LEVELS), min_calibration=max(settings.min_calibration // 2, 1))
    # A genome that names nothing is a clade of its own.
    lineages = [index.table.lineages[code] | {"genome": index.table.genomes[code]} for code in calibration.calibrating]
    rates = [row for kind in kinds for row in _rate_rows(calibration, lineages, kind, halved, generator)]
    _write(folder / "rates.tsv", columns, rates)
    distances = [row for stratum in range(len(calibration.bounds) - 1) for row in _distance_rows(calibration, stratum)]
    _write(folder / "distances.tsv", ("stratum", "left_out", "low", "high", "density"), distances)
    pairs = _identity_rows(calibration, index.table.genomes, genomes, generator)
    columns = ("genome", "nearest_genome", "distance", "ani", "aligned_fraction")
    _write(folder / "identities.tsv", columns, pairs)
    logger.info("%d rates, %d pairs of nearest genomes", len(rates), len(pairs))


def _queries(calibration: CalibrationSet) -> Iterator[_Queries]:
    """The calibration's own contigs, a stratum each, and its genomes as bins; by name, as splits are drawn by row."""
    order = calibration.name_order[calibration.calibrating]
    by_name = np.argsort(order)
    for stratum in range(len(calibration.bounds) - 1):
        rows = np.flatnonzero(calibration.piece_stratum == stratum)
        rows = rows[np.argsort(order[calibration.piece_genome[rows]], kind="stable")]
        name = format_stratum(stratum, calibration.bounds)
        scores, like = calibration.piece_scores[:, rows], partial(calibration.pieces, stratum)
        yield _Queries("contig", name, scores, calibration.piece_genome[rows], like)
    n_strata, top = len(calibration.bounds) - 1, len(calibration.levels) - 1
    of_short, of_long = range(min(_BIN_STRATA, n_strata)), range(n_strata - 1, n_strata)
    for used in [of_short] if n_strata <= _BIN_STRATA else [of_short, of_long]:
        n_pieces = int(calibration.levels[top])
        composition = Composition(
            {}, dict.fromkeys(used, top), dict.fromkeys(used, 1 / len(used)), n_contigs=n_pieces * len(used)
        )
        scores = np.array([calibration.bin_scores(test, composition)[0][by_name] for test in CALIBRATED])
        name = ";".join(f"{format_stratum(s, calibration.bounds)}:{n_pieces}" for s in used)
        yield _Queries("bin", name, scores, by_name, partial(calibration.bins, composition))


def _strata_rows(lineages: list[dict[str, str]], kinds: list[_Queries], settings: Settings) -> list[tuple]:
    """Units of every test at the ranks that any lineage names, pooled, and of the taxa that are strata of their own."""
    unnamed = {rank for rank in TEST_RANKS if not any(lineage.get(rank) for lineage in lineages)}
    rows = []
    for kind in kinds:
        for test in TESTS:
            if test in unnamed:
                continue
            one = kind.calibrate(test, None)
            smallest, tested = (one.smallest_p if one.n_units else np.nan), is_sufficient(one, settings)
            rows.append((kind.level, kind.stratum, test, one.n_units, smallest, "yes" if tested else "no"))
        for rank, least in STRATUM_UNITS.items():
            taxa = np.array([lineage.get(rank, "") for lineage in lineages])
            for taxon, test in product(sorted(set(taxa) - {""}), TEST_RANKS):
                one = kind.calibrate(test, taxa == taxon)
                if one.n_units >= least and is_sufficient(one, settings):
                    rows.append((kind.level, f"{kind.stratum}|{taxon}", test, one.n_units, one.smallest_p, "yes"))
    return rows


def _warn_of_untested(strata: list[tuple], settings: Settings) -> None:
    """Say at which named ranks nothing can be called, and for the species, where that is easily mended, how."""
    tested = {row[2] for row in strata if row[5] == "yes"}
    ranks = [rank for rank in TEST_RANKS if any(row[2] == rank for row in strata)]
    units = {rank: max(row[3] for row in strata if row[2] == rank) for rank in ranks if rank not in tested}
    if not ranks:
        logger.warning("the reference names no taxa below the domain: nothing can be called novel at a rank, nor known")
    elif units:
        logger.warning(
            "nothing can be called novel at these ranks: %s: the reference gives their tests fewer than %d units (in "
            "brackets), which are species with two genomes, genera with two species, and so on up%s",
            ", ".join(f"{rank} ({n})" for rank, n in units.items()),
            max(settings.min_calibration, math.ceil(1 / settings.alpha) - 1),
            "; for the rank of species, add second genomes to the reference" if TEST_RANKS[0] in units else "",
        )


def _in_use(calibration: CalibrationSet) -> list[str]:
    """Ranks that any genome calibrates, from species up."""
    return [rank for rank in TEST_RANKS if (calibration.units[CALIBRATED.index(rank)] >= 0).any()]


def _rate_rows(
    calibration: CalibrationSet,
    lineages: list[dict[str, str]],
    kind: _Queries,
    settings: Settings,
    generator: np.random.Generator,
) -> list[tuple]:
    """Realised rates, shares of null p-values and power a rank and level, over the splits."""
    in_use = _in_use(calibration)
    splits = [_try_split(calibration, lineages, kind, in_use, settings, generator) for _ in range(_REPEATS) if in_use]
    rows = []
    for position, rank in _positions(in_use):
        units, queries = (
            int(np.mean([split.n_units[rank] if i else len(split.novel) for split in splits])) for i in (1, 0)
        )
        for alpha in LEVELS:
            outcomes = np.array([split.outcome(rank, position, alpha) for split in splits])
            measured = ~np.isnan(outcomes).all(axis=0)
            if not measured[1:].any():
                continue  # no test was made
            means = np.full(3, np.nan)
            means[measured] = np.nanmean(outcomes[:, measured], axis=0)
            realised, p_null, power = means
            error = np.nanstd(outcomes[:, 0], ddof=1) / np.sqrt(_REPEATS)
            rows.append((kind.level, kind.stratum, rank, alpha, units, queries, realised, error, p_null, power))
    return rows


def _positions(in_use: list[str]) -> Iterator[tuple[int, str]]:
    """Tests that are tried, and how many ranks in use lie below; the opposite test last, where there are species."""
    yield from enumerate(in_use)
    if in_use[:1] == [TEST_RANKS[0]]:
        yield 0, KNOWN


@dataclass(frozen=True)
class _Split:
    """The calls of one split: p and q, float64 (n, T); novel, int64 (n,), ranks in use at which a query is novel."""

    p: np.ndarray
    q: np.ndarray
    novel: np.ndarray
    n_units: dict[str, int]

    def outcome(self, rank: str, position: int, alpha: float) -> tuple[float, float, float]:
        """(false discoveries among discoveries, share of null p-values at or below alpha, share of the others found).

        The null p-values are those of queries at the edge of the null: novel at the rank below, of `known` a new
        species of an indexed genus.
        """
        q, p = self.q[:, TESTS.index(rank)], self.p[:, TESTS.index(rank)]
        if np.isnan(q).all():
            return np.nan, np.nan, np.nan
        true, edge = self.novel > position, self.novel == position
        if rank == KNOWN:
            true, edge = self.novel == 0, self.novel == 1
        found = q <= alpha
        p_null = (p[edge] <= alpha).mean() if edge.any() else np.nan
        power = found[true].mean() if true.any() else np.nan
        return float((found & ~true).sum() / max(found.sum(), 1)), float(p_null), float(power)


def _try_split(
    calibration: CalibrationSet,
    lineages: list[dict[str, str]],
    kind: _Queries,
    in_use: list[str],
    settings: Settings,
    generator: np.random.Generator,
) -> _Split:
    """Calibrate with half of the clades, call the genomes of the others, each searched without one of its taxa.

    The clades are what the highest test leaves out, the largest that are not split anyway. One query a taxon of the
    lowest rank; what it is searched without is drawn from what the tests that it calibrates leave out.
    """
    clade = _clades(lineages, in_use)[kind.genome]
    chosen = generator.permutation(clade.max(initial=0) + 1) <= clade.max(initial=0) // 2
    held_out = chosen[clade]
    nulls = [*in_use, OUTSIDE]
    scores = np.array([kind.scores[CALIBRATED.index(test)] for test in nulls])
    # As queries, pieces for which nothing is found get no call; as calibration they count.
    usable = np.isfinite(scores) & np.array([calibration.units[CALIBRATED.index(t)][kind.genome] >= 0 for t in nulls])
    drawn = np.where(usable, generator.random(usable.shape), -1).argmax(axis=0)
    order = generator.permutation(len(kind.genome))
    order = order[held_out[order] & usable.any(axis=0)[order]]
    order = order[np.unique(_encode(lineages, in_use[:1])[kind.genome[order]], return_index=True)[1]]
    tested = RankTests(len(order), [{}] * len(calibration.means), settings)

    def calibrate(test: str, near: np.ndarray | None) -> Calibration:
        row = CALIBRATED.index(test)
        return Calibration(np.where(held_out, np.nan, kind.scores[row]), calibration.units[row][kind.genome])

    rows, no_known = np.arange(len(order)), np.zeros(len(order), dtype=bool)
    tested.add(rows, calibrate, scores[drawn[order], order], kind.genome[order], no_known)
    calls = tested.decide()
    n_units = {test: calibrate(test, None).n_units for _, test in _positions(in_use)}
    return _Split(calls.p, calls.q, drawn[order], n_units)


def _clades(lineages: list[dict[str, str]], in_use: list[str]) -> np.ndarray:
    """int64 (B,): what the test of the highest rank leaves out with each genome: its taxon of the next lower one."""
    return _encode(lineages, in_use[-2::-1] if len(in_use) > 1 else in_use)


def _encode(lineages: list[dict[str, str]], ranks: list[str]) -> np.ndarray:
    """int64 (B,): a number for each taxon, of the first of the ranks that a genome names; without any it is its own."""
    names = [next(f"{rank}\t{one[rank]}" for rank in (*ranks, "genome") if one.get(rank)) for one in lineages]
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1]


def _distance_rows(calibration: CalibrationSet, stratum: int) -> list[tuple]:
    """Densities of the distance to the nearest genome left, by what was left out; in-domain first.

    Each integrates to the share of the pieces for which a genome is found.
    """
    rows, name = [], format_stratum(stratum, calibration.bounds)
    in_stratum = calibration.piece_stratum == stratum
    in_use = _in_use(calibration)
    left_out = dict(zip([*in_use, OUTSIDE], ["genome", *in_use], strict=True))
    found = {what: calibration.piece_distances[CALIBRATED.index(test)][in_stratum] for test, what in left_out.items()}
    found = {what: values[~np.isnan(values)] for what, values in found.items()}
    found = {what: values for what, values in found.items() if np.isfinite(values).any()}
    if not found:
        return rows
    joined = np.concatenate(list(found.values()))
    joined = joined[np.isfinite(joined)]
    edges = np.linspace(joined.min(), max(joined.max(), joined.min() + 1e-3), _HISTOGRAM_BINS + 1)
    for what, values in found.items():
        density, _ = np.histogram(values[np.isfinite(values)], bins=edges, density=True)
        density *= np.isfinite(values).mean()
        rows += [(name, what, *row) for row in zip(edges[:-1], edges[1:], density, strict=True)]
    return rows


def _identity_rows(
    calibration: CalibrationSet, names: list[str], genomes: dict[str, Genome], generator: np.random.Generator
) -> list[tuple]:
    """Embedding distance and ANI (skani) of genomes and the genome whose mean direction is nearest."""
    from pyskani import Database

    if len(names) < 2:
        return []
    chosen = np.argsort(calibration.name_order)[np.sort(generator.permutation(len(names))[:_MAX_PAIRS])]
    similarities = calibration.means[chosen] @ calibration.means.copy().T
    similarities[np.arange(len(chosen)), chosen] = -np.inf
    nearest = similarities.argmax(axis=1)
    distances = to_chord(similarities[np.arange(len(chosen)), nearest])
    database = Database()
    for code in np.unique(nearest):
        database.sketch(names[code], *_contigs(genomes[names[code]]))
    rows = []
    for code, other, distance in zip(chosen, nearest, distances, strict=True):
        hits = database.query(names[code], *_contigs(genomes[names[code]]))
        hit = next((hit for hit in hits if hit.reference_name == names[other]), None)
        found = (100 * hit.identity, max(hit.query_fraction, hit.reference_fraction)) if hit else (np.nan, np.nan)
        rows.append((names[code], names[other], distance, *found))
    return rows


def _contigs(genome: Genome) -> list[bytes]:
    return [record.sequence for record in read_fasta(genome.fasta)]


def _write(path: Path, columns: Sequence[str], rows: list[tuple]) -> None:
    with atomic_open(path) as handle:
        handle.write("\t".join(columns) + "\n")
        handle.writelines("\t".join(map(_text, row)) + "\n" for row in rows)


def _text(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return str(value)

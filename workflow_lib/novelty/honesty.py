"""Does the error rate hold: the calibration tried on clades of the reference that it did not see, and shown.

Nothing here enters a call. Clades of the reference are split in halves many times; one half calibrates, the genomes of
the other are queries whose novelty is known, as what they were searched without is known.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.fasta import read_fasta
from workflow_lib.files import atomic_open
from workflow_lib.index import load_index
from workflow_lib.index.base import to_chord
from workflow_lib.novelty.calibrate import CalibrationSet, read_calibration
from workflow_lib.novelty.conformal import Calibration, benjamini_hochberg
from workflow_lib.novelty.design import CALIBRATED, OUTSIDE, TEST_RANKS, TESTS
from workflow_lib.novelty.strata import Composition, format_stratum
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)

LEVELS = (0.05, 0.1, 0.2)
_REPEATS = 20
_MIN_CLADES = 4  # fewer cannot be split in halves that both say something
_BIN_STRATA = 3  # shortest strata, of which the simulated bin is made in even parts: contigs of most bins
_HISTOGRAM_BINS = 40
_MAX_PAIRS = 300  # genomes whose identity to their nearest is measured


@dataclass(frozen=True)
class _Queries:
    """Scores, float64 (T, n), of n contigs or bins under every test, and the genome of each, int64 (n,)."""

    level: str
    stratum: str
    scores: np.ndarray
    genome: np.ndarray


def measure_calibration(index_folder: str | Path, genomes: dict[str, Genome], folder: str | Path, *, seed: int) -> None:
    """Write strata.tsv, rates.tsv, distances.tsv and identities.tsv of a calibrated index to `folder`.

    Parameters
    ----------
    genomes : of the reference table, for the sequences of the pairs whose identity is measured.
    seed : of the splits, and of the choice of pairs.

    Memory: the calibration, and the sketches of a few hundred genomes.
    """
    index = load_index(index_folder)
    calibration = read_calibration(index_folder, index)
    kinds = list(_queries(calibration))
    generator = np.random.default_rng(seed)
    folder = Path(folder)
    _write(folder / "strata.tsv", ("level", "stratum", "test", "units", "smallest_q"), _strata_rows(calibration, kinds))
    columns = ("level", "stratum", "rank", "alpha", "units", "queries", "realised", "standard_error", "p_null", "power")
    rates = [row for kind in kinds for row in _rate_rows(calibration, index.table.lineages, kind, generator)]
    _write(folder / "rates.tsv", columns, rates)
    distances = [row for stratum in range(len(calibration.bounds) - 1) for row in _distance_rows(calibration, stratum)]
    _write(folder / "distances.tsv", ("stratum", "left_out", "low", "high", "density"), distances)
    pairs = _identity_rows(calibration, index.table.genomes, genomes, generator)
    columns = ("genome", "nearest_genome", "distance", "ani", "aligned_fraction")
    _write(folder / "identities.tsv", columns, pairs)
    logger.info("%d rates, %d pairs of nearest genomes", len(rates), len(pairs))


def _queries(calibration: CalibrationSet) -> Iterator[_Queries]:
    """The calibration's own contigs, a stratum each, and its genomes as bins."""
    for stratum in range(len(calibration.bounds) - 1):
        rows = calibration.piece_stratum == stratum
        name = format_stratum(stratum, calibration.bounds)
        yield _Queries("contig", name, calibration.piece_scores[:, rows], calibration.piece_genome[rows])
    used = range(min(_BIN_STRATA, len(calibration.bounds) - 1))
    top = len(calibration.levels) - 1
    composition = Composition({}, dict.fromkeys(used, top), dict.fromkeys(used, 1 / len(used)))
    scores = np.array([calibration.bin_scores(test, composition) for test in CALIBRATED])
    name = ";".join(f"{format_stratum(s, calibration.bounds)}:{calibration.levels[top]}" for s in used)
    yield _Queries("bin", name, scores, np.arange(len(calibration.means)))


def _strata_rows(calibration: CalibrationSet, kinds: list[_Queries]) -> list[tuple]:
    rows = []
    for kind in kinds:
        for row, test in enumerate(TESTS):
            one = Calibration(kind.scores[row], calibration.units[row][kind.genome])
            rows.append((kind.level, kind.stratum, test, one.n_units, one.smallest_p if one.n_units else np.nan))
    return rows


def _rate_rows(
    calibration: CalibrationSet, lineages: list[dict[str, str]], kind: _Queries, generator: np.random.Generator
) -> list[tuple]:
    """Realised rates a rank: null queries are searched as the test's calibration is, novel ones without their taxon."""
    in_use = [rank for rank in TEST_RANKS if (calibration.units[CALIBRATED.index(rank)] >= 0).any()]
    rows = []
    for rank, above in zip(in_use, [*in_use[1:], OUTSIDE], strict=True):
        names = [lineage.get(rank) for lineage in lineages]
        clades = sorted({name for name in names if name})
        if len(clades) < _MIN_CLADES:
            continue
        code = np.array([clades.index(name) if name else -1 for name in names])
        splits = [_try_split(calibration, kind, rank, above, code, generator) for _ in range(_REPEATS)]
        units, queries = (int(np.mean([n[i] for *_, n in splits])) for i in range(2))
        if not units or not queries:
            continue  # nothing to measure
        for alpha in LEVELS:
            outcomes = np.array([_outcome(*split[:2], alpha) for split in splits])
            measured = ~np.isnan(outcomes).all(axis=0)
            means = np.full(3, np.nan)
            means[measured] = np.nanmean(outcomes[:, measured], axis=0)
            realised, p_null, power = means
            error = outcomes[:, 0].std(ddof=1) / np.sqrt(_REPEATS)
            rows.append((kind.level, kind.stratum, rank, alpha, units, queries, realised, error, p_null, power))
    return rows


def _try_split(
    calibration: CalibrationSet,
    kind: _Queries,
    rank: str,
    above: str,
    clade: np.ndarray,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """p-values of the queries of half of the clades, which are novel, units of the other half and number of queries."""
    chosen = generator.permutation(clade.max() + 1) < (clade.max() + 1) // 2
    held_out = (clade >= 0) & chosen[clade]
    null, novel = (kind.scores[CALIBRATED.index(test)] for test in (rank, above))
    units = calibration.units[CALIBRATED.index(rank)][kind.genome]
    one = Calibration(np.where(held_out[kind.genome], np.nan, null), units)
    # One query a taxon that the null leaves out, so that large taxa do not outweigh the others.
    order = generator.permutation(len(kind.genome))
    order = order[held_out[kind.genome[order]]]
    lower = np.where(units >= 0, units, -1 - kind.genome)[order]
    order = order[np.unique(lower, return_index=True)[1]]
    as_novel = generator.random(len(order)) < 0.5
    scores = np.where(as_novel, novel[order], np.where(units[order] >= 0, null[order], np.nan))
    used = np.isfinite(scores)
    return one.p_large(scores[used]), as_novel[used], (one.n_units, int(used.sum()))


def _outcome(p: np.ndarray, novel: np.ndarray, alpha: float) -> tuple[float, float, float]:
    """(false discoveries among discoveries, share of null p-values at or below alpha, share of novel found)."""
    rejected = benjamini_hochberg(p) <= alpha
    false = (rejected & ~novel).sum() / max(rejected.sum(), 1)
    p_null = (p[~novel] <= alpha).mean() if (~novel).any() else np.nan
    return float(false), float(p_null), float(rejected[novel].mean() if novel.any() else np.nan)


def _distance_rows(calibration: CalibrationSet, stratum: int) -> list[tuple]:
    """Densities of the distance to the nearest genome left, by what was left out; in-domain first."""
    rows, name = [], format_stratum(stratum, calibration.bounds)
    in_stratum = calibration.piece_stratum == stratum
    in_use = [rank for rank in TEST_RANKS if (calibration.units[CALIBRATED.index(rank)] >= 0).any()]
    left_out = dict(zip([*in_use, OUTSIDE], ["genome", *in_use], strict=True))
    found = {what: calibration.piece_distances[CALIBRATED.index(test)][in_stratum] for test, what in left_out.items()}
    found = {what: values[np.isfinite(values)] for what, values in found.items()}
    found = {what: values for what, values in found.items() if len(values)}
    if not found:
        return rows
    joined = np.concatenate(list(found.values()))
    edges = np.linspace(joined.min(), max(joined.max(), joined.min() + 1e-3), _HISTOGRAM_BINS + 1)
    for what, values in found.items():
        density, _ = np.histogram(values, bins=edges, density=True)
        rows += [(name, what, *row) for row in zip(edges[:-1], edges[1:], density, strict=True)]
    return rows


def _identity_rows(
    calibration: CalibrationSet, names: list[str], genomes: dict[str, Genome], generator: np.random.Generator
) -> list[tuple]:
    """Embedding distance and ANI (skani) of genomes and the genome whose mean direction is nearest."""
    from pyskani import Database

    if len(names) < 2:
        return []
    chosen = np.sort(generator.permutation(len(names))[:_MAX_PAIRS])
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

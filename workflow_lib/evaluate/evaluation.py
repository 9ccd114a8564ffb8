"""Evaluate a binning against a truth: tables of measures, of bins and of genomes.

Every measure is taken over three sets of contigs, named by the unbinned contigs that count (column `unbinned`):
`counted` all that are in the assembly and in the truth; `counted_kept` the same without the unbinned contigs that the
contig filter had dropped; `ignored` only binned contigs.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from csv import QUOTE_NONE
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_lib.contig2bin import read_bins, read_contig2bin
from workflow_lib.errors import InputError
from workflow_lib.evaluate.contingency import UNBINNED, Contingency, add_up, count_pairs
from workflow_lib.evaluate.measures import (
    average_completeness_cami1,
    count_good_bins,
    harmonic_mean,
    measure_quality,
    rand_indices,
    summarise_quality,
)
from workflow_lib.evaluate.species import MIN_SPECIES_CONTIGS, align_bins, count_species, species_f1
from workflow_lib.files import atomic_open

logger = logging.getLogger(__name__)

UNITS = ("bp", "contig")
_SETS = ("counted", "counted_kept", "ignored")
_SIGNIFICANT = 6  # digits of a written float
NO_GENOME = frozenset({"", "-", "n/a", "na", "nan", "none", "unassigned", "unbinned", "unknown", "unmapped"})


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate_binning` finds.

    Parameters
    ----------
    metrics : columns metric, by (bp or contig), unbinned (counted, counted_kept, ignored), value (float64, NaN where
        not defined).
    bins : a row a bin, by decreasing length.
    genomes : a row a genome, by decreasing length.
    """

    metrics: pd.DataFrame
    bins: pd.DataFrame
    genomes: pd.DataFrame

    def value(self, metric: str, *, by: str = "bp", unbinned: str = "counted") -> float:
        """One number of the metrics table; KeyError if it has no such row."""
        table = self.metrics
        found = table[(table["metric"] == metric) & (table["by"] == by) & (table["unbinned"] == unbinned)]
        if found.empty:
            raise KeyError((metric, by, unbinned))
        return float(found["value"].iloc[0])

    def write(self, *, metrics: str | Path, bins: str | Path, genomes: str | Path) -> None:
        """Write the three tables as TSV: 6 significant digits, counts in full, what is not defined left empty."""
        for frame, path in ((self.metrics, metrics), (self.bins, bins), (self.genomes, genomes)):
            with atomic_open(path) as handle:
                handle.write("\t".join(frame.columns) + "\n")
                handle.writelines("\t".join(map(_format, row)) + "\n" for row in frame.itertuples(index=False))


@dataclass(frozen=True)
class _Contigs:
    """The assembly's contigs that the truth names, as codes into sorted names; and what was left out."""

    lengths: np.ndarray  # int64 (n,) bp
    bins: np.ndarray  # int64 (n,), -1 = unbinned
    genomes: np.ndarray  # int64 (n,)
    kept: np.ndarray  # bool (n,)
    bin_names: list[str]
    genome_names: list[str]
    other_lengths: np.ndarray  # int64 (m,) bp of contigs that the truth does not name
    other_bins: np.ndarray  # int64 (m,)
    other_kept: np.ndarray  # bool (m,)
    n_missing: int  # contigs of the truth that the assembly lacks

    def masks(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """For each of the sets: which contigs are in it, and which of those that the truth does not name."""
        binned, other = self.bins != UNBINNED, self.other_bins != UNBINNED
        everything = np.ones(len(binned), dtype=bool), np.ones(len(other), dtype=bool)
        sets = (everything, (binned | self.kept, other | self.other_kept), (binned, other))
        return dict(zip(_SETS, sets, strict=True))

    def count(self, mask: np.ndarray) -> Contingency:
        sizes = {"n_bins": len(self.bin_names), "n_genomes": len(self.genome_names)}
        return count_pairs(self.bins[mask], self.genomes[mask], self.lengths[mask], **sizes)


def evaluate_files(*, contig2bin: str | Path, truth: str | Path, status: str | Path) -> Evaluation:
    """Evaluate a sample from its files.

    Parameters
    ----------
    contig2bin : contig -> bin, TSV or bioboxes.
    truth : contig -> genome, TSV or bioboxes.
    status : status.tsv of the filter stage: contig, length, status of every input contig.

    Raises
    ------
    InputError
        as `read_contig2bin` and `evaluate_binning`, with the file.
    """
    table = pd.read_csv(
        status, sep="\t", dtype={"contig": str, "length": np.int64}, keep_default_na=False, quoting=QUOTE_NONE
    )
    # A name that occurs twice stands for its kept record, else for the first.
    table = table.assign(kept=table["status"] == "kept").sort_values("kept", ascending=False, kind="stable")
    table = table.drop_duplicates("contig").sort_index()
    lengths = dict(zip(table["contig"], table["length"].tolist(), strict=True))
    kept = set(table.loc[table["kept"], "contig"])
    return evaluate_binning(
        read_bins(contig2bin), read_contig2bin(truth), lengths, kept=kept, truth_path=truth, bins_path=contig2bin
    )


def evaluate_binning(
    assignments: dict[str, str],
    truth: dict[str, str],
    lengths: dict[str, int],
    *,
    kept: Collection[str] | None = None,
    truth_path: str | Path | None = None,
    bins_path: str | Path | None = None,
) -> Evaluation:
    """Evaluate a binning against a truth.

    Contigs that the truth does not name, or whose genome is a word for none (`NO_GENOME`, in any case), are left out of
    every measure and counted as `not_in_truth`.

    Parameters
    ----------
    assignments : contig -> bin, binned contigs only; may be empty.
    truth : contig -> genome.
    lengths : contig -> bp of every contig of the assembly.
    kept : contigs that passed the contig filter; all if None.
    truth_path, bins_path : files named in errors.

    Raises
    ------
    InputError
        when no contig of the truth, or of the binning, is in the assembly: it belongs to another one.
    """
    n_missing = _check_names(truth, lengths, what="truth", path=truth_path)
    _check_names(assignments, lengths, what="binning", path=bins_path)
    contigs = _encode(assignments, _drop_no_genome(truth), lengths, kept, n_missing)
    logger.info(
        "truth: %d of %d contigs (%.2f of %.2f Mbp), %d genomes; binning: %d bins",
        len(contigs.lengths), len(lengths), contigs.lengths.sum() / 1e6, sum(lengths.values()) / 1e6,
        len(contigs.genome_names), len(contigs.bin_names),
    )  # fmt: skip
    masks = contigs.masks()
    tables = {name: contigs.count(mask) for name, (mask, _) in masks.items()}
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for name, table in tables.items():
        for key, value in _summarise(contigs, table, *masks[name], reference=tables[_reference(name)]).items():
            rows.setdefault(key, {})[name] = value
    rows["truth_not_in_assembly", "contig"] = {"counted": float(n_missing)}
    metrics = pd.DataFrame(
        [(metric, by, name, value) for (metric, by), values in rows.items() for name, value in values.items()],
        columns=["metric", "by", "unbinned", "value"],
    )
    return Evaluation(metrics, _bin_rows(contigs, tables), _genome_rows(contigs, tables))


def _check_names(names: dict[str, str], lengths: dict[str, int], *, what: str, path: str | Path | None) -> int:
    """How many contigs of a table the assembly lacks, with a warning; an error if it lacks all."""
    missing = sum(name not in lengths for name in names)
    if what == "truth" and not names:
        raise InputError("the truth names no contigs", path=path, remedy="give contig, tab, genome, one contig a line")
    if not lengths or not missing:
        return missing
    example, expected = next(name for name in names if name not in lengths), next(iter(lengths))
    if missing == len(names):
        raise InputError(
            f"none of the {len(names)} contigs of this {what} is in the assembly: found names like {example!r}, "
            f"expected names like {expected!r}",
            path=path,
            remedy=f"give the {what} of this assembly (names count up to the first blank)",
        )
    logger.warning("%d of %d contigs of the %s are not in the assembly, e.g. %r", missing, len(names), what, example)
    return missing


def _drop_no_genome(truth: dict[str, str]) -> dict[str, str]:
    """The truth without the contigs that it says are of no genome."""
    known = {contig: genome for contig, genome in truth.items() if genome.lower() not in NO_GENOME}
    if len(known) < len(truth):
        words = ", ".join(sorted(set(truth.values()) - set(known.values())))
        logger.warning("%d contigs of the truth have no genome there (%s)", len(truth) - len(known), words)
    return known


def _encode(
    assignments: dict[str, str],
    truth: dict[str, str],
    lengths: dict[str, int],
    kept: Collection[str] | None,
    n_missing: int,
) -> _Contigs:
    named = np.fromiter((contig in truth for contig in lengths), bool, len(lengths))
    bp = np.fromiter(lengths.values(), np.int64, len(lengths))
    bin_names = sorted({assignments[contig] for contig in lengths if contig in assignments})
    genome_names = sorted({truth[contig] for contig in lengths if contig in truth})
    bin_codes = {name: code for code, name in enumerate(bin_names)}
    genome_codes = {name: code for code, name in enumerate(genome_names)}
    bins = np.fromiter((bin_codes.get(assignments.get(contig), UNBINNED) for contig in lengths), np.int64, len(lengths))
    genomes = np.fromiter((genome_codes[truth[c]] for c in lengths if c in truth), np.int64, int(named.sum()))
    kept = lengths if kept is None else set(kept)
    is_kept = np.fromiter((contig in kept for contig in lengths), bool, len(lengths))
    return _Contigs(
        lengths=bp[named], bins=bins[named], genomes=genomes, kept=is_kept[named], bin_names=bin_names,
        genome_names=genome_names, other_lengths=bp[~named], other_bins=bins[~named], other_kept=is_kept[~named],
        n_missing=n_missing,
    )  # fmt: skip


def _reference(name: str) -> str:
    """The set that decides which species are large enough: the published code counts before it drops unbinned ones."""
    return "counted_kept" if name == "ignored" else name


def _summarise(
    contigs: _Contigs, table: Contingency, mask: np.ndarray, other: np.ndarray, *, reference: Contingency
) -> dict[tuple[str, str], float]:
    """All measures of one set of contigs: (metric, by) -> value, in the order of the written table."""
    quality = {by: measure_quality(table, by=by) for by in UNITS}
    values: dict[tuple[str, str], float] = {
        ("genomes", "contig"): float(np.count_nonzero(table.genome_contigs)),
        ("bins", "contig"): float(np.count_nonzero(table.bin_contigs)),
        ("evaluated", "bp"): float(table.genome_bp.sum()),
        ("evaluated", "contig"): float(mask.sum()),
        ("not_in_truth", "bp"): float(contigs.other_lengths[other].sum()),
        ("not_in_truth", "contig"): float(other.sum()),
    }
    summaries = {by: summarise_quality(quality[by]) for by in UNITS}
    for by, summary in summaries.items():
        cami1 = average_completeness_cami1(table, quality[by])
        summary["average_completeness_cami1"] = cami1
        summary["average_f1_cami1"] = harmonic_mean(cami1, summary["average_purity"])
        summary["rand_index"], summary["adjusted_rand_index"] = rand_indices(table, by=by)
    values |= {(metric, by): summaries[by][metric] for metric in summaries["bp"] for by in UNITS}
    values |= {(metric, "bp"): value for metric, value in count_good_bins(quality["bp"]).items()}
    large = reference.genome_contigs >= MIN_SPECIES_CONTIGS
    species = contigs.count(mask & large[contigs.genomes])
    f1 = species_f1(species, align_bins(species))
    values["species", "contig"] = float(np.count_nonzero(species.genome_contigs))
    return values | {(metric, "contig"): value for metric, value in count_species(f1).items()}


def _bin_rows(contigs: _Contigs, tables: dict[str, Contingency]) -> pd.DataFrame:
    table, names = tables["counted"], np.array([*contigs.genome_names, ""], dtype=object)
    main = table.best_per_bin()
    bp, contig = (measure_quality(table, by=by) for by in UNITS)
    binned = contigs.other_bins != UNBINNED
    others, other_bp = contigs.other_bins[binned], contigs.other_lengths[binned]
    size = len(contigs.bin_names)
    frame = pd.DataFrame(
        {
            "bin": contigs.bin_names,
            "genome": names[np.append(table.genomes, -1)[main]],
            "contigs": table.bin_contigs + np.bincount(others, minlength=size),
            "length_bp": table.bin_bp + add_up(others, other_bp, size),
            "contigs_in_truth": table.bin_contigs,
            "length_bp_in_truth": table.bin_bp,
            "shared_bp": np.append(table.bp, 0)[main],
            "completeness_bp": bp.bin_completeness,
            "purity_bp": bp.purity,
            "contamination_bp": 1 - bp.purity,
            "f1_bp": _f1(bp.bin_completeness, bp.purity),
            "completeness_contig": contig.bin_completeness,
            "purity_contig": contig.purity,
            "f1_contig": _f1(contig.bin_completeness, contig.purity),
        }
    )
    for name in _SETS[1:]:
        frame[f"completeness_bp_{name}"] = measure_quality(tables[name], by="bp").bin_completeness
    return frame.sort_values(["length_bp", "bin"], ascending=[False, True], ignore_index=True)


def _genome_rows(contigs: _Contigs, tables: dict[str, Contingency]) -> pd.DataFrame:
    table, names = tables["counted"], np.array([*contigs.bin_names, ""], dtype=object)
    best, aligned = table.best_per_genome(), align_bins(table)
    best_bin, aligned_bin = (np.append(table.bins, -1)[rows] for rows in (best, aligned))
    bp, contig = (measure_quality(table, by=by) for by in UNITS)
    shared, bin_bp = np.append(table.bp, 0)[best], np.append(table.bin_bp, 0)[best_bin]
    purity = np.divide(shared, bin_bp, out=np.full(len(best), np.nan), where=bin_bp > 0)
    frame = pd.DataFrame(
        {
            "genome": contigs.genome_names,
            "bin": names[best_bin],
            "contigs": table.genome_contigs,
            "length_bp": table.genome_bp,
            "contigs_binned": tables["ignored"].genome_contigs,
            "length_bp_binned": tables["ignored"].genome_bp,
            "shared_bp": shared,
            "completeness_bp": bp.genome_completeness,
            "purity_bp": purity,
            "f1_bp": _f1(bp.genome_completeness, purity),
            "completeness_contig": contig.genome_completeness,
        }
    )
    for name in _SETS[1:]:
        frame[f"completeness_bp_{name}"] = measure_quality(tables[name], by="bp").genome_completeness
    frame["aligned_bin"] = names[aligned_bin]
    frame["aligned_f1_contig"] = species_f1(table, aligned)
    return frame.sort_values(["length_bp", "genome"], ascending=[False, True], ignore_index=True)


def _f1(completeness: np.ndarray, purity: np.ndarray) -> np.ndarray:
    total = completeness + purity
    return np.divide(2 * completeness * purity, total, out=np.full(len(total), np.nan), where=total > 0)


def _format(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if np.isnan(value):
        return ""
    return str(int(value)) if value == int(value) else f"{value:.{_SIGNIFICANT}g}"

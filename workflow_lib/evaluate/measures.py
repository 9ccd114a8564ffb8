"""Purity, completeness, F1, accuracy and Rand indices as AMBER defines them (Meyer et al. 2018, GigaScience 7:giy069).

Every function takes a `Contingency`: the contigs that it was counted on are the contigs that the measure is about.
A measure that is not defined (purity without bins, completeness without contigs) is NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from workflow_lib.evaluate.contingency import Contingency

MIN_COMPLETENESS = (0.5, 0.7, 0.9)
MAX_CONTAMINATION = (0.1, 0.05)


@dataclass(frozen=True)
class Quality:
    """Shares in one unit (bp or contigs); float64, NaN where not defined.

    Parameters
    ----------
    purity : (n_bins,) share of a bin that is of its main genome.
    bin_completeness : (n_bins,) share of the main genome that the bin has.
    genome_completeness : (n_genomes,) share of a genome that its best bin has; 0 where no bin has any of it.
    hits, best : what bins share with their main genomes, and genomes with their best bins, summed; bp or contigs.
    binned, total : what all bins hold, and all contigs; bp or contigs.
    """

    purity: np.ndarray
    bin_completeness: np.ndarray
    genome_completeness: np.ndarray
    hits: int
    best: int
    binned: int
    total: int


def measure_quality(table: Contingency, *, by: str) -> Quality:
    """Purity and completeness of every bin and genome, `by` "bp" or "contig".

    A bin's main genome and a genome's best bin are chosen by bp in either unit, as AMBER does.
    """
    if by == "bp":
        shared, bin_totals, genome_totals = table.bp, table.bin_bp, table.genome_bp
    else:
        shared, bin_totals, genome_totals = table.contigs, table.bin_contigs, table.genome_contigs
    in_bin, main = _pick(shared, table.best_per_bin())
    main_genome = np.append(table.genomes, -1)[main]
    in_genome, _ = _pick(shared, table.best_per_genome())
    return Quality(
        purity=_ratio(in_bin, bin_totals),
        bin_completeness=_ratio(in_bin, np.append(genome_totals, 0)[main_genome]),
        genome_completeness=_ratio(in_genome, genome_totals),
        hits=int(in_bin.sum()),
        best=int(in_genome.sum()),
        binned=int(bin_totals.sum()),
        total=int(genome_totals.sum()),
    )


def summarise_quality(quality: Quality) -> dict[str, float]:
    """One number a measure: averages (each bin or genome weighs the same) and totals (each bp or contig does)."""
    purity, completeness = _mean(quality.purity), _mean(quality.genome_completeness)
    total_purity, total_completeness = share(quality.hits, quality.binned), share(quality.best, quality.total)
    return {
        "average_completeness": completeness,
        "average_purity": purity,
        "average_f1": harmonic_mean(completeness, purity),
        "completeness": total_completeness,
        "purity": total_purity,
        "f1": harmonic_mean(total_completeness, total_purity),
        "accuracy": share(quality.hits, quality.total),
        "misclassification": 1 - total_purity,
        "assigned": share(quality.binned, quality.total),
    }


def average_completeness_cami1(table: Contingency, quality: Quality) -> float:
    """Average completeness of the first CAMI challenge and of AMBER's paper.

    The mean over bins of how much of its main genome a bin has, and a zero for every genome that is no bin's main one.
    """
    main = table.best_per_bin()
    present = table.genome_contigs > 0
    present[table.genomes[main[main >= 0]]] = False
    missed = np.zeros(int(present.sum()))
    return _mean(np.concatenate([quality.bin_completeness, missed]))


def count_good_bins(quality: Quality) -> dict[str, float]:
    """Numbers of bins above a completeness and below a contamination (1 - purity)."""
    return {
        f"bins_completeness_gt_{complete:.0%}_contamination_lt_{contaminated:.0%}".replace("%", ""): float(
            np.count_nonzero((quality.bin_completeness > complete) & (quality.purity > 1 - contaminated))
        )
        for complete in MIN_COMPLETENESS
        for contaminated in MAX_CONTAMINATION
    }


def rand_indices(table: Contingency, *, by: str) -> tuple[float, float]:
    """Rand index and adjusted Rand index of bins against genomes over all pairs of contigs, or of base pairs.

    An unbinned contig is a group of its own: nothing was said about what it belongs to. Pairs are counted as Python
    integers: those of 10 Gbp do not fit into 64 bits. Hubert & Arabie 1985, equation 5; one group on both sides, or
    only groups of one, count as full agreement (1).
    """
    shared = table.bp if by == "bp" else table.contigs
    bins = table.bin_bp if by == "bp" else table.bin_contigs
    genomes = table.genome_bp if by == "bp" else table.genome_contigs
    alone = _pairs(table.unbinned_bp.tolist()) if by == "bp" else 0
    total = int(genomes.sum())
    if total == 0:
        return np.nan, np.nan
    same_both = _pairs(shared.tolist()) + alone
    same_bin = _pairs(bins.tolist()) + alone
    same_genome = _pairs(genomes.tolist())
    all_pairs = _pairs([total])
    if all_pairs == 0:
        return 1.0, 1.0
    rand = (all_pairs - same_bin - same_genome + 2 * same_both) / all_pairs
    excess = 2 * (all_pairs * same_both - same_bin * same_genome)
    most = all_pairs * (same_bin + same_genome) - 2 * same_bin * same_genome
    return rand, excess / most if most else 1.0


def share(part: int, whole: int) -> float:
    """part / whole, NaN where there is no whole."""
    return part / whole if whole else np.nan


def harmonic_mean(a: float, b: float) -> float:
    """F1 of completeness and purity; NaN where one is not defined or both are 0, as AMBER has it."""
    return 2 * a * b / (a + b) if a + b > 0 else np.nan


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


def _pick(shared: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`shared` at the chosen rows, 0 where there is none (-1); and the rows."""
    return np.append(shared, 0)[rows], rows


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    """Mean of what is defined; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan

"""Species recovered at an F1, as the DNABERT-S paper counts them in its binning results (Zhou et al. 2024)."""

from __future__ import annotations

import numpy as np

from workflow_lib.evaluate.contingency import Contingency

F1_LEVELS = tuple(level / 10 for level in range(1, 10))
MIN_SPECIES_CONTIGS = 10  # of the published evaluation; species with fewer contigs are left out


def align_bins(table: Contingency) -> np.ndarray:
    """Give every genome at most one bin, and every bin at most one genome, so that most contigs agree.

    Returns
    -------
    int64 (n_genomes,), the row of the pair chosen; -1 for a genome without one. The optimum of the Hungarian method,
    found on the sparse table; among optima an arbitrary but fixed one, as in the published code.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    chosen = np.full(table.n_genomes, -1, dtype=np.int64)
    if len(table.bins) == 0:
        return chosen
    # Every genome gets exactly one column: a bin, or one of its own that stands for none. Adding 1 to all weights
    # keeps the optimum and the "none" entries, which would be zeros that a sparse matrix does not hold.
    everyone = np.arange(table.n_genomes)
    rows = np.concatenate([table.genomes, everyone])
    columns = np.concatenate([table.bins, table.n_bins + everyone])
    weights = np.concatenate([table.contigs + 1.0, np.ones(table.n_genomes)])
    matrix = csr_array((weights, (rows, columns)), shape=(table.n_genomes, table.n_bins + table.n_genomes))
    genomes, bins = min_weight_full_bipartite_matching(matrix, maximize=True)
    real = bins < table.n_bins
    # Pairs are sorted by bin, then genome, so their combined key finds the row.
    keys = table.bins * table.n_genomes + table.genomes
    chosen[genomes[real]] = np.searchsorted(keys, bins[real].astype(np.int64) * table.n_genomes + genomes[real])
    return chosen


def species_f1(table: Contingency, aligned: np.ndarray) -> np.ndarray:
    """F1 of each genome by contig with its aligned bin, float64 (n_genomes,); 0 without one, NaN without contigs.

    Twice the shared contigs over the genome's contigs plus the bin's contigs.
    """
    found = aligned >= 0
    rows = aligned[found]
    f1 = np.where(table.genome_contigs > 0, 0.0, np.nan)
    f1[found] = 2 * table.contigs[rows] / (table.genome_contigs[found] + table.bin_contigs[table.bins[rows]])
    return f1


def count_species(f1: np.ndarray) -> dict[str, float]:
    """Number of genomes above each level of F1."""
    return {f"species_f1_gt_{level:g}": float(np.count_nonzero(f1 > level)) for level in F1_LEVELS}

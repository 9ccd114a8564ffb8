"""What bins and genomes have in common, as a sparse table: a row a pair that shares contigs, never bins x genomes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNBINNED = -1


@dataclass(frozen=True)
class Contingency:
    """Contigs and base pairs that each bin shares with each genome, over one set of contigs.

    Bins and genomes are codes into lists of names that the caller holds. All arrays are int64, so sums are exact.

    Parameters
    ----------
    bins, genomes : (p,) codes of the pairs that share at least one contig, sorted by bin, then genome.
    contigs, bp : (p,) what each pair shares.
    genome_contigs, genome_bp : (g,) totals of the genomes, unbinned contigs included.
    unbinned_bp : (u,) lengths of the contigs that no bin has.
    n_bins : number of bins, also such without a contig in this set.
    """

    bins: np.ndarray
    genomes: np.ndarray
    contigs: np.ndarray
    bp: np.ndarray
    genome_contigs: np.ndarray
    genome_bp: np.ndarray
    unbinned_bp: np.ndarray
    n_bins: int

    @property
    def n_genomes(self) -> int:
        """Number of genomes, also such without a contig in this set."""
        return len(self.genome_contigs)

    @cached_property
    def bin_contigs(self) -> np.ndarray:
        """Contigs of each bin, int64 (n_bins,)."""
        return add_up(self.bins, self.contigs, self.n_bins)

    @cached_property
    def bin_bp(self) -> np.ndarray:
        """Base pairs of each bin, int64 (n_bins,)."""
        return add_up(self.bins, self.bp, self.n_bins)

    def best_per_bin(self) -> np.ndarray:
        """Row of the pair with a bin's main genome, int64 (n_bins,); -1 for a bin without contigs.

        The main genome has most bp in the bin; among equals most contigs, then the first code.
        """
        return self._best(self.bins, self.genomes, self.n_bins)

    def best_per_genome(self) -> np.ndarray:
        """Row of the pair with a genome's best bin, int64 (n_genomes,); -1 for a genome that no bin has.

        The best bin has most bp of the genome; among equals most contigs, then the first code.
        """
        return self._best(self.genomes, self.bins, self.n_genomes)

    def _best(self, group: np.ndarray, other: np.ndarray, size: int) -> np.ndarray:
        order = np.lexsort((other, -self.contigs, -self.bp, group))
        present, first = np.unique(group[order], return_index=True)
        best = np.full(size, -1, dtype=np.int64)
        best[present] = order[first]
        return best


def count_pairs(
    bins: np.ndarray, genomes: np.ndarray, lengths: np.ndarray, *, n_bins: int, n_genomes: int
) -> Contingency:
    """Count what bins and genomes share.

    Parameters
    ----------
    bins : int64 (n,) code of each contig's bin, -1 = unbinned.
    genomes : int64 (n,) code of each contig's genome.
    lengths : int64 (n,) bp.
    n_bins, n_genomes : how many codes there are.
    """
    binned = bins != UNBINNED
    keys, rows = np.unique(bins[binned] * n_genomes + genomes[binned], return_inverse=True)
    return Contingency(
        bins=keys // max(n_genomes, 1),
        genomes=keys % max(n_genomes, 1),
        contigs=np.bincount(rows, minlength=len(keys)),
        bp=add_up(rows, lengths[binned], len(keys)),
        genome_contigs=np.bincount(genomes, minlength=n_genomes),
        genome_bp=add_up(genomes, lengths, n_genomes),
        unbinned_bp=lengths[~binned],
        n_bins=n_bins,
    )


def add_up(groups: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Sum int64 `values` by group code, exactly; int64 (size,)."""
    total = np.zeros(size, dtype=np.int64)
    np.add.at(total, groups, values)
    return total

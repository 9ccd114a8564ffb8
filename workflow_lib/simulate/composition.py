"""What a genome is made of: codon usage of its genes and a Markov chain of its spacers, both drifting along a tree."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

# Bases are coded A, C, G, T = 0..3; a codon is 16 x first + 4 x second + third base.
ALPHABET = np.frombuffer(b"ACGT", dtype=np.uint8)
_CODE_TCAG = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"  # NCBI translation table 11
_FROM_TCAG = ["TCAG".index(base) for base in "ACGT"]
AMINO_ACIDS = np.array(
    [_CODE_TCAG[16 * a + 4 * b + c] for a in _FROM_TCAG for b in _FROM_TCAG for c in _FROM_TCAG]
)  # (64,) letters, '*' for stop
CODON_BASES = np.stack(np.unravel_index(np.arange(64), (4, 4, 4)), axis=1).astype(np.uint8)  # (64, 3)
START_CODON = 14  # ATG
STOP_CODONS = np.flatnonzero(AMINO_ACIDS == "*")

# Percent of the residues of a bacterial proteome, rounded.
_USAGE = {
    "A": 9.5, "R": 5.5, "N": 4.0, "D": 5.4, "C": 1.0, "Q": 3.9, "E": 6.0, "G": 7.5, "H": 2.2, "I": 6.0,
    "L": 10.0, "K": 5.2, "M": 2.4, "F": 3.9, "P": 4.4, "S": 6.0, "T": 5.3, "W": 1.2, "Y": 2.9, "V": 7.1,
}  # fmt: skip
_IS_GC = np.array([-1.0, 1.0, 1.0, -1.0])
_GC_PULL = np.array([0.25, 0.15, 1.0])  # of the three codon positions: the third follows the genome's GC most
_ORDER = 3  # bases that the next base of a spacer depends on: tetranucleotides are a genome's own
_SPACER_AT = 0.15  # spacers hold a little less GC than genes
# Standard deviations of the composition: of the GC pull, codon, codon-pair and spacer log weights at drift 1.
_SD_GC, _SD_CODON, _SD_PAIR, _SD_SPACER = 0.45, 0.30, 0.20, 0.25
_MAX_GC = 0.75  # bound of the GC pull; gives about 30% to 70% GC
# Genes of one genome differ: log-weight deviations of a gene's amino acids and GC, and how far GC is alike.
_SD_GENE_RESIDUE, _SD_GENE_GC, _REGION_GENES = 0.22, 0.12, 8


def _usage_log_weights() -> np.ndarray:
    weights = np.full(64, -np.inf)
    for residue, percent in _USAGE.items():
        synonymous = residue == AMINO_ACIDS
        weights[synonymous] = np.log(percent / synonymous.sum())
    return weights


@dataclass(frozen=True)
class Composition:
    """Parameters from which sequence is drawn; log weights, all float64.

    Attributes
    ----------
    gc : pull to GC (positive) or AT.
    codon : (64,) deviations of the sense codons.
    pair : (4, 4) deviations by the last base of a codon (row) and the first base of the next.
    spacer : (64, 4) deviations by the three bases before (row) and the base.
    """

    gc: float
    codon: np.ndarray
    pair: np.ndarray
    spacer: np.ndarray

    @classmethod
    def ancestral(cls) -> Composition:
        """The composition at the root: a bacterial proteome without any bias."""
        return cls(0.0, np.zeros(64), np.zeros((4, 4)), np.zeros((64, 4)))

    def drifted(self, amount: float, rng: np.random.Generator) -> Composition:
        """The composition after a branch: a step of Brownian motion of standard deviation `amount`."""
        gc = self.gc + amount * _SD_GC * rng.standard_normal()
        return replace(
            self,
            gc=float(np.clip(gc, -_MAX_GC, _MAX_GC)),
            codon=self.codon + amount * _SD_CODON * rng.standard_normal(64),
            pair=self.pair + amount * _SD_PAIR * rng.standard_normal((4, 4)),
            spacer=self.spacer + amount * _SD_SPACER * rng.standard_normal((64, 4)),
        )

    def codon_weights(self, gc: np.ndarray | float = 0.0) -> np.ndarray:
        """Weights of the codons, (..., 64); stop codons have 0. `gc` (...) is added to the genome's pull."""
        pull = np.asarray(self.gc + gc)[..., None]
        sites = (_IS_GC[CODON_BASES] * _GC_PULL).sum(axis=1)
        return np.exp(_usage_log_weights() + self.codon + pull * sites)

    def synonymous_table(self) -> np.ndarray:
        """Cumulative weights (64, 64) of the codons that may replace a codon without changing its amino acid."""
        same = AMINO_ACIDS[:, None] == AMINO_ACIDS[None, :]
        weights = np.where(same, self.codon_weights(), 0.0)
        weights[STOP_CODONS] = np.where(same, 1.0, 0.0)[STOP_CODONS]
        return _cumulative(weights)

    def spacer_table(self) -> np.ndarray:
        """Cumulative weights (64, 4) of the base after three bases."""
        return _cumulative(np.exp(self.spacer + (self.gc - _SPACER_AT) * _IS_GC))

    def sample_genes(self, n_codons: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw genes of `n_codons` (start and stop codon included), end to end: uint8 (sum of n_codons,)."""
        tables = self._gene_tables(len(n_codons), rng)
        codons = np.zeros((len(n_codons), max(n_codons, default=0)), dtype=np.uint8)
        codons[:, :1] = START_CODON
        # Long genes first, so that each step works on a leading block of genes.
        order = np.argsort(-n_codons, kind="stable")
        tables, lengths = tables[order], n_codons[order]
        rows = np.arange(len(order))
        for site in range(1, codons.shape[1]):
            n = int(np.count_nonzero(lengths > site))
            last_base = codons[:n, site - 1] & 3
            codons[:n, site] = draw_rows(tables[rows[:n], last_base], rng)
        codons[rows, lengths - 1] = rng.choice(STOP_CODONS, size=len(order))
        unsorted = np.empty_like(codons)
        unsorted[order] = codons
        return unsorted[np.arange(codons.shape[1]) < n_codons[:, None]]

    def _gene_tables(self, n_genes: int, rng: np.random.Generator) -> np.ndarray:
        """Cumulative codon weights (n_genes, 4, 64) of each gene by the last base of the codon before."""
        regions = rng.standard_normal(n_genes + _REGION_GENES)
        regional = np.stack([regions[i : i + n_genes] for i in range(_REGION_GENES)]).mean(axis=0)
        gc = _SD_GENE_GC * (np.sqrt(_REGION_GENES / 2) * regional + rng.standard_normal(n_genes) / np.sqrt(2))
        _, residue = np.unique(AMINO_ACIDS, return_inverse=True)
        residues = _SD_GENE_RESIDUE * rng.standard_normal((n_genes, residue.max() + 1))
        weights = self.codon_weights(gc) * np.exp(residues[:, residue])
        return _cumulative(weights[:, None, :] * np.exp(self.pair)[:, CODON_BASES[:, 0]])

    def sample_spacers(self, lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw spacers of `lengths` bp, end to end: uint8 (sum of lengths,) bases 0..3."""
        table = self.spacer_table()
        order = np.argsort(-lengths, kind="stable")
        ordered = lengths[order]
        bases = np.zeros((len(lengths), max(lengths, default=0)), dtype=np.uint8)
        context = rng.integers(0, 64, size=len(lengths))
        for site in range(bases.shape[1]):
            n = int(np.count_nonzero(ordered > site))
            bases[:n, site] = draw_rows(table[context[:n]], rng)
            context[:n] = (4 * context[:n] + bases[:n, site]) % 64
        unsorted = np.empty_like(bases)
        unsorted[order] = bases
        return unsorted[np.arange(bases.shape[1]) < lengths[:, None]]


def _cumulative(weights: np.ndarray) -> np.ndarray:
    """Cumulative distribution along the last axis; its last value is 1 exactly."""
    total = np.cumsum(weights, axis=-1)
    return total / total[..., -1:]


def draw_rows(cumulative: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a category of each row of cumulative weights (n, c): uint8 (n,)."""
    return (rng.random(len(cumulative))[:, None] >= cumulative).sum(axis=1).astype(np.uint8)


def spacer_context(bases: np.ndarray) -> np.ndarray:
    """Code (0..63) of the three bases before each position of uint8 (n,): the row of `Composition.spacer_table`."""
    padded = np.concatenate([np.zeros(_ORDER, dtype=np.int64), bases])
    return 16 * padded[:-3] + 4 * padded[1:-2] + padded[2:-1]

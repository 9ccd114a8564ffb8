"""Genomes evolved down a tree: a genus is drawn from its composition, species and strains descend from it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.simulate.composition import (
    ALPHABET,
    CODON_BASES,
    Composition,
    draw_rows,
    spacer_context,
)
from workflow_lib.simulate.lineages import Lineage, check_lineages, lineage_name, lineage_taxonomy
from workflow_lib.simulate.streams import random_stream

logger = logging.getLogger(__name__)

MIN_GENOME_LENGTH = 2000  # bp; two genes
# Drift of the composition on the branch that leads to a taxon of each rank, phylum to species.
_DRIFT = (1.0, 0.6, 0.5, 0.45, 0.6, 1.0)
_GENUS_DEPTH, _SPECIES_DEPTH = 5, 6
_GENE_CODONS, _SPACER_LENGTH = 310, 110  # means: 89% of a genome is coding
_GENE_SHAPE, _SPACER_SHAPE = 2.5, 1.2  # of the gamma distributions of their lengths
_OPERON_GENES = 3  # mean number of genes in a row on one strand
_SYNONYMOUS = 0.75  # of the codon replacements; the rest may change the amino acid
_NUCLEOTIDES_A_HIT = 1.05  # that differ after a codon was replaced, on average (measured)
_SPACER_PACE = 1.45  # hits a base of the spacers, of those a base of the genes


@dataclass(frozen=True)
class _Branch:
    """What happens on a branch: substitutions a base, share of the genes replaced, indels a codon."""

    substitutions: float
    genes_replaced: float
    indels: float


_SPECIES_SUBSTITUTIONS = (0.045, 0.08)  # from the genus's ancestor: two species are 80-90% alike
_STRAIN_BRANCH = _Branch(substitutions=0.005, genes_replaced=0.01, indels=0.0003)


@dataclass(frozen=True)
class SimulatedGenome:
    """A genome: its name, its sequences (upper-case A, C, G, T) and its lineage, rank -> name."""

    name: str
    sequences: tuple[bytes, ...]
    taxonomy: dict[str, str]

    @property
    def length(self) -> int:
        """Length of all sequences in bp."""
        return sum(map(len, self.sequences))


@dataclass(frozen=True)
class _Draft:
    """A genome as genes and spacers: spacer 0, gene 0, spacer 1, gene 1, ...

    Attributes
    ----------
    codons : uint8 (c,), all genes end to end in their own direction.
    gene : int64 (c,), the gene of each codon, ascending.
    forward : bool (n_genes,), strand of each gene.
    bases : uint8 (b,), all spacers end to end.
    spacer : int64 (b,), the spacer of each base, ascending.
    """

    codons: np.ndarray
    gene: np.ndarray
    forward: np.ndarray
    bases: np.ndarray
    spacer: np.ndarray

    def sequence(self) -> bytes:
        """The forward strand in letters."""
        n_genes = len(self.forward)
        genes = np.split(self.codons, np.searchsorted(self.gene, np.arange(1, n_genes)))
        spacers = np.split(self.bases, np.searchsorted(self.spacer, np.arange(1, n_genes)))
        parts = []
        for codons, forward, spacer in zip(genes, self.forward, spacers, strict=True):
            gene = CODON_BASES[codons].ravel()
            parts += [spacer, gene if forward else 3 - gene[::-1]]
        return ALPHABET[np.concatenate(parts)].tobytes()


def evolve_genomes(lineages: list[Lineage], *, genome_length: int, seed: int) -> list[SimulatedGenome]:
    """Evolve a genome for every lineage, in their order.

    Composition drifts at every branch down to the species; a genus's ancestor is drawn from its composition; species
    descend from it by substitution, replacement of genes and indels, and strains from their species (about 99%
    alike). Every branch has its own random stream, so a genome depends on its lineage, `genome_length` and `seed`
    only, not on the other lineages.

    Parameters
    ----------
    lineages : child numbers from phylum to strain, e.g. of `lineages.reference_lineages`.
    genome_length : bp, kept within a few percent.
    seed : random seed.

    Raises
    ------
    InputError
        when a lineage is malformed or given twice, or `genome_length` is below `MIN_GENOME_LENGTH`.
    """
    check_lineages(lineages)
    if genome_length < MIN_GENOME_LENGTH:
        raise InputError(f"genome_length is {genome_length} bp, expected at least {MIN_GENOME_LENGTH}")
    start = time.monotonic()
    compositions: dict[Lineage, Composition] = {(): Composition.ancestral()}
    drafts: dict[Lineage, _Draft] = {}
    genomes = []
    for lineage in lineages:
        for depth in range(1, len(lineage)):
            _evolve_taxon(lineage[:depth], compositions, drafts, genome_length, seed)
        species = lineage[:_SPECIES_DEPTH]
        strain = _diverge(
            drafts[species], compositions[species], _STRAIN_BRANCH, random_stream(seed, "evolution", *lineage)
        )
        genomes.append(SimulatedGenome(lineage_name(lineage), (strain.sequence(),), lineage_taxonomy(lineage)))
    seconds = time.monotonic() - start
    total = sum(genome.length for genome in genomes)
    logger.info("evolved %d genomes, %.2f Mbp, in %.1f s", len(genomes), total / 1e6, seconds)
    return genomes


def _evolve_taxon(taxon: Lineage, compositions: dict, drafts: dict, genome_length: int, seed: int) -> None:
    """Add the composition of a taxon and, for a genus or species, its ancestor, where they are not there yet."""
    if taxon in compositions:
        return
    rng = random_stream(seed, "evolution", *taxon)
    depth = len(taxon)
    compositions[taxon] = compositions[taxon[:-1]].drifted(_DRIFT[depth - 1], rng)
    if depth == _GENUS_DEPTH:
        drafts[taxon] = _draw_draft(compositions[taxon], genome_length, rng)
    elif depth == _SPECIES_DEPTH:
        branch = _Branch(rng.uniform(*_SPECIES_SUBSTITUTIONS), genes_replaced=0.2, indels=0.001)
        drafts[taxon] = _diverge(drafts[taxon[:-1]], compositions[taxon], branch, rng)


def _draw_draft(composition: Composition, genome_length: int, rng: np.random.Generator) -> _Draft:
    """A new genome of about `genome_length` bp."""
    unit = 3 * _GENE_CODONS + _SPACER_LENGTH
    n_genes = max(1, round(genome_length / unit))
    n_codons = rng.gamma(_GENE_SHAPE, size=n_genes) + 0.1
    n_codons = np.maximum(20, n_codons * (genome_length * _GENE_CODONS / unit / n_codons.sum())).astype(np.int64)
    lengths = rng.gamma(_SPACER_SHAPE, size=n_genes)
    lengths = (lengths * (max(0, genome_length - 3 * n_codons.sum()) / lengths.sum())).astype(np.int64)
    turns = rng.random(n_genes) < 1 / _OPERON_GENES
    return _Draft(
        codons=composition.sample_genes(n_codons, rng),
        gene=np.repeat(np.arange(n_genes), n_codons),
        forward=np.cumsum(turns) % 2 == 0,
        bases=composition.sample_spacers(lengths, rng),
        spacer=np.repeat(np.arange(n_genes), lengths),
    )


def _diverge(parent: _Draft, composition: Composition, branch: _Branch, rng: np.random.Generator) -> _Draft:
    """A descendant of `parent` whose changes follow `composition`; start and stop codons stay."""
    codons, bases = parent.codons.copy(), parent.bases.copy()
    replaced = rng.random(len(parent.forward)) < branch.genes_replaced
    n_codons = np.bincount(parent.gene, minlength=len(replaced))
    codons[replaced[parent.gene]] = composition.sample_genes(n_codons[replaced], rng)

    ends = np.flatnonzero(np.diff(parent.gene, prepend=-1))
    inner = np.ones(len(codons), dtype=bool)
    inner[ends] = inner[ends - 1] = False  # ends - 1 is the stop codon of the gene before, or the very last
    hit = np.flatnonzero((rng.random(len(codons)) < 3 * branch.substitutions / _NUCLEOTIDES_A_HIT) & inner)
    silent = rng.random(len(hit)) < _SYNONYMOUS
    codons[hit[silent]] = draw_rows(composition.synonymous_table()[codons[hit[silent]]], rng)
    weights = np.cumsum(composition.codon_weights())
    codons[hit[~silent]] = np.searchsorted(weights / weights[-1], rng.random(int((~silent).sum())), side="right")

    hit = np.flatnonzero(rng.random(len(bases)) < _SPACER_PACE * branch.substitutions)
    bases[hit] = draw_rows(composition.spacer_table()[spacer_context(bases)[hit]], rng)

    copies = np.where(inner, _indel_copies(len(codons), branch.indels, rng), 1)
    base_copies = _indel_copies(len(bases), 3 * branch.indels, rng)
    return _Draft(
        codons=np.repeat(codons, copies),
        gene=np.repeat(parent.gene, copies),
        forward=parent.forward,
        bases=np.repeat(bases, base_copies),
        spacer=np.repeat(parent.spacer, base_copies),
    )


def _indel_copies(n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """How often each of n units is kept: mostly once, never (a deletion) or two to four times (an insertion)."""
    copies = np.ones(n, dtype=np.int64)
    hit = np.flatnonzero(rng.random(n) < rate)
    copies[hit] = rng.choice([0, 0, 0, 2, 3, 4], size=len(hit))
    return copies

"""The sets that binners are compared on: communities of a table's genomes, drawn anew by every job that needs one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.depth.table import write_depth
from workflow_lib.fasta import write_fasta
from workflow_lib.files import atomic_open
from workflow_lib.simulate.community import READ_LENGTH, Community, simulate_community
from workflow_lib.simulate.dataset import draw_genomes
from workflow_lib.simulate.strains import evolve_strains
from workflow_lib.simulate.streams import random_stream
from workflow_lib.tables import load_reference


@dataclass(frozen=True)
class BenchmarkSet:
    """A kind of community; with a seed it is one set.

    Attributes
    ----------
    name : of the set.
    genomes : in the community, strains included.
    strains : how many of them are close strains, evolved from as many of the others.
    libraries : that depth is known of.
    contig_median : bp; where contigs are assembled, of the pieces of a genome that differ in depth.
    reads : depth comes from simulated reads and their mapping; else it is drawn.
    assembled : the contigs are those that an assembler makes of the reads, not pieces of the genomes.
    replication : largest ratio of the depths at the origin and the terminus of a genome.
    contig_sigma : standard deviation of the log of the contig length.
    mean_depth : x, of every library.
    strain_identity : lowest and highest share of bases that a strain has in common with its parent.
    min_length : bp; shorter contigs are given to no binner.
    max_n_fraction : share of N above which no binner is given a contig either: VAMB stops at one of N only.
    """

    name: str
    genomes: int
    strains: int
    libraries: int
    contig_median: int
    reads: bool
    assembled: bool
    replication: float
    contig_sigma: float
    mean_depth: float
    strain_identity: tuple[float, float]
    min_length: int
    max_n_fraction: float

    def draw(self, table: str | Path, seed: int) -> Community:
        """Draw the community of a seed from the genomes of a table (as reference.tsv); the same one at every call.

        Raises
        ------
        InputError
            when the table has too few genomes.
        """
        genomes = draw_genomes(load_reference(table), n_genomes=self.genomes - self.strains, seed=seed)
        genomes += evolve_strains(genomes, n_strains=self.strains, identity=tuple(self.strain_identity), seed=seed)
        return simulate_community(
            genomes,
            n_libraries=self.libraries,
            mean_depth=self.mean_depth,
            contig_median=self.contig_median,
            contig_sigma=self.contig_sigma,
            replication=self.replication,
            seed=seed,
            traps=False,
        )

    def kept(self, community: Community) -> np.ndarray:
        """Rows of the contigs that binners get, int64, ascending."""
        return np.flatnonzero([self.keeps(contig.sequence) for contig in community.contigs])

    def keeps(self, sequence: bytes) -> bool:
        """Whether binners get a contig."""
        return len(sequence) >= self.min_length and sequence.count(b"N") <= self.max_n_fraction * len(sequence)


def write_set(chosen: BenchmarkSet, community: Community, *, contigs: str | Path, truth: str | Path) -> None:
    """Write the contigs that binners get (FASTA), and contig, genome, length and kept (0 or 1) of all contigs."""
    kept = set(chosen.kept(community).tolist())
    write_fasta(contigs, ((community.contigs[row].name, community.contigs[row].sequence) for row in sorted(kept)))
    rows = (
        (contig.name, community.genomes[contig.genome].name, len(contig.sequence), row in kept)
        for row, contig in enumerate(community.contigs)
    )
    write_truth(truth, rows)


def write_truth(path: str | Path, rows: Iterable[tuple[str, str, int, bool]]) -> None:
    """Write the truth of a set: contig, genome, length in bp and kept (whether binners get it, 0 or 1)."""
    with atomic_open(path) as handle:
        handle.write("contig\tgenome\tlength\tkept\n")
        handle.writelines(f"{contig}\t{genome}\t{length}\t{int(kept)}\n" for contig, genome, length, kept in rows)


def write_drawn_depth(
    chosen: BenchmarkSet, community: Community, *, depth: str | Path, halves: list[str | Path], seed: int
) -> None:
    """Write depth.tsv of the kept contigs, and for each library the depth of their halves.

    Parameters
    ----------
    depth : contig, length, then mean and variance of each library.
    halves : a file a library, without a header: `<contig>_1` and `<contig>_2` and their depth. SemiBin2 learns from
        them. The halves of a contig share its read pairs at random, so they differ by the counting of reads only.
    seed : random seed of the halves.
    """
    kept = chosen.kept(community)
    names = [community.contigs[row].name for row in kept]
    lengths = community.lengths[kept]
    columns = {
        library: (community.depth[kept, i], community.variance[kept, i])
        for i, library in enumerate(community.libraries)
    }
    write_depth(depth, names, lengths.tolist(), columns)
    for i, path in enumerate(halves):
        pairs = community.pairs[kept, i]
        first = random_stream(seed, "halves", i).binomial(pairs, 0.5)
        values = np.stack([first, pairs - first], axis=1) * (2 * READ_LENGTH) / (lengths[:, None] / 2)
        with atomic_open(path) as handle:
            for name, (one, two) in zip(names, values.tolist(), strict=True):
                handle.write(f"{name}_1\t{one:.6g}\n{name}_2\t{two:.6g}\n")

"""What is indexed and what is asked: whole clades held out, and windows withheld of the genomes that stay."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.fasta import mostly_n, read_fasta
from workflow_lib.index.windows import cut_windows, format_window
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)

KNOWN = "known"
HELD_OUT_RANKS = ("genus", "phylum")
GROUPS = (KNOWN, *HELD_OUT_RANKS)
_LARGEST_CLADE = 0.2  # share of the genomes from which a taxon is not held out: too little would be left
_WITHHELD = 0.1  # share of a genome's windows that become queries instead of rows


@dataclass(frozen=True)
class Split:
    """The group of each genome: `known` (indexed) or the rank at which its whole taxon is held out."""

    groups: dict[str, str]


def split_genomes(genomes: list[Genome], *, share: float, seed: int) -> Split:
    """Hold out a share of the taxa of each rank of `HELD_OUT_RANKS`, with all their genomes.

    Raises
    ------
    InputError
        when no genome has a genus or phylum, or all would be held out.
    """
    generator = np.random.default_rng(seed)
    groups = {genome.name: KNOWN for genome in genomes}
    for rank in reversed(HELD_OUT_RANKS):
        sizes = Counter(genome.taxonomy.get(rank) for genome in genomes if groups[genome.name] == KNOWN)
        taxa = sorted(name for name, size in sizes.items() if name and size <= _LARGEST_CLADE * len(genomes))
        chosen = set(generator.permutation(taxa)[: max(1, round(share * len(taxa)))].tolist())
        for genome in genomes:
            if groups[genome.name] == KNOWN and genome.taxonomy.get(rank) in chosen:
                groups[genome.name] = rank
    counts = Counter(groups.values())
    logger.info("genomes: %s", ", ".join(f"{group} {counts[group]}" for group in GROUPS))
    if not counts[KNOWN] or len(counts) < 2:
        raise InputError(
            f"of {len(genomes)} genomes {counts[KNOWN]} would be indexed and {len(genomes) - counts[KNOWN]} held out",
            remedy="give reference.tsv a taxonomy with genera or phyla, several of each",
        )
    return Split(groups)


def cut_queries(
    genome: Genome, group: str, *, window: int, length: int, count: int, seed: int
) -> Iterator[tuple[bool, str, bytes]]:
    """Yield (is a query, name, sequence) of one genome: rows of the index, and up to `count` queries.

    A query is the first `length` bp of a window. A genome that is indexed withholds a tenth of its windows for them,
    at least one of two; one that is held out gives queries only. Memory: the genome.
    """
    digest = hashlib.sha256(f"{seed}\n{genome.name}".encode()).digest()
    generator = np.random.default_rng(np.frombuffer(digest, dtype="<u4"))
    windows = [
        (record.name, start, record.sequence[start:end])
        for record in read_fasta(genome.fasta)
        for start, end in cut_windows(len(record.sequence), window)
        if not mostly_n(record.sequence[start:end])
    ]
    most = len(windows)
    if group == KNOWN:  # one of two windows and more, so that small genomes are asked for too
        most = max(int(_WITHHELD * len(windows)), int(len(windows) > 1))
    asked = set(generator.permutation(len(windows))[: min(count, most)].tolist())
    for number, (contig, start, sequence) in enumerate(windows):
        if number not in asked and group == KNOWN:
            yield False, format_window(genome.name, contig, start, start + len(sequence)), sequence
        elif number in asked and not mostly_n(sequence[:length]):
            name = format_window(genome.name, contig, start, start + min(length, len(sequence)))
            yield True, name, sequence[:length]

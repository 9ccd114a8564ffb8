"""Labelled sets: sequences of known species, given as a table or cut from genomes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from workflow_lib.bin.threshold import read_labelled
from workflow_lib.errors import InputError, some_names
from workflow_lib.fasta import hash_sequences, read_fasta, reverse_complement
from workflow_lib.files import atomic_gzip
from workflow_lib.tables import Genome
from workflow_lib.taxonomy import fold_name
from workflow_lib.tiling import tile

logger = logging.getLogger(__name__)

MIN_SPECIES_SEQUENCES = 10  # of the published evaluation; species with fewer are left out
MAX_N_FRACTION = 0.1  # share of N above which a piece is not taken, as the contig filter has it
_NAME_COLUMNS = ("sequence", "label", "origin")


@dataclass(frozen=True)
class LabelledSet:
    """Sequences and their species.

    Attributes
    ----------
    sequences : n sequences, upper case.
    labels : n names of species.
    origins : n texts that say where a sequence was cut (`genome:contig:start-end:strand`, 0-based, half open); empty
        for sequences that were given.
    left_out : species that had fewer than `MIN_SPECIES_SEQUENCES` sequences.
    """

    sequences: list[bytes]
    labels: list[str]
    origins: list[str]
    left_out: int = 0

    @property
    def lengths(self) -> np.ndarray:
        """Lengths in bp, int64 (n,)."""
        return np.array([len(sequence) for sequence in self.sequences], dtype=np.int64)

    def describe(self) -> dict[str, int]:
        """Counts for a page: species, sequences (in all, of the smallest and of the largest species), bp."""
        sizes = Counter(self.labels).values()
        return {
            "n_species": len(sizes), "n_left_out": self.left_out, "n_sequences": len(self.labels),
            "fewest": min(sizes), "most": max(sizes), "total_bp": int(self.lengths.sum()),
            "median_bp": int(np.median(self.lengths)),
        }  # fmt: skip

    def write(self, path: str | Path) -> None:
        """Write a gzip TSV of sequence, label and origin, which `read_labelled` reads as well."""
        with atomic_gzip(path) as handle:
            handle.write("\t".join(_NAME_COLUMNS).encode() + b"\n")
            for sequence, label, origin in zip(self.sequences, self.labels, self.origins, strict=True):
                handle.write(sequence + f"\t{label}\t{origin}\n".encode())


def read_set(path: str | Path, *, pieces: int | None = None, seed: int = 1) -> LabelledSet:
    """Read a labelled set from a TSV of sequence and label (the published evaluation files; gzip allowed).

    Sequences that a species has already, on either strand, are left out: a probe would be asked what it has learned.

    Parameters
    ----------
    pieces : sequences of a species that are taken at most, at random; all if None.
    seed : of that choice.

    Raises
    ------
    InputError
        as `read_labelled`; when fewer than two species have `MIN_SPECIES_SEQUENCES` sequences.
    """
    sequences, labels = _drop_copies(*read_labelled(path), path)
    return _choose(sequences, labels, [""] * len(labels), pieces, seed, path=path)


def cut_pieces(
    genomes: Sequence[Genome], *, length: int, sigma: float = 0.0, pieces: int = 100, seed: int = 1
) -> LabelledSet:
    """Cut pieces that do not overlap from genomes; their label is the species.

    A genome with the sequences of an earlier one of its species, in any order and on any strand, is left out. Each
    sequence of a genome is cut from its first base on into pieces without gaps. A length that does not fit at the
    end of a sequence is kept for the next one, so that ends do not make pieces shorter than they should be. Of all
    pieces of a species, from all its genomes, `pieces` are taken at random (fewer where there are not so many), each on
    a random strand. Pieces with more than 10% N are not taken.

    Parameters
    ----------
    genomes : of `load_reference`. A genome without a species in its taxonomy is a species of its own; species whose
        names differ in spelling only (`taxonomy.fold_name`) are one.
    length : bp of a piece; with `sigma` the median.
    sigma : standard deviation of the log of the length, which is then log-normal; 0: all pieces have `length`.
    pieces : of a species, at most.
    seed : a genome's pieces depend on it and the genome's name only.

    Raises
    ------
    InputError
        when a FASTA file is at fault; when genomes of two species have the same sequences; when fewer than two species
        have `MIN_SPECIES_SEQUENCES` pieces.
    """
    sequences, labels, origins = [], [], []
    spelled: dict[str, str] = {}
    for genome in _without_copies(genomes):
        label = genome.taxonomy.get("species", genome.name)
        if "species" in genome.taxonomy:
            label = spelled.setdefault(fold_name(label), label)
        rng = np.random.default_rng([seed, crc32(genome.name.encode())])
        for piece, origin in _cut_genome(genome, length, sigma, rng):
            sequences.append(piece)
            labels.append(label)
            origins.append(origin)
    return _choose(sequences, labels, origins, pieces, seed)


def _drop_copies(sequences: Sequence[str], labels: Sequence[str], path: str | Path) -> tuple[list[bytes], list[str]]:
    """Without the sequences that a species has already; those that another species has, too, are told and stay."""
    seen: dict[str, set[str]] = {}
    kept = []
    for row, (sequence, label) in enumerate(zip(sequences, labels, strict=True)):
        species = seen.setdefault(hash_sequences([sequence.encode()]), set())
        if label not in species:
            species.add(label)
            kept.append(row)
    if n_copies := len(labels) - len(kept):
        logger.warning("%s: %d sequences are those of an earlier row of their species; left out", path, n_copies)
    if n_disputed := sum(len(species) > 1 for species in seen.values()):
        logger.warning("%s: %d sequences are of several species, which no embedding can tell", path, n_disputed)
    return [sequences[row].encode() for row in kept], [labels[row] for row in kept]


def _without_copies(genomes: Sequence[Genome]) -> Iterator[Genome]:
    first: dict[str, Genome] = {}
    disputed = []
    for genome in genomes:
        other = first.setdefault(hash_sequences(record.sequence for record in read_fasta(genome.fasta)), genome)
        one, two = (it.taxonomy.get("species", "") for it in (other, genome))
        if other is genome:
            yield genome
        elif fold_name(one) == fold_name(two):
            logger.warning("genome %s has the sequences of %s; left out", genome.name, other.name)
        else:
            disputed.append(f"{genome.name} ({two or 'no species'}) those of {other.name} ({one or 'no species'})")
    if disputed:
        raise InputError(
            f"{len(disputed)} genomes have the sequences of another one and another species: {some_names(disputed)}",
            remedy="remove one of the two from the table, or give both one species",
        )


def _cut_genome(genome: Genome, length: int, sigma: float, rng: np.random.Generator) -> Iterator[tuple[bytes, str]]:
    def draw() -> int:
        return max(1, round(length * float(np.exp(sigma * rng.standard_normal()))))

    waiting: list[int] = []
    for record in read_fasta(genome.fasta):
        for start, stop in tile(len(record.sequence), draw, waiting):
            piece = record.sequence[start:stop]
            reverse = rng.random() < 0.5
            if piece.count(b"N") <= MAX_N_FRACTION * len(piece):
                origin = f"{genome.name}:{record.name}:{start}-{stop}:{'-' if reverse else '+'}"
                yield reverse_complement(piece) if reverse else piece, origin


def _choose(
    sequences: list[bytes],
    labels: list[str],
    origins: list[str],
    pieces: int | None,
    seed: int,
    *,
    path: str | Path | None = None,
) -> LabelledSet:
    """At most `pieces` of each species that has enough, in the order given."""
    rows_of: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows_of.setdefault(label, []).append(row)
    kept: list[int] = []
    n_species = 0
    for label, rows in rows_of.items():
        if len(rows) < MIN_SPECIES_SEQUENCES:
            continue
        n_species += 1
        rng = np.random.default_rng([seed, crc32(label.encode())])
        kept += rng.permutation(rows)[:pieces].tolist()
    if n_species < 2:
        raise InputError(
            f"found {n_species} of {len(rows_of)} species with at least {MIN_SPECIES_SEQUENCES} sequences, "
            "expected two or more",
            path=path,
            remedy="give more sequences or genomes, or cut shorter pieces",
        )
    kept.sort()
    chosen = LabelledSet(
        [sequences[i] for i in kept], [labels[i] for i in kept], [origins[i] for i in kept], len(rows_of) - n_species
    )
    logger.info(
        "%d sequences of %d species, %.1f Mbp, median %d bp; %d species with fewer than %d sequences left out",
        *(len(kept), n_species, chosen.lengths.sum() / 1e6, np.median(chosen.lengths)),
        *(chosen.left_out, MIN_SPECIES_SEQUENCES),
    )
    return chosen

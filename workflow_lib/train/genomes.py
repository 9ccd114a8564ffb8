"""Genomes to train on: their sequences and species, and a split by genus into what is learned and what is held out."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from workflow_lib.embed.windows import split_segments
from workflow_lib.errors import InputError, some_names
from workflow_lib.fasta import hash_sequences, read_fasta
from workflow_lib.tables import Genome
from workflow_lib.taxonomy import drop_parent, fold_name

logger = logging.getLogger(__name__)

_MANY_JOINED = 0.1  # share of the genomes
_MIN_PIECES = 4  # lengths that the only stretch of a genome must have: then two pieces fit, wherever the first lies


@dataclass(frozen=True)
class TrainingGenome:
    """A genome to draw pieces from.

    Attributes
    ----------
    name : of the reference table.
    species : `species` and its name, or `genome` and its own name where none is given: an unnamed species is like no
        other. Names that differ in spelling only (`taxonomy.fold_name`) are spelled as that of the first genome.
    genus : unit of the split: `genus` and its name, else as its species.
    segments : stretches between gaps, upper case, each at least as long as the shortest piece.
    """

    name: str
    species: str
    genus: str
    segments: tuple[bytes, ...]

    @property
    def n_bp(self) -> int:
        """Bases that pieces are drawn from."""
        return sum(map(len, self.segments))


def load_genomes(genomes: Iterable[Genome], *, min_length: int) -> list[TrainingGenome]:
    """Read the sequences of genomes, in the order of their names; all are held in memory, a byte a bp.

    Stretches between gaps that are shorter than a piece are left out, and so are genomes in which two pieces that do
    not overlap need not fit: those with one stretch of less than four times `min_length`, or none. A warning names
    them, and genomes of one species that are the same sequences, in any order and on any strand.

    Parameters
    ----------
    genomes : rows of a reference table.
    min_length : bp of the shortest piece.

    Raises
    ------
    InputError
        when a file cannot be read, or genomes of different species are the same sequences: they would be called
        different, and one may be held out while the other is learned.
    """
    loaded, empty, too_short = [], [], []
    spelled: dict[str, str] = {}
    for genome in sorted(genomes, key=lambda genome: genome.name):
        n_bp, segments = _read_segments(genome.fasta, min_length)
        if len(segments) < 2 and sum(map(len, segments)) < _MIN_PIECES * min_length:
            (too_short if n_bp else empty).append(genome.name)
            continue
        # Prefixes keep a species, a genus and a genome of the same name apart.
        species = genus = f"genome {genome.name}"
        for rank in ("species", "genus"):
            if rank in genome.taxonomy:
                taxon = f"{rank} {genome.taxonomy[rank]}"
                genus = spelled.setdefault(fold_name(taxon), taxon)
                species = genus if rank == "species" else species
        loaded.append(TrainingGenome(genome.name, species, genus, segments))
    for names, reason in ((empty, "have no sequence"), (too_short, "are too short for two pieces")):
        if names:
            logger.warning("%d genomes %s and are left out: %s", len(names), reason, some_names(names))
    _check_copies(loaded)
    logger.info(
        "%d genomes of %d species and %d genera, %.1f Mbp",
        len(loaded), len({g.species for g in loaded}), len({g.genus for g in loaded}),
        sum(g.n_bp for g in loaded) / 1e6,
    )  # fmt: skip
    return loaded


def _read_segments(fasta: str, min_length: int) -> tuple[int, tuple[bytes, ...]]:
    """bp of a genome, and its stretches of at least `min_length` bp between gaps."""
    n_bp, segments = 0, []
    for record in read_fasta(fasta):
        n_bp += len(record.sequence)
        segments += [segment for segment in split_segments(record.sequence) if len(segment) >= min_length]
    return n_bp, tuple(segments)


def _check_copies(genomes: Iterable[TrainingGenome]) -> None:
    """Tell of genomes that are the same sequences, whatever order and strands; refuse those of different species."""
    first: dict[str, TrainingGenome] = {}
    same, different = [], []
    for genome in genomes:
        other = first.setdefault(hash_sequences(genome.segments), genome)
        if other is not genome:
            (same if other.species == genome.species else different).append(f"{genome.name} of {other.name}")
    if different:
        raise InputError(
            f"{len(different)} genomes have the sequences of another one and another species: {some_names(different)}",
            remedy="remove one of the two from the table, or give both one species (a genome without a name of its "
            "species is a species of its own)",
        )
    if same:
        logger.warning("%d genomes have the sequences of another one: %s", len(same), some_names(same))


def split_by_genus(
    genomes: Iterable[TrainingGenome], *, held_out: float, seed: int, min_species: int = 2
) -> tuple[list[TrainingGenome], list[TrainingGenome]]:
    """Hold out a share of the genera, with all their genomes, drawn by a hash of seed and name.

    A species whose genomes name different genera, or some none, stays in one part: its genera count as one, and so do
    taxa that may be one (`alias`). A warning tells where a tenth of the genomes or more is in genera so joined.

    Parameters
    ----------
    held_out : share of the genera; at least one is held out, but none at 0.
    min_species : that each part must have; two, or there is nothing to tell apart.

    Returns
    -------
    Genomes to train on, genomes held out; each in the order of their names, whatever the order of the input.

    Raises
    ------
    InputError
        when either part has fewer species.
    """
    genomes = sorted(genomes, key=lambda genome: genome.name)
    unit_of = _join_units(genomes)
    _warn_of_joined(genomes, unit_of)

    def draw(unit: str) -> bytes:
        return hashlib.sha256(f"{seed}\t{unit}".encode()).digest()

    units = sorted(set(unit_of.values()), key=draw)
    chosen = set(units[: max(1, round(held_out * len(units)))] if held_out else [])
    parts = [], []
    for genome in genomes:
        parts[unit_of[genome.genus] in chosen].append(genome)
    counts = [len({genome.species for genome in part}) for part in parts]
    if counts[0] < min_species or (held_out and counts[1] < min_species):
        raise InputError(
            f"{counts[0]} species to train on and {counts[1]} held out, of {len(units)} genera; expected at least "
            f"{min_species} of each",
            remedy="add genomes of other genera, or fill in their taxonomy"
            + ("; or change held_out (0: nothing is held out, and there is no validation)" if held_out else ""),
        )
    logger.info(
        "%d genera, %d species to train on; %d genera, %d species held out",
        len(units) - len(chosen), counts[0], len(chosen), counts[1],
    )  # fmt: skip
    return parts


def _join_units(genomes: list[TrainingGenome]) -> dict[str, str]:
    """Genus -> unit of the split: genera that share a species are one, and those that may be one by their names."""
    unit_of = {genome.genus: genome.genus for genome in genomes}
    seen: dict[str, str] = {}
    for genome in genomes:
        for name in (genome.species, genome.genus):
            one, other = unit_of[seen.setdefault(alias(name), genome.genus)], unit_of[genome.genus]
            if one != other:
                first, second = sorted((one, other))
                unit_of = {genus: first if unit == second else unit for genus, unit in unit_of.items()}
    return unit_of


def _warn_of_joined(genomes: list[TrainingGenome], unit_of: dict[str, str]) -> None:
    """Tell of the largest unit of several genera, where it has many of the genomes: they are in one part together."""
    n_genomes = Counter(unit_of[genome.genus] for genome in genomes)
    n_genera = Counter(unit_of.values())
    joined = [unit for unit in sorted(n_genera) if n_genera[unit] > 1]
    largest = max(joined, key=n_genomes.__getitem__, default=None)
    if largest is not None and n_genomes[largest] >= _MANY_JOINED * len(genomes):
        logger.warning(
            "%d of %d genomes are of %d genera that count as one, as species of one name link them: %s; check these "
            "names if the genera are different ones",
            n_genomes[largest], len(genomes), n_genera[largest],
            some_names(sorted(genus for genus, unit in unit_of.items() if unit == largest)),
        )  # fmt: skip


def alias(taxon: str) -> str:
    """A species or genus of a `TrainingGenome` without what tells taxa of one name apart: those alike may be one."""
    rank, _, name = taxon.partition(" ")
    return f"{rank} {drop_parent(rank, name)}"


def hash_genomes(genomes: Iterable[TrainingGenome]) -> str:
    """Hex SHA-256 of names, species and sequences, in order."""
    digest = hashlib.sha256()
    for genome in genomes:
        digest.update(f"{genome.name}\t{genome.species}\n".encode())
        for segment in genome.segments:
            digest.update(segment + b"\n")
    return digest.hexdigest()

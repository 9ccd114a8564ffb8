"""Genomes to train on: their sequences and species, and a split by genus into what is learned and what is held out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from workflow_lib.embed.windows import split_segments
from workflow_lib.errors import InputError, some_names
from workflow_lib.fasta import hash_sequences, read_fasta
from workflow_lib.tables import Genome
from workflow_lib.taxonomy import fold_name

logger = logging.getLogger(__name__)

_MIN_PIECES = 4  # lengths that the only stretch of a genome must have: then two pieces fit, wherever the first lies


@dataclass(frozen=True)
class TrainingGenome:
    """A genome to draw pieces from.

    Attributes
    ----------
    name : of the reference table.
    species : its species, or its own name where none is given: an unnamed species is like no other.
    genus : unit of the split: its genus, else its species, else its own name.
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
    for genome in sorted(genomes, key=lambda genome: genome.name):
        n_bp, segments = _read_segments(genome.fasta, min_length)
        if len(segments) < 2 and sum(map(len, segments)) < _MIN_PIECES * min_length:
            (too_short if n_bp else empty).append(genome.name)
            continue
        # Prefixes keep a species, a genus and a genome of the same name apart.
        own = f"genome {genome.name}"
        species = f"species {genome.taxonomy['species']}" if "species" in genome.taxonomy else own
        genus = f"genus {genome.taxonomy['genus']}" if "genus" in genome.taxonomy else species
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

    A species whose genomes name different genera, or some none, stays in one part: its genera count as one.

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
    """Genus -> unit of the split: genera that share a species are one, and those of one name but for their parents."""
    unit_of = {genome.genus: genome.genus for genome in genomes}
    seen: dict[str, str] = {}
    for genome in genomes:
        for name in (genome.species, genome.genus):
            one, other = unit_of[seen.setdefault(fold_name(name), genome.genus)], unit_of[genome.genus]
            if one != other:
                first, second = sorted((one, other))
                unit_of = {genus: first if unit == second else unit for genus, unit in unit_of.items()}
    return unit_of


def hash_genomes(genomes: Iterable[TrainingGenome]) -> str:
    """Hex SHA-256 of names, species and sequences, in order."""
    digest = hashlib.sha256()
    for genome in genomes:
        digest.update(f"{genome.name}\t{genome.species}\n".encode())
        for segment in genome.segments:
            digest.update(segment + b"\n")
    return digest.hexdigest()

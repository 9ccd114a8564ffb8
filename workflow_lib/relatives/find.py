"""The reference species that contigs are nearest to, by the k-mers that they share with its genomes."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.fasta import batch_records, read_fasta
from workflow_lib.files import atomic_open
from workflow_lib.novelty.identity import K
from workflow_lib.novelty.sketch import Sketch, read_sketch
from workflow_lib.tables import Genome, load_reference

logger = logging.getLogger(__name__)

COLUMNS = ("contig", "hashes", "species", "genome", "identity", "next_species", "next_identity")
_BATCH = 20_000_000  # bp of contigs that are compared at a time: 10,000 genomes of one species match 2,000 segments


@dataclass(frozen=True)
class Nearest:
    """The two species nearest to each of n sequences.

    Attributes
    ----------
    species : int64 (n, 2) number of the species, the nearest first; -1: none.
    genome : int64 (n, 2) position in the sketch of the species' nearest genome; -1: none.
    identity : float64 (n, 2) of the sequence with that genome, (hashes shared / hashes of the sequence)^(1/k); 0: none.
    hashes : int64 (n,) of the sequence.
    """

    species: np.ndarray
    genome: np.ndarray
    identity: np.ndarray
    hashes: np.ndarray


def find_nearest(sketch: Sketch, sequences: Sequence[bytes], species: np.ndarray) -> Nearest:
    """Find the two species that share most with each sequence, by the nearest genome of each.

    Parameters
    ----------
    sequences : n sequences, all held against the sketch at once: see `Sketch.match` for the memory.
    species : int64 (G,) number of the species of each genome of the sketch.

    Notes
    -----
    Identity is that of the whole sequence, so that one with a part of another genome is not taken for it. Of equals the
    genome that comes first in the sketch is nearer. Genomes that share fewer than `MIN_SHARED` hashes are none.
    """
    n, n_genomes = len(sequences), len(sketch.genomes)
    matches = sketch.match(sequences, sketch.genomes)
    pairs, pair = np.unique(matches.owner[matches.segment] * n_genomes + matches.genome, return_inverse=True)
    owner, genome = np.divmod(pairs, n_genomes)
    size = np.bincount(matches.owner, matches.size, minlength=n).astype(np.int64)
    shared = np.bincount(pair, matches.shared, minlength=len(pairs))
    identity = (shared / size[owner]) ** (1 / K)
    order = np.lexsort((genome, -identity, species[genome], owner))
    of = np.stack([owner[order], species[genome[order]]])
    order = order[np.diff(of, axis=1, prepend=-1).any(axis=0)]  # the best genome of each species
    order = order[np.lexsort((genome[order], -identity[order], owner[order]))]
    place = np.arange(len(order)) - np.searchsorted(owner[order], owner[order])
    nearest = Nearest(np.full((n, 2), -1), np.full((n, 2), -1), np.zeros((n, 2)), size)
    for rank in (0, 1):
        rows = order[place == rank]
        nearest.species[owner[rows], rank] = species[genome[rows]]
        nearest.genome[owner[rows], rank] = genome[rows]
        nearest.identity[owner[rows], rank] = identity[rows]
    return nearest


def find_relatives(contigs: str | Path, sketch_folder: str | Path, reference: str | Path, path: str | Path) -> None:
    """Write the nearest species of every contig: `COLUMNS`, a row a contig in their order; empty where there is none.

    Parameters
    ----------
    contigs : FASTA of the kept contigs.
    sketch_folder : of the reference genomes.
    reference : their table; a genome without a species is one of its own, under its name.
    path : TSV to write. Identities are shares, 0 to 1.

    Raises
    ------
    InputError
        when the sketch is damaged, or has a genome that the table does not have.
    """
    start, sketch = time.monotonic(), read_sketch(sketch_folder)
    genomes = load_reference(reference, check_files=False)
    if unknown := [name for name in sketch.genomes if name not in genomes]:
        raise InputError(
            f"{len(unknown)} genomes of the sketch in {sketch_folder} are not in this table, the first is {unknown[0]}",
            path=reference,
            remedy="delete the sketch and run again",
        )
    names, species = _number_species([genomes[name] for name in sketch.genomes])
    n = n_related = 0
    with atomic_open(path) as handle:
        handle.write("\t".join(COLUMNS) + "\n")
        for records in batch_records(read_fasta(contigs), _BATCH):
            nearest = find_nearest(sketch, [record.sequence for record in records], species)
            n, n_related = n + len(records), n_related + np.count_nonzero(nearest.species[:, 0] >= 0)
            for i, record in enumerate(records):
                (first, second), (identity, other) = nearest.species[i], nearest.identity[i]
                fields = [record.name, str(nearest.hashes[i]), "", "", "", "", ""]
                if first >= 0:
                    fields[2:5] = names[first], sketch.genomes[nearest.genome[i, 0]], f"{identity:.4f}"
                if second >= 0:
                    fields[5:] = names[second], f"{other:.4f}"
                handle.write("\t".join(fields) + "\n")
    seconds = time.monotonic() - start
    logger.info("%d of %d contigs have a relative among %d species, %.1f s", n_related, n, len(names), seconds)


def _number_species(genomes: list[Genome]) -> tuple[list[str], np.ndarray]:
    """Names of the species, sorted, and the number of that of each genome."""
    of_genomes = [genome.taxonomy.get("species", genome.name) for genome in genomes]
    names, number = np.unique(np.array(of_genomes, dtype=object), return_inverse=True)
    return names.tolist(), number.astype(np.int64)

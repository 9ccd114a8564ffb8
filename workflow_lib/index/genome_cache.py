"""Windows of genomes and their vectors, found by the bytes of a genome's file: what is known is not read again."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.embed import Embedder
from workflow_lib.embed.shards import ShardCache, split_records
from workflow_lib.errors import InputError
from workflow_lib.fasta import hash_sequences, mostly_n, read_fasta
from workflow_lib.files import sha256_file
from workflow_lib.index.windows import cut_windows, format_window
from workflow_lib.manifest import read_manifest, write_manifest
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)

_VERSION = 2  # of a record. 2: the digest is the same of both strands


@dataclass(frozen=True)
class LoadedGenome:
    """Sequences of a genome: (contig, sequence) pairs, and `digest`, a SHA-256 of them without names and strands."""

    name: str
    contigs: list[tuple[str, bytes]]
    digest: str


@dataclass(frozen=True)
class GenomeWindows:
    """Windows of a genome: n names as of `format_window`, float32 (n, d) vectors, and the digest of `LoadedGenome`."""

    genome: str
    digest: str
    n_contigs: int
    names: list[str]
    vectors: np.ndarray


class GenomeCache:
    """Windows and vectors of genomes.

    Beside the shards of vectors (`ShardCache`) lies a record for every genome: names of its windows and keys of its
    shards, under a SHA-256 of the genome's file, the window and the version of the code. So a file that was embedded
    before costs the reading of its bytes, not unpacking, checking and digesting its sequences. A record is sealed
    and written after its shards; one that is damaged, or whose shards are, is as one that is not there.

    Parameters
    ----------
    window : bp, as of `cut_windows`.
    shard_folder, shard_mbp : as of `embed_records`; a shard holds windows of one genome only.
    version : of the code that cuts windows.
    """

    def __init__(
        self, embedder: Embedder, shard_folder: str | Path, *, window: int, shard_mbp: float, version: str
    ) -> None:
        self.shards = ShardCache(embedder, shard_folder)
        self.window, self.shard_bp, self.version = window, int(shard_mbp * 1e6), version
        self.folder = self.shards.folder / "genomes"
        self.n_found = 0

    def read(self, genome: Genome) -> GenomeWindows | tuple[LoadedGenome, str]:
        """What is known of a genome's file; else its sequences, and the name of the record to be."""
        content = f"{_VERSION}\n{self.version}\n{self.window}\n{sha256_file(genome.fasta)}"
        record = f"{hashlib.sha256(content.encode()).hexdigest()}.json"
        known = self._find(genome.name, record)
        if known is None:
            return load_genome(genome), record
        self.n_found += 1
        return known

    def embed(self, genome: LoadedGenome, record: str) -> GenomeWindows:
        """Embed the windows of a genome, and write its record."""
        names, keys, parts = [], [], [np.empty((0, self.shards.embedder.dim), dtype=np.float32)]
        for shard, sequences, _ in split_records(name_windows(genome, self.window), self.shard_bp):
            names += shard
            keys.append([self.shards.key(sequences), len(sequences)])
            parts.append(self.shards.vectors(sequences))
        # The genome may have another name in another table.
        places = [name.split("|", 1)[1] for name in names]
        content = {"digest": genome.digest, "n_contigs": len(genome.contigs), "windows": places, "shards": keys}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_manifest(self.folder, content, name=record, sealed=True)
        return GenomeWindows(genome.name, genome.digest, len(genome.contigs), names, np.concatenate(parts))

    def _find(self, genome: str, record: str) -> GenomeWindows | None:
        if not (self.folder / record).is_file():
            return None
        try:
            content = read_manifest(self.folder, name=record, sealed=True)
        except InputError as error:
            logger.warning("genome %s is read anew: %s", genome, error)
            return None
        parts = [np.empty((0, self.shards.embedder.dim), dtype=np.float32)]
        for key, n in content["shards"]:
            vectors = self.shards.load(key, n)
            if vectors is None:
                return None
            parts.append(vectors)
        names = [f"{genome}|{place}" for place in content["windows"]]
        return GenomeWindows(genome, content["digest"], content["n_contigs"], names, np.concatenate(parts))


def load_genome(genome: Genome) -> LoadedGenome:
    """Read a genome.

    Raises
    ------
    InputError
        with file and line: what `read_fasta` refuses, or two contigs with one name.
    """
    contigs: dict[str, bytes] = {}
    for record in read_fasta(genome.fasta):
        if record.name in contigs:
            raise InputError(
                f"contig {record.name!r} of genome {genome.name} stands there twice, expected distinct names",
                path=genome.fasta,
                line=record.line,
            )
        contigs[record.name] = record.sequence
    return LoadedGenome(genome.name, list(contigs.items()), hash_sequences(contigs.values()))


def name_windows(genome: LoadedGenome, window: int) -> Iterator[tuple[str, bytes]]:
    """Yield (name, sequence) of the windows of a genome that are not mostly N."""
    for contig, sequence in genome.contigs:
        for start, end in cut_windows(len(sequence), window):
            if not mostly_n(sequence[start:end]):
                yield format_window(genome.name, contig, start, end), sequence[start:end]

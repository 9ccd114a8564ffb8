"""Reference genomes to vectors: the windows that are indexed, and the pieces that calibrate the novelty calls."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from workflow_lib.embed import Embedder, embed_records
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta
from workflow_lib.index.windows import cut_windows, format_window, mostly_n
from workflow_lib.store import EmbeddingStore, read_store, write_store
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)

# Upper bounds of length strata in bp: within one, a vector's noise differs by a factor of about sqrt(2).
_STANDARD_BOUNDS = (1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000)
_N_TRIES = 5  # places tried for a piece before it is given up as N-rich


def length_strata(min_length: int) -> tuple[int, ...]:
    """Bounds in bp of the length strata from the shortest query on, e.g. (2500, 5000, 10000, 20000, 50000, 100000)."""
    longer = tuple(bound for bound in _STANDARD_BOUNDS if bound > min_length)
    return (min_length, *(longer or (2 * min_length,)))


@dataclass(frozen=True)
class _Loaded:
    name: str
    contigs: list[tuple[str, bytes]]
    digest: str


def embed_reference(
    embedder: Embedder,
    genomes: Iterable[Genome],
    *,
    window: int,
    strata: tuple[int, ...],
    pieces: int,
    seed: int,
    shard_folder: str | Path,
    shard_mbp: float,
) -> tuple[EmbeddingStore, EmbeddingStore]:
    """Embed windows and calibration pieces of reference genomes.

    A genome whose sequences are those of an earlier one (names apart) is left out with a warning: the two would vouch
    for each other. A genome without a usable window is left out with a warning. Memory: one genome, two shards of
    sequence, and the vectors.

    Parameters
    ----------
    window : bp of a window; see `cut_windows`.
    strata : bounds in bp; each stratum [bound, next bound) gets `pieces` pieces a genome where its contigs are long
        enough, their lengths drawn log-uniformly, their places uniformly.
    seed : of the pieces; a genome's pieces depend on the seed and its name only.

    Returns
    -------
    windows, pieces : stores whose names are `genome|contig|start|end`; rows of a genome lie together.

    Raises
    ------
    InputError
        with file and line: what `read_fasta` refuses, or two contigs of a genome with one name.
    """
    kinds: list[bool] = []
    skipped: dict[str, list[str]] = {"duplicates": [], "empty": []}

    def records() -> Iterator[tuple[str, bytes]]:
        for is_piece, name, sequence in _stretches(genomes, window, strata, pieces, seed, skipped):
            kinds.append(is_piece)
            yield name, sequence

    names, vectors = embed_records(embedder, records(), shard_folder=shard_folder, shard_mbp=shard_mbp)
    is_piece = np.array(kinds, dtype=bool)
    manifest = {
        "embedder": embedder.name,
        "fingerprint": embedder.fingerprint,
        "dim": embedder.dim,
        "window": window,
        "strata": list(strata),
        "seed": seed,
        "genomes_left_out": skipped,
    }
    logger.info("%d windows and %d calibration pieces embedded", (~is_piece).sum(), is_piece.sum())
    return tuple(
        EmbeddingStore(vectors[rows], [names[row] for row in np.flatnonzero(rows)], manifest)
        for rows in (~is_piece, is_piece)
    )


def _stretches(
    genomes: Iterable[Genome], window: int, strata: tuple[int, ...], pieces: int, seed: int, skipped: dict
) -> Iterator[tuple[bool, str, bytes]]:
    """Yield (is a piece, name, sequence), genome by genome; add the names of genomes left out to `skipped`."""
    for genome in _distinct_genomes(genomes, skipped["duplicates"]):
        windows = list(_windows(genome, window))
        if not windows:
            logger.warning(
                "genome %s has %d contigs, of which none gives a window of %d bp; left out",
                genome.name, len(genome.contigs), window,
            )  # fmt: skip
            skipped["empty"].append(genome.name)
            continue
        yield from ((False, name, sequence) for name, sequence in windows)
        yield from ((True, name, sequence) for name, sequence in _pieces(genome, strata, pieces, seed))


def write_reference(folder: str | Path, windows: EmbeddingStore, pieces: EmbeddingStore) -> None:
    """Write the two stores to `folder`/windows and `folder`/pieces."""
    for name, store in (("windows", windows), ("pieces", pieces)):
        write_store(Path(folder) / name, store)


def read_reference(folder: str | Path) -> tuple[EmbeddingStore, EmbeddingStore]:
    """Read and verify the stores of windows and pieces that `write_reference` wrote."""
    return read_store(Path(folder) / "windows"), read_store(Path(folder) / "pieces")


def _distinct_genomes(genomes: Iterable[Genome], duplicates: list[str]) -> Iterator[_Loaded]:
    seen: dict[str, str] = {}
    for genome in genomes:
        loaded = _load(genome)
        if loaded.digest in seen and loaded.contigs:
            logger.warning("genome %s has the sequences of %s; left out", genome.name, seen[loaded.digest])
            duplicates.append(genome.name)
            continue
        seen[loaded.digest] = genome.name
        yield loaded


def _load(genome: Genome) -> _Loaded:
    contigs: dict[str, bytes] = {}
    for record in read_fasta(genome.fasta):
        if record.name in contigs:
            raise InputError(
                f"contig {record.name!r} of genome {genome.name} stands there twice, expected distinct names",
                path=genome.fasta,
                line=record.line,
            )
        contigs[record.name] = record.sequence
    hashes = sorted(hashlib.sha256(sequence).digest() for sequence in contigs.values())
    return _Loaded(genome.name, list(contigs.items()), hashlib.sha256(b"".join(hashes)).hexdigest())


def _windows(genome: _Loaded, window: int) -> Iterator[tuple[str, bytes]]:
    for contig, sequence in genome.contigs:
        for start, end in cut_windows(len(sequence), window):
            if not mostly_n(sequence[start:end]):
                yield format_window(genome.name, contig, start, end), sequence[start:end]


def _pieces(genome: _Loaded, strata: tuple[int, ...], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    digest = hashlib.sha256(f"{seed}\n{genome.name}".encode()).digest()
    generator = np.random.default_rng(np.frombuffer(digest, dtype="<u4"))
    lengths = np.array([len(sequence) for _, sequence in genome.contigs], dtype=np.int64)
    for low, high in pairwise(strata):
        seen: set[str] = set()
        # A genome cut into pieces shorter than the stratum's top still calibrates its lower part.
        longest = min(high - 1, int(lengths.max()))
        for _ in range(count * _N_TRIES if longest >= low else 0):
            length = int(np.clip(np.exp(generator.uniform(np.log(low), np.log(longest + 1))), low, longest))
            places = np.maximum(lengths - length + 1, 0)
            contig, sequence = genome.contigs[generator.choice(len(lengths), p=places / places.sum())]
            start = int(generator.integers(len(sequence) - length + 1))
            name, piece = format_window(genome.name, contig, start, start + length), sequence[start : start + length]
            if name not in seen and not mostly_n(piece):
                seen.add(name)
                yield name, piece
            if len(seen) == count:
                break

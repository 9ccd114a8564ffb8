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
from workflow_lib.index.windows import cut_windows, format_window, mostly_n, name_genome
from workflow_lib.store import EmbeddingStore, read_store
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
    """Embed windows and calibration pieces of reference genomes: `embed_windows` and `embed_pieces`."""
    genomes = list(genomes)
    folders = {"shard_folder": shard_folder, "shard_mbp": shard_mbp}
    return (
        embed_windows(embedder, genomes, window=window, **folders),
        embed_pieces(embedder, genomes, window=window, strata=strata, pieces=pieces, seed=seed, **folders),
    )


def embed_windows(
    embedder: Embedder, genomes: Iterable[Genome], *, window: int, shard_folder: str | Path, shard_mbp: float
) -> EmbeddingStore:
    """Embed the windows of reference genomes.

    A genome whose sequences are those of an earlier one (names apart) is left out with a warning: the two would vouch
    for each other. A genome without a usable window is left out with a warning. A shard of vectors holds windows of
    one genome only, so that genomes that are added, wherever in the table, leave the others' shards to be read again.
    Memory: one genome, two shards of sequence, and the vectors.

    Parameters
    ----------
    window : bp of a window; see `cut_windows`.

    Returns
    -------
    a store whose names are `genome|contig|start|end`; rows of a genome lie together. Its manifest holds `digests`,
    genome -> SHA-256 of its sequences, and `genomes_left_out`.

    Raises
    ------
    InputError
        with file and line: what `read_fasta` refuses, or two contigs of a genome with one name.
    """
    digests: dict[str, str] = {}
    left_out: dict[str, list[str]] = {"duplicates": [], "empty": []}

    def records() -> Iterator[tuple[str, bytes]]:
        for genome in _distinct_genomes(genomes, left_out["duplicates"]):
            windows = list(_windows(genome, window))
            if windows:
                digests[genome.name] = genome.digest
                yield from windows
                continue
            logger.warning(
                "genome %s has %d contigs, of which none gives a window of %d bp; left out",
                genome.name, len(genome.contigs), window,
            )  # fmt: skip
            left_out["empty"].append(genome.name)

    store = _embed(embedder, records(), shard_folder, shard_mbp)
    store.manifest.update(window=window, digests=digests, genomes_left_out=left_out)
    logger.info("%d windows of %d genomes embedded", len(store.names), len(digests))
    return store


def embed_pieces(
    embedder: Embedder,
    genomes: Iterable[Genome],
    *,
    window: int,
    strata: tuple[int, ...],
    pieces: int,
    seed: int,
    shard_folder: str | Path,
    shard_mbp: float,
) -> EmbeddingStore:
    """Embed the calibration pieces of the reference genomes that `embed_windows` indexes.

    Parameters
    ----------
    window : as of `embed_windows`.
    strata : bounds in bp; each stratum [bound, next bound) gets `pieces` pieces a genome where its contigs are long
        enough, their lengths drawn log-uniformly, their places uniformly.
    seed : of the pieces; a genome's pieces depend on the seed and its name only.
    """
    store = _embed(
        embedder,
        (
            piece
            for genome in _distinct_genomes(genomes, [])
            if next(_windows(genome, window), None)
            for piece in _pieces(genome, strata, pieces, seed)
        ),
        *(shard_folder, shard_mbp),
    )
    store.manifest.update(window=window, strata=list(strata), seed=seed)
    logger.info("%d calibration pieces embedded", len(store.names))
    return store


def _embed(embedder: Embedder, records: Iterable, shard_folder: str | Path, shard_mbp: float) -> EmbeddingStore:
    names, vectors = embed_records(embedder, records, shard_folder=shard_folder, shard_mbp=shard_mbp, group=name_genome)
    manifest = {"embedder": embedder.name, "fingerprint": embedder.fingerprint, "dim": embedder.dim}
    return EmbeddingStore(vectors, names, manifest)


def join_stores(folders: Iterable[str | Path]) -> EmbeddingStore:
    """Read and verify the stores of several shards of genomes, and put them together as one.

    Its manifest is the first one's, with the digests of all genomes. Memory: the vectors of all.

    Raises
    ------
    InputError
        when a store is damaged, or another embedder or window made it than the first.
    """
    folders = list(folders)
    stores = [read_store(folder, mmap=True) for folder in folders]
    manifest = dict(stores[0].manifest)
    for store, folder in zip(stores, folders, strict=True):
        for key in ("fingerprint", "window"):
            if store.manifest.get(key) != manifest.get(key):
                raise InputError(
                    f"{key} {store.manifest.get(key)}, the first shard has {manifest.get(key)}",
                    path=folder,
                    remedy="delete it and run again",
                )
    if "digests" in manifest:
        manifest["digests"] = {name: digest for store in stores for name, digest in store.manifest["digests"].items()}
    names = [name for store in stores for name in store.names]
    vectors = stores[0].vectors if len(stores) == 1 else np.concatenate([store.vectors for store in stores])
    return EmbeddingStore(vectors, names, manifest)


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

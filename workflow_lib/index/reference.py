"""Reference genomes to vectors: the windows that are indexed, and the pieces that calibrate the novelty calls."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from workflow_lib.blocks import read_ahead
from workflow_lib.embed import Embedder, embed_records
from workflow_lib.embed.cuts import LONG
from workflow_lib.embed.shards import Rows
from workflow_lib.fasta import mostly_n
from workflow_lib.index.copies import tell_copy
from workflow_lib.index.genome_cache import GenomeCache, GenomeWindows, LoadedGenome, load_genome, name_windows
from workflow_lib.index.windows import format_window, name_genome, parse_window
from workflow_lib.log import Progress
from workflow_lib.manifest import check_alike
from workflow_lib.store import EmbeddingStore, read_store
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)

# Bounds of length strata in bp: within one, a vector's noise differs by a factor of about sqrt(2).
_STANDARD_BOUNDS = (1_000, 2_500, 5_000, 10_000, 20_000, LONG)
_N_TRIES = 40  # places tried for a piece before it is given up as N-rich


def length_strata(min_length: int) -> tuple[int, ...]:
    """Bounds in bp of the length strata from the shortest query on, e.g. (2500, 5000, 10000, 20000, 50000)."""
    longer = tuple(bound for bound in _STANDARD_BOUNDS if bound > min_length)
    return (min_length, *(longer or (2 * min_length,)))


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
    embedder: Embedder,
    genomes: Iterable[Genome],
    *,
    window: int,
    shard_folder: str | Path,
    shard_mbp: float,
    version: str = "",
) -> EmbeddingStore:
    """Embed the windows of reference genomes; files that were embedded before are not (`GenomeCache`).

    A genome whose sequences are those of an earlier one (names and strands apart) is left out with a warning: the two
    would vouch for each other; so is one without a usable window. Memory: two genomes, a shard of sequence, and the
    vectors.

    Parameters
    ----------
    window : bp of a window; see `cut_windows`.
    version : of the code that cuts windows.

    Returns
    -------
    a store whose names are `genome|contig|start|end`; rows of a genome lie together. Its manifest holds `digests`,
    genome -> SHA-256 of its sequences, and `genomes_left_out`.

    Raises
    ------
    InputError
        as `load_genome`.
    """
    cache = GenomeCache(embedder, shard_folder, window=window, shard_mbp=shard_mbp, version=version)
    genomes = list(genomes)
    taxonomy, digests, seen = _taxonomy(genomes), {}, {}
    left_out: dict[str, list[str]] = {"duplicates": [], "empty": []}
    names: list[str] = []
    rows = Rows(embedder.dim)
    progress = Progress(0, f"embed windows with {embedder.name}")
    for found in read_ahead(cache.read(genome) for genome in genomes):
        genome = found if isinstance(found, GenomeWindows) else cache.embed(*found)
        if genome.n_contigs and tell_copy(genome.genome, genome.digest, seen, taxonomy):
            left_out["duplicates"].append(genome.genome)
        elif not genome.names:
            logger.warning(
                "genome %s has %d contigs, of which none gives a window of %d bp; left out",
                *(genome.genome, genome.n_contigs, window),
            )
            left_out["empty"].append(genome.genome)
        else:
            digests[genome.genome] = genome.digest
            names += genome.names
            rows.add(genome.vectors)
            progress.add(sum(end - start for *_, start, end in map(parse_window, genome.names)))
    progress.close()
    logger.info(
        "%d windows: %d shards computed, %d reused; %d genomes, %d of them known before",
        *(len(names), cache.shards.n_computed, cache.shards.n_reused, len(digests), cache.n_found),
    )
    manifest = {"embedder": embedder.name, "fingerprint": embedder.fingerprint, "dim": embedder.dim}
    manifest.update(window=window, digests=digests, genomes_left_out=left_out)
    return EmbeddingStore(rows.result(), names, manifest)


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
        enough, their lengths spread evenly on a log scale, their places drawn uniformly.
    seed : of the pieces; a genome's pieces depend on the seed and its name only.
    """
    names, vectors = embed_records(
        embedder,
        (
            piece
            for genome in _distinct_genomes(genomes)
            if next(name_windows(genome, window), None)
            for piece in _pieces(genome, strata, pieces, seed)
        ),
        shard_folder=shard_folder,
        shard_mbp=shard_mbp,
        group=name_genome,
    )
    manifest = {"embedder": embedder.name, "fingerprint": embedder.fingerprint, "dim": embedder.dim}
    logger.info("%d calibration pieces embedded", len(names))
    return EmbeddingStore(vectors, names, dict(manifest, window=window, strata=list(strata), seed=seed))


def join_stores(folders: Iterable[str | Path]) -> EmbeddingStore:
    """Read and verify the stores of several shards of genomes, and put them together as one.

    Its manifest is the first one's, with the digests of all genomes. Memory: the names; the vectors of several stores
    are put together in a file beside them that is gone when they are no longer used.

    Raises
    ------
    InputError
        when a store is damaged, or another embedder or window made it than the first.
    """
    folders = list(folders)
    stores = [read_store(folder, mmap=True) for folder in folders]
    manifest = dict(stores[0].manifest)
    for store, folder in zip(stores, folders, strict=True):
        check_alike(store.manifest, manifest, folder)
    if "digests" in manifest:
        manifest["digests"] = {name: digest for store in stores for name, digest in store.manifest["digests"].items()}
    names = [name for store in stores for name in store.names]
    vectors = stores[0].vectors if len(stores) == 1 else _join_vectors(stores, Path(folders[0]).parent)
    return EmbeddingStore(vectors, names, manifest)


def _join_vectors(stores: list[EmbeddingStore], folder: Path) -> np.ndarray:
    """float32 (n, d) rows of all stores, memory-mapped from a file that has no name."""
    shape = sum(len(store.names) for store in stores), stores[0].vectors.shape[1]
    if not shape[0]:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile(dir=folder) as handle:
        joined, first = np.memmap(handle, dtype=np.float32, shape=shape), 0
    for store in stores:
        joined[first : first + len(store.names)] = store.vectors
        first += len(store.names)
    return joined


def _distinct_genomes(genomes: Iterable[Genome]) -> Iterator[LoadedGenome]:
    genomes, seen = list(genomes), {}
    taxonomy = _taxonomy(genomes)
    for genome in map(load_genome, genomes):
        if not genome.contigs or not tell_copy(genome.name, genome.digest, seen, taxonomy):
            yield genome


def _taxonomy(genomes: list[Genome]) -> dict[str, dict[str, str]]:
    return {genome.name: genome.taxonomy for genome in genomes}


def _pieces(genome: LoadedGenome, strata: tuple[int, ...], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    digest = hashlib.sha256(f"{seed}\n{genome.name}".encode()).digest()
    generator = np.random.default_rng(np.frombuffer(digest, dtype="<u4"))
    lengths = np.array([len(sequence) for _, sequence in genome.contigs], dtype=np.int64)
    for low, high in pairwise(strata):
        seen: set[str] = set()
        # A genome cut into pieces shorter than the stratum's top still calibrates its lower part.
        longest = min(high - 1, int(lengths.max()))
        # Each length from a part of its own, so that queries of any length find some; bins are made of the first ones.
        ends = np.linspace(np.log(low), np.log(longest + 1), count + 1)
        for part in generator.permutation(count) if longest >= low else ():
            for _ in range(_N_TRIES):
                length = int(np.clip(np.exp(generator.uniform(*ends[part : part + 2])), low, longest))
                places = np.maximum(lengths - length + 1, 0)
                contig, sequence = genome.contigs[generator.choice(len(lengths), p=places / places.sum())]
                start = int(generator.integers(len(sequence) - length + 1))
                piece = sequence[start : start + length]
                name = format_window(genome.name, contig, start, start + length)
                if name not in seen and not mostly_n(piece):
                    seen.add(name)
                    yield name, piece
                    break

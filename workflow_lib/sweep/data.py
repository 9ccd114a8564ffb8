"""The data that every configuration of the sweep is measured on: stores, sequences, groups and the exact answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.embed import Embedder, embed_records
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta
from workflow_lib.files import atomic_open
from workflow_lib.index import build_index
from workflow_lib.index.windows import WindowTable, name_genome, tabulate_windows
from workflow_lib.store import EmbeddingStore, read_store, write_store
from workflow_lib.sweep.split import KNOWN, cut_queries, split_genomes
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)

WINDOWS, QUERIES, TRUTH = "windows", "queries", "truth.npz"


@dataclass(frozen=True)
class SweepData:
    """What a configuration is measured on; n windows, m queries.

    Attributes
    ----------
    windows : store of the rows. table : what they are.
    vectors : float32 (m, d) unit rows. groups : text (m,), see `split.GROUPS`.
    genomes : m names. taxonomy : genome -> rank -> name, of all genomes.
    rows, distances : int64 and float32 (m, k), the exact nearest windows.
    """

    windows: EmbeddingStore
    table: WindowTable
    vectors: np.ndarray
    groups: np.ndarray
    genomes: list[str]
    taxonomy: dict[str, dict[str, str]]
    rows: np.ndarray
    distances: np.ndarray


def make_sweep(
    embedder: Embedder,
    genomes: list[Genome],
    folder: str | Path,
    *,
    window: int,
    length: int,
    count: int,
    share: float,
    neighbours: int,
    seed: int,
    shard_folder: str | Path,
    shard_mbp: float,
) -> None:
    """Split the genomes, embed windows and queries, search exactly, and write it all to `folder`.

    Parameters
    ----------
    window, length : bp of a window and of a query. count : queries a genome at most. share : of the taxa held out.
    neighbours : windows found for each query.

    Memory: one genome, two shards of sequence, and the vectors.
    """
    folder = Path(folder)
    split = split_genomes(genomes, share=share, seed=seed)

    def cut(is_query: bool) -> Iterator[tuple[str, bytes]]:
        for genome in genomes:
            group = split.groups[genome.name]
            pieces = cut_queries(genome, group, window=window, length=length, count=count, seed=seed)
            yield from ((name, sequence) for asked, name, sequence in pieces if asked == is_query)

    manifest = {"embedder": embedder.name, "fingerprint": embedder.fingerprint, "dim": embedder.dim, "window": window}
    stores = []
    for is_query, kind in ((False, WINDOWS), (True, QUERIES)):
        names, vectors = embed_records(
            embedder,
            cut(is_query),
            shard_folder=shard_folder,
            shard_mbp=shard_mbp,
            group=name_genome,
        )
        usable = vectors.any(axis=1)
        kept = [name for name, use in zip(names, usable, strict=True) if use]
        _check_names(kept, kind, split.groups)
        stores.append(EmbeddingStore(vectors[usable], kept, dict(manifest, groups=split.groups)))
        write_store(folder / kind, stores[-1])
        chosen = set(kept)
        write_fasta(folder / f"{kind}.fa.gz", (record for record in cut(is_query) if record[0] in chosen))
    windows, queries = stores
    index = build_index(windows.vectors, tabulate_windows(windows.names, {}), manifest)
    distances, rows = index.search(queries.vectors, neighbours)
    with atomic_open(folder / TRUTH, "wb") as handle:
        np.savez(handle, rows=rows, distances=distances)
    logger.info("%d windows, %d queries of %d bp", len(windows.names), len(queries.names), length)


def _check_names(names: list[str], kind: str, groups: dict[str, str]) -> None:
    """Refuse a sweep without windows or queries, or without queries of what is indexed."""
    remedy = "give longer genomes, or a shorter index.window"
    if not names:
        raise InputError(f"there are no {kind} to sweep with", remedy=remedy)
    if kind == QUERIES and KNOWN not in {groups[name_genome(name)] for name in names}:
        raise InputError(
            "no genome that is indexed has two windows: there are no known queries to sweep with", remedy=remedy
        )


def read_sweep(folder: str | Path, taxonomy: dict[str, dict[str, str]]) -> SweepData:
    """Read what `make_sweep` wrote; the taxonomy is that of the reference table."""
    folder = Path(folder)
    windows, queries = read_store(folder / WINDOWS), read_store(folder / QUERIES)
    genomes = [name_genome(name) for name in queries.names]
    with np.load(folder / TRUTH) as truth:
        rows, distances = truth["rows"], truth["distances"]
    groups = np.array([queries.manifest["groups"].get(genome, KNOWN) for genome in genomes])
    table = tabulate_windows(windows.names, taxonomy)
    return SweepData(windows, table, queries.vectors, groups, genomes, taxonomy, rows, distances)

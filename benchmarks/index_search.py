"""Exact search against the same matrix product alone, and an index that grows against one that is built anew.

Usage: python benchmarks/index_search.py [--threads N] [--small] [--growth TABLE]

165,615 windows x 1,024 columns, 14,000 queries, k = 10 (--small: a tenth of both), best of three in one process.
With --growth, the genomes of a table as reference.tsv: an index of all but 100 is extended by these, against building
it anew, embedding and calibration included (no shards of vectors there before).
"""

import argparse
import logging
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

N, DIM, QUERIES, NEIGHBOURS = 165_615, 1_024, 14_000, 10
BLOCK_QUERIES, BLOCK_WINDOWS = 2_048, 8_192
ADDED = 100


def main() -> None:
    """Parse the arguments, set the threads before NumPy is loaded, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--small", action="store_true", help="a tenth of windows and queries")
    parser.add_argument("--growth", metavar="TABLE", help="measure an index that grows, on these genomes")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(arguments.threads)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    print(f"command: {' '.join(sys.argv)}")
    print(f"machine: {os.cpu_count()} cores, {arguments.threads} threads, {platform.platform()}")
    if arguments.growth:
        measure_growth(arguments.growth)
    else:
        measure_search(*((N // 10, QUERIES // 10) if arguments.small else (N, QUERIES)))


def measure_search(n: int, n_queries: int) -> None:
    """Print the best of three of the product, of the search, and of FAISS' own flat search."""
    import faiss

    from workflow_lib.index import build_index
    from workflow_lib.index.windows import format_window, tabulate_windows

    windows, queries = draw_rows(n, 1), draw_rows(n_queries, 2)
    table = tabulate_windows([format_window(f"g{row // 50}", "c", row, row + 1) for row in range(n)], {})
    manifest = {"embedder": "random", "fingerprint": "random", "dim": DIM, "window": 1}
    index = build_index(windows, table, manifest)
    index.search(queries[:20], NEIGHBOURS)  # compiles what Numba compiles
    steps = {
        "product": lambda: multiply(queries, windows),
        "search": lambda: index.search(queries, NEIGHBOURS),
        "genome distances": lambda: [None for _ in index.genome_distances(queries)],
        "FAISS IndexFlatIP": lambda: faiss.knn(queries, windows, NEIGHBOURS, metric=faiss.METRIC_INNER_PRODUCT),
    }
    seconds = {name: [] for name in steps}
    for _ in range(3):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    print(f"{n} windows x {DIM}, {n_queries} queries, k = {NEIGHBOURS}")
    for name, times in seconds.items():
        print(f"{name} {min(times):.2f} s: {min(times) / min(seconds['product']):.2f} products")


def draw_rows(n: int, seed: int):
    """Random unit rows, float32 (n, DIM)."""
    import numpy as np

    rows = np.random.default_rng(seed).standard_normal((n, DIM), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def multiply(queries, windows) -> None:
    """All inner products in float32, in blocks; each block is thrown away."""
    for first in range(0, len(queries), BLOCK_QUERIES):
        for start in range(0, len(windows), BLOCK_WINDOWS):
            queries[first : first + BLOCK_QUERIES] @ windows[start : start + BLOCK_WINDOWS].T


def measure_growth(table: str) -> None:
    """Print the seconds of building an index of all genomes, and of adding the last 100 to one of the others."""
    from workflow_lib.tables import load_reference

    genomes = list(load_reference(table).values())
    for factory in ("Flat", "IVF*,Flat"):
        with tempfile.TemporaryDirectory() as folder:
            anew = time_build(genomes, Path(folder) / "anew", Path(folder) / "shards", factory)
        with tempfile.TemporaryDirectory() as folder:
            time_build(genomes[:-ADDED], Path(folder) / "grown", Path(folder) / "shards", factory)
            grown = time_build(genomes, Path(folder) / "grown", Path(folder) / "shards", factory, calibrate=False)
        print(
            f"{factory}, {len(genomes)} genomes: built anew and calibrated {anew:.1f} s; {ADDED} added to "
            f"{len(genomes) - ADDED} {grown:.1f} s: {grown / anew:.1%}"
        )


def time_build(genomes: list, folder: Path, shards: Path, factory: str, *, calibrate: bool = True) -> float:
    """Seconds to embed, build or extend the index in `folder`, and calibrate it."""
    from workflow_lib.embed import load_embedder
    from workflow_lib.index.growth import IndexOptions, grow_index
    from workflow_lib.index.reference import embed_pieces, embed_windows, length_strata
    from workflow_lib.novelty.build import calibrate_index

    embedder = load_embedder("compact")
    started = time.perf_counter()
    options = {"window": 10_000, "shard_folder": shards, "shard_mbp": 8}
    windows = embed_windows(embedder, genomes, **options)
    taxonomy = {genome.name: genome.taxonomy for genome in genomes}
    grow_index(folder, [windows], taxonomy, IndexOptions(factory, {}))
    if calibrate:
        pieces = embed_pieces(embedder, genomes, strata=length_strata(2500), pieces=8, seed=1, **options)
        calibrate_index(folder, windows, pieces, neighbours=1, n_pieces=8)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

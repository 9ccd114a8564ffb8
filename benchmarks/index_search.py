"""Exact search against the same matrix product alone, and an index that grows against one that is built anew.

Usage: python benchmarks/index_search.py [--threads N] [--repeats R] [--small] [--growth TABLE]

165,615 windows x 1,024 columns, 14,000 queries, k = 10 (--small: a tenth of both); steps take turns on each block of
2,048 queries, and the best of R turns counts.
With --growth, the genomes of a table as reference.tsv: an index of all but 100 is extended by these, against building
it anew where no vectors are there before. CPU seconds, as they depend less on what else runs.
"""

import argparse
import logging
import os
import platform
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

N, DIM, QUERIES, NEIGHBOURS = 165_615, 1_024, 14_000, 10
BLOCK_QUERIES, BLOCK_WINDOWS = 2_048, 8_192
ADDED = 100


def main() -> None:
    """Parse the arguments, set the threads before NumPy is loaded, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--small", action="store_true", help="a tenth of windows and queries")
    parser.add_argument("--repeats", type=int, default=3, help="of every step; the best counts")
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
        part = 10 if arguments.small else 1
        measure_search(N // part, QUERIES // part, arguments.repeats)


def measure_search(n: int, n_queries: int, repeats: int) -> None:
    """Print CPU seconds of product, search and FAISS' own flat search, in turn on each block of queries."""
    import faiss
    import numpy as np

    from workflow_lib.index import build_index
    from workflow_lib.index.windows import format_window, tabulate_windows

    windows, queries = draw_rows(n, 1), draw_rows(n_queries, 2)
    table = tabulate_windows([format_window(f"g{row // 50}", "c", row, row + 1) for row in range(n)], {})
    manifest = {"embedder": "random", "fingerprint": "random", "dim": DIM, "window": 1}
    index = build_index(windows, table, manifest)
    index.search(queries[:20], NEIGHBOURS)  # compiles what Numba compiles
    steps = {
        "product": lambda part: multiply(part, windows),
        "search": lambda part: index.search(part, NEIGHBOURS),
        "genome distances": lambda part: [None for _ in index.genome_distances(part)],
        "FAISS IndexFlatIP": lambda part: faiss.knn(part, windows, NEIGHBOURS, metric=faiss.METRIC_INNER_PRODUCT),
    }
    print(f"{n} windows x {DIM}, k = {NEIGHBOURS}; CPU seconds and products")
    best = {name: [] for name in steps}
    for first in range(0, n_queries, BLOCK_QUERIES):
        part = queries[first : first + BLOCK_QUERIES]
        for seconds in best.values():
            seconds.append(np.inf)
        for _ in range(repeats):
            for name, step in steps.items():
                started = time.process_time()
                step(part)
                best[name][-1] = min(best[name][-1], time.process_time() - started)
        told = (f"{name} {sum(times):.2f} ({sum(times) / sum(best['product']):.2f})" for name, times in best.items())
        print(f"{first + len(part)} queries: {', '.join(told)}", flush=True)


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
    """Print the CPU seconds of building an index of all genomes, and of adding the last 100 to one of the others."""
    from workflow_lib.tables import load_reference

    genomes = list(load_reference(table).values())
    for factory in ("Flat", "IVF*,Flat"):
        with tempfile.TemporaryDirectory() as folder:
            anew = time_build(genomes, Path(folder), factory)
        with tempfile.TemporaryDirectory() as folder:
            time_build(genomes[:-ADDED], Path(folder), factory, calibrate=False)
            grown = time_build(genomes, Path(folder), factory, calibrate=False)
        with tempfile.TemporaryDirectory() as folder:
            new = time_build(genomes[-ADDED:], Path(folder), factory, calibrate=False)["windows"]
        print(f"{factory}: {ADDED} genomes added to {len(genomes) - ADDED}, and {len(genomes)} anew; CPU seconds")
        for name, seconds in (("added", grown), ("anew", anew)):
            print(f"  {name}: " + ", ".join(f"{step} {value:.2f}" for step, value in seconds.items()))
        indexed, everything = anew["windows"] + anew["index"], sum(anew.values())
        added = grown["windows"] + grown["index"]
        print(f"  reading and embedding the new genomes alone: {new:.2f}")
        print(f"  added / anew: {added / everything:.1%} of index and calibration, {added / indexed:.1%} of the index")
        print(f"  without reading and embedding the new ones: {(added - new) / indexed:.1%} of the index anew")


def time_build(genomes: list, folder: Path, factory: str, *, calibrate: bool = True) -> dict[str, float]:
    """CPU seconds of the steps that embed, build or extend the index in `folder`, and calibrate it."""
    from workflow_lib.embed import load_embedder
    from workflow_lib.index.growth import IndexOptions, grow_index
    from workflow_lib.index.reference import embed_pieces, embed_windows, length_strata
    from workflow_lib.novelty.build import calibrate_index
    from workflow_lib.novelty.sketch import sketch_genomes

    embedder = load_embedder("compact")
    options = {"window": 10_000, "shard_folder": folder / "shards", "shard_mbp": 8}
    taxonomy = {genome.name: genome.taxonomy for genome in genomes}
    times = [time.process_time()]
    windows = embed_windows(embedder, genomes, **options)
    times.append(time.process_time())
    grow_index(folder / "index", [windows], taxonomy, IndexOptions(factory, {}))
    times.append(time.process_time())
    if calibrate:
        pieces = embed_pieces(embedder, genomes, strata=length_strata(2500), pieces=8, seed=1, **options)
        calibrate_index(
            folder / "index", windows, pieces,
            neighbours=3, n_pieces=8, sketch=sketch_genomes(genomes, scale=50),
            genomes={genome.name: genome for genome in genomes},
        )  # fmt: skip
        times.append(time.process_time())
    return dict(zip(("windows", "index", "calibration"), (b - a for a, b in pairwise(times)), strict=False))


if __name__ == "__main__":
    main()

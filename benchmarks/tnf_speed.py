"""Speed from FASTA.gz to TNF vectors on 2 cores, beside reading the same file alone.

    python benchmarks/tnf_speed.py [--mbp 200] [--repeats 3]

Makes random contigs of log-normal lengths, and prints the machine, the threads, and the best of the repeats: reading
the file; embedding it in shards as the workflow does (read, hash, count, save); the same with all shards there. Wall
time gives Mbp/s; CPU time of all threads is printed too, because other work on the machine disturbs it less.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["NUMBA_NUM_THREADS"] = "2"

import numpy as np  # noqa: E402

from workflow_lib.embed import embed_records, load_embedder  # noqa: E402
from workflow_lib.fasta import read_fasta, write_fasta  # noqa: E402

THREADS = 2
MEDIAN_BP, SIGMA, SHORTEST = 5000, 1.0, 2500
SHARD_MBP = 8


def random_contigs(n_bp: int) -> Iterator[tuple[str, bytes]]:
    """Contigs of random bases, `n_bp` in all, log-normal lengths."""
    rng = np.random.default_rng(1)
    alphabet = np.frombuffer(b"ACGT", dtype=np.uint8)
    number = 0
    while n_bp > 0:
        length = int(max(SHORTEST, rng.lognormal(np.log(MEDIAN_BP), SIGMA)))
        yield f"contig_{number}", alphabet[rng.integers(0, 4, length, dtype=np.uint8)].tobytes()
        n_bp, number = n_bp - length, number + 1


def best(work: Callable[[int], object], repeats: int) -> tuple[float, float]:
    """Wall and CPU seconds of `work(repeat)`, the fewest of each."""
    wall, cpu = [], []
    for repeat in range(repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        work(repeat)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    return min(wall), min(cpu)


def measure(folder: Path, n_bp: int, repeats: int) -> None:
    """Write the input to `folder`, measure, print."""
    fasta = folder / "contigs.fa.gz"
    n_contigs = write_fasta(fasta, random_contigs(n_bp))
    n_mbp = sum(len(record.sequence) for record in read_fasta(fasta)) / 1e6
    print(f"input: {n_mbp:.0f} Mbp in {n_contigs} contigs, {fasta.stat().st_size / 1e6:.0f} MB of FASTA.gz")

    def embed(name: str, shards: Path) -> None:
        embedder = load_embedder(name, threads=THREADS)
        embed_records(embedder, read_fasta(fasta), shard_folder=shards, shard_mbp=SHARD_MBP)

    def show(what: str, wall: float, cpu: float) -> None:
        print(
            f"{what:36} {n_mbp / wall:6.0f} Mbp/s {wall / reading:6.2f} x reading {1000 * cpu / n_mbp:6.1f} CPU ms/Mbp"
        )

    reading, cpu = best(lambda _: sum(1 for _ in read_fasta(fasta)), repeats)
    show("read FASTA.gz", reading, cpu)
    for name in ("tnf", "tnf-k"):
        show(f"FASTA.gz -> {name} vectors", *best(lambda i, name=name: embed(name, folder / f"{name}_{i}"), repeats))
        show(
            f"FASTA.gz -> {name}, shards there", *best(lambda _, name=name: embed(name, folder / f"{name}_0"), repeats)
        )


def main() -> None:
    """Measure on two cores and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mbp", type=float, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, {THREADS} used; Python {platform.python_version()}")
    load_embedder("tnf-k").embed(["ACGT" * 100])  # compile before the clock starts
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), int(arguments.mbp * 1e6), arguments.repeats)


if __name__ == "__main__":
    main()

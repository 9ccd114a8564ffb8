"""An index of very many windows built in parts, as the workflow's jobs build it: time, memory and disk of every step.

Usage: python benchmarks/index_scale.py --windows 10000000 --folder FOLDER [--part 1000000] [--factory IVF4096,SQ8]

Vectors are drawn, a part at a time: unit rows of 96 columns, the sum of a phylum, a genus, a genome and the noise of a
window (0.3, 0.25, 0.15 and 0.3 of the variance, half of it in 28 columns as in `compact`), 1,000 windows a genome,
2,000 genera. Each step is a process of its own that calls what the rule's script calls: `train_index`, `fill_part` for
every part, `build_index` (merge, table of windows, manifest), then load, verified, memory-mapped, and search. Stores of
windows are kept where they are `--keep` at most; else a part's vectors are written for its job and removed after
it, and training draws them again (its seconds include the drawing, which is printed too). Neighbours are compared with
exact search, done while parts are drawn: queries are new windows of indexed genomes, and of new genomes of the genera.

Peak memory is that of the process (with pages of memory-mapped files, which the system takes back when it has to) and,
after the slash, its anonymous memory alone, which is what a job must be given; imports take 0.1 GB of it.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

from steps import THREADS, anonymous_bytes, measure, run_step, show

DIM, GENERA, PHYLA, PER_GENOME, PER_CONTIG = 96, 2_000, 50, 1_000, 50
VARIANCES = {"phylum": 0.3, "genus": 0.25, "genome": 0.15, "window": 0.3}
DECAY = 50  # columns in which the variance falls by e: half of it is in 28
QUERIES, NEIGHBOURS = 128, 10  # of each of the two groups


def main() -> None:
    """Parse the arguments; run every step in a process of its own and print what it took, or be one of these."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1_000_000)
    parser.add_argument("--part", type=int, default=1_000_000, help="windows that a job adds")
    parser.add_argument("--factory", default="IVF4096,SQ8")
    parser.add_argument("--folder", type=Path, required=True, help="for all files; it must not exist")
    parser.add_argument("--nprobe", type=int, nargs="+", default=[16, 64, 256], help="beside the index's own")
    parser.add_argument("--keep", type=int, default=20_000_000, help="windows up to which all vectors stay on disk")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.update(dict.fromkeys(THREADS, str(arguments.threads)))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    if arguments.step:
        print(json.dumps(measure(STEPS[arguments.step], arguments)))
    else:
        run_steps(arguments)


def run_steps(arguments) -> None:
    """All steps in turn, a line each."""
    folder, n_parts = arguments.folder, -(-arguments.windows // arguments.part)
    folder.mkdir(parents=True)
    print(f"command: {' '.join(sys.argv)}")
    print(f"machine: {os.cpu_count()} cores, {arguments.threads} threads, {platform.platform()}")
    print(f"{arguments.windows} windows of {DIM} columns in {n_parts} parts, {arguments.factory}", flush=True)
    kept = arguments.windows <= arguments.keep
    if kept:
        show("draw (not novabin)", [run_step("draw", arguments, number) for number in range(n_parts)])
    show("train", [run_step("train", arguments, 0)])
    drawn, filled = [], []
    for number in range(n_parts):
        if not kept:
            drawn.append(run_step("draw", arguments, number))
        filled.append(run_step("fill", arguments, number))
        if not kept and number:  # the first one's are probes
            (folder / f"windows/{number}/vectors.npy").unlink()
        if (number + 1) % 10 == 0:
            print(f"... {number + 1} parts, {time.strftime('%H:%M:%S')}", flush=True)
    if drawn:
        show("draw (not novabin)", drawn)
    show("fill", filled)
    print(f"parts: {size_of(folder / 'parts') / 1e9:.2f} GB", flush=True)
    show("build", [run_step("build", arguments, 0)])
    for name in ("index.faiss", "ids.tsv", "index.json"):
        print(f"{name}: {(folder / 'index' / name).stat().st_size / 1e9:.3f} GB")
    shutil.rmtree(folder / "parts")
    searched = run_step("search", arguments, 0)
    show("load and search", [searched])
    for line in searched["lines"]:
        print(line)


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def draw_part(number: int, arguments):
    """Unit rows float32 (n, 96) of a part, the same at every call."""
    import numpy as np

    first = number * arguments.part
    n = min(arguments.part, arguments.windows - first)
    centres, generator = draw_genomes(number, -(-n // PER_GENOME)), np.random.default_rng([2, number])
    rows = generator.standard_normal((n, DIM), dtype=np.float32)
    rows *= column_scale("window")
    for genome, centre in enumerate(centres):
        rows[genome * PER_GENOME : (genome + 1) * PER_GENOME] += centre
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows


def draw_genomes(number: int, n: int):
    """Centres float32 (n, 96) of the genomes of a part; of part -1, those that are not indexed."""
    import numpy as np

    shared = np.random.default_rng(0)
    phyla = shared.standard_normal((PHYLA, DIM)) * column_scale("phylum")
    genera = phyla[np.arange(GENERA) % PHYLA] + shared.standard_normal((GENERA, DIM)) * column_scale("genus")
    generator = np.random.default_rng([1, number + 1])
    genus = generator.integers(GENERA, size=n)
    return (genera[genus] + generator.standard_normal((n, DIM)) * column_scale("genome")).astype(np.float32)


def column_scale(level: str):
    """Standard deviation of each column, float32 (96,); variances of all levels add up to 1 a row."""
    import numpy as np

    variance = np.exp(-np.arange(DIM) / DECAY)
    return np.sqrt(VARIANCES[level] * variance / variance.sum()).astype(np.float32)


def draw_queries(arguments):
    """Unit rows: `QUERIES` new windows of indexed genomes, then as many of genomes that are not indexed."""
    import numpy as np

    generator, n_parts = np.random.default_rng(3), -(-arguments.windows // arguments.part)
    parts = generator.integers(n_parts, size=QUERIES)
    n_genomes = min(arguments.part, arguments.windows) // PER_GENOME
    known = [draw_genomes(int(part), n_genomes)[generator.integers(n_genomes)] for part in parts]
    rows = np.concatenate([known, draw_genomes(-1, QUERIES)])
    rows = rows + generator.standard_normal(rows.shape) * column_scale("window")
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def genome_name(number: int) -> str:
    """As long as those of NCBI."""
    return f"GCF_{number:09d}.1"


def name_part(number: int, n: int, arguments) -> list[str]:
    """Names of the windows of a part."""
    from workflow_lib.index.windows import format_window

    first, names = number * arguments.part // PER_GENOME, []
    for row in range(n):
        genome, place = first + row // PER_GENOME, row % PER_GENOME
        contig, start = f"NZ_{genome:06d}{place // PER_CONTIG:03d}.1", place % PER_CONTIG * 10_000
        names.append(format_window(genome_name(genome), contig, start, start + 10_000))
    return names


def describe_part(number: int, n: int, arguments) -> dict:
    """What `embed_windows` says of a part."""
    first = number * arguments.part // PER_GENOME
    digests = {genome_name(genome): f"{genome:064x}" for genome in range(first, first - (-n // PER_GENOME))}
    known = {"embedder": "drawn", "fingerprint": "0" * 64, "dim": DIM, "window": 10_000, "n": n}
    return known | {"digests": digests, "genomes_left_out": {"duplicates": [], "empty": []}}


def draw_taxonomy(arguments) -> dict[str, dict[str, str]]:
    """Lineages as long as those of GTDB."""
    ranks = ("domain", "phylum", "class", "order", "family", "genus", "species")
    names = ("Bacteria", "Pseudomonadota", "Gammaproteobacteria", "Enterobacterales", "Enterobacteriaceae")
    return {
        genome_name(genome): dict(
            zip(ranks, (*names, f"Genus{genome % GENERA}", f"Genus{genome % GENERA} species{genome}"), strict=True)
        )
        for genome in range(-(-arguments.windows // PER_GENOME))
    }


def draw(arguments) -> None:
    """Write the store of a part, and take it into the exact neighbours."""
    import numpy as np

    from workflow_lib.index.topk import update_nearest
    from workflow_lib.store import EmbeddingStore, write_store

    number, path = arguments.number, arguments.folder / "exact.npz"
    rows, queries = draw_part(number, arguments), draw_queries(arguments)
    best = np.full((len(queries), NEIGHBOURS), -np.inf, dtype=np.float32)
    found = np.full(best.shape, -1, dtype=np.int64)
    if path.exists():
        with np.load(path) as held:
            best, found = held["best"], held["found"]
    for start in range(0, len(rows), 8192):
        similarities = queries @ rows[start : start + 8192].T
        update_nearest(similarities, number * arguments.part + start, best, found)
    np.savez(path, best=best, found=found)
    folder = arguments.folder / f"windows/{number}"
    folder.mkdir(parents=True)
    names = name_part(number, len(rows), arguments)
    write_store(folder, EmbeddingStore(rows, names, describe_part(number, len(rows), arguments)))


def shards_of(arguments) -> list:
    """The stores of all parts."""
    from workflow_lib.index.shards import open_shards

    n_parts = -(-arguments.windows // arguments.part)
    return open_shards(arguments.folder / f"windows/{number}/manifest.json" for number in range(n_parts))


def drawn_shards(arguments, seconds: list[float]) -> list:
    """As `shards_of`, but vectors are drawn when they are asked for; `seconds` takes what that took."""
    import numpy as np

    from workflow_lib.index.shards import WindowShard
    from workflow_lib.index.windows import WindowTable, tabulate_windows

    class DrawnShard(WindowShard):
        def __init__(self, number: int) -> None:
            self.number = number
            n = min(arguments.part, arguments.windows - number * arguments.part)
            self.manifest = describe_part(number, n, arguments)

        def tabulate(self, taxonomy: dict) -> WindowTable:
            genomes, places = list(self.manifest["digests"]), np.arange(len(self))
            one = tabulate_windows(["genome|contig|0|10000"] * len(self), {})
            codes = (places // PER_GENOME).astype(np.int32)
            return WindowTable(genomes, [{}] * len(genomes), codes, one.contigs, one.starts, one.ends)

        @property
        def vectors(self) -> np.ndarray:
            started = time.process_time()
            rows = draw_part(self.number, arguments)
            seconds.append(time.process_time() - started)
            return rows

    return [DrawnShard(number) for number in range(-(-arguments.windows // arguments.part))]


def options_of(arguments):
    """What the index is asked to be."""
    from workflow_lib.index.growth import IndexOptions

    return IndexOptions(arguments.factory, dict.fromkeys(("nprobe", "ef_search", "k_factor")), version="benchmark")


def common_files(arguments) -> dict[str, Path]:
    """Files of `train_parts`."""
    (arguments.folder / "parts").mkdir(exist_ok=True)
    return {"trained": arguments.folder / "parts/trained.faiss", "growth": arguments.folder / "parts/growth.json"}


def part_file(arguments, number: int) -> Path:
    """A filled part."""
    return arguments.folder / f"parts/{number}.faiss"


def train(arguments) -> dict:
    """As scripts/train_index.py."""
    from workflow_lib.index.growth import train_parts

    seconds = []
    kept = arguments.windows <= arguments.keep
    shards = shards_of(arguments) if kept else drawn_shards(arguments, seconds)
    train_parts(shards, arguments.folder / "index", options_of(arguments), **common_files(arguments))
    return {"note": "" if kept else f"({sum(seconds):.0f} CPU s of it drawing)"}


def fill(arguments) -> None:
    """As scripts/fill_part.py."""
    from workflow_lib.index.growth import fill_part
    from workflow_lib.index.shards import WindowShard

    number = arguments.number
    shard = WindowShard(arguments.folder / f"windows/{number}")
    fill_part(shard, number, part=part_file(arguments, number), **common_files(arguments))


def build(arguments) -> None:
    """As scripts/build_index.py."""
    from workflow_lib.index.growth import grow_index

    shards = shards_of(arguments)
    grow_index(
        arguments.folder / "index", shards, draw_taxonomy(arguments), options_of(arguments),
        parts=[part_file(arguments, number) for number in range(len(shards))], **common_files(arguments),
    )  # fmt: skip


def search(arguments) -> dict:
    """Load the index, and search it with several nprobe."""
    import numpy as np

    from workflow_lib.index import load_index
    from workflow_lib.index.base import UNCALIBRATED_NAME

    started, before = time.perf_counter(), time.process_time()
    index = load_index(arguments.folder / "index", name=UNCALIBRATED_NAME)
    lines = [
        f"load: {time.process_time() - before:.1f} CPU s, {time.perf_counter() - started:.1f} s, "
        f"anonymous memory then {anonymous_bytes() / 1e9:.2f} GB"
    ]
    queries = draw_queries(arguments)
    with np.load(arguments.folder / "exact.npz") as held:
        exact = held["found"][np.arange(len(queries))[:, None], np.argsort(-held["best"], axis=1, kind="stable")]
    own = index.plan.parameters.get("nprobe")
    for nprobe in dict.fromkeys([*arguments.nprobe, own] if own else [None]):
        probed = index.with_parameters({"nprobe": nprobe}) if nprobe else index
        started, before = time.perf_counter(), time.process_time()
        rows = probed.search(queries, NEIGHBOURS)[1]
        cpu, wall = time.process_time() - before, time.perf_counter() - started
        recalls = []
        for part in (slice(0, QUERIES), slice(QUERIES, None)):
            first = (rows[part, 0] == exact[part, 0]).mean()
            held = np.mean([np.isin(mine, its).mean() for mine, its in zip(rows[part], exact[part], strict=True)])
            recalls.append(f"{first:.3f} / {held:.3f}")
        lines.append(
            f"nprobe {nprobe}: {1e3 * cpu / len(queries):.1f} CPU ms, {1e3 * wall / len(queries):.1f} ms a query; "
            f"recall@1 / @{NEIGHBOURS} {recalls[0]} (genomes indexed), {recalls[1]} (new genomes)"
        )
    return {"lines": lines}


STEPS = {"draw": draw, "train": train, "fill": fill, "build": build, "search": search}

if __name__ == "__main__":
    main()

"""A reference of as many genomes as GTDB has: its sketch, calibration and the calls of a sample; time and memory.

Usage: python benchmarks/reference_scale.py --folder FOLDER [--genomes 110000] [--windows 20] [--hashes 10000]

All is drawn. Lineages are a tree: nineteen of twenty species have one genome, four species a genus, six genera a
family, sixty families a phylum. Vectors are unit rows of 96 columns, the sum of a phylum, a family, a genus, a species,
a genome and a window or piece. A genome's sketch is `--hashes` evenly distributed hashes, and for a hundred genomes the
hashes of 500 kbp.
Steps, each a process of its own: merge the sketches of parts of 1,000 genomes; look up `--contigs` sequences of 5 kbp,
half of them parts of those hundred genomes, with none of the sketch in the page cache; index (`Flat`) and calibrate;
call as many drawn contigs, and a bin of every 50. The calibration has no identities: these need sequences.

Peak memory is that of the process (with pages of memory-mapped files) and, after the slash, its anonymous memory alone.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from steps import THREADS, measure, run_step, show

DIM, PART, SCALE = 96, 1_000, 50
SPREADS = {"phylum": 1.0, "family": 0.5, "genus": 0.35, "species": 0.2, "genome": 0.05, "window": 0.4}
SEQUENCED, GENOME_BP, CONTIG_BP, PER_BIN = 100, 500_000, 5_000, 50
STRATA, PIECE_BP, PIECES = [2_500, 5_000, 10_000, 20_000, 50_000], [3_500, 7_000, 14_000, 30_000], 8


def main() -> None:
    """Parse the arguments; run every step in a process of its own and print what it took, or be one of these."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for all files; it must not exist")
    parser.add_argument("--genomes", type=int, default=110_000)
    parser.add_argument("--windows", type=int, default=20, help="of a genome")
    parser.add_argument("--hashes", type=int, default=10_000, help="of a genome's sketch")
    parser.add_argument("--contigs", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.genomes < SEQUENCED:
        parser.error(f"--genomes {arguments.genomes}: at least {SEQUENCED}")
    os.environ.update(dict.fromkeys(THREADS, str(arguments.threads)))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    if arguments.step:
        print(json.dumps(measure(STEPS[arguments.step], arguments)))
        return
    arguments.folder.mkdir(parents=True)
    print(f"command: {' '.join(sys.argv)}")
    print(f"machine: {os.cpu_count()} cores, {arguments.threads} threads, {platform.platform()}", flush=True)
    n_parts = -(-arguments.genomes // PART)
    show("draw sketches (not novabin)", [run_step("sketch", arguments, number) for number in range(n_parts)])
    for name in ("merge", "match"):
        show(name, [run_step(name, arguments, 0)])
    show("draw vectors (not novabin)", [run_step("draw", arguments, 0)])
    for name in ("calibrate", "call"):
        show(name, [run_step(name, arguments, 0)])


def genome_names(arguments) -> list[str]:
    """As long as those of NCBI."""
    return [f"GCF_{number:09d}.1" for number in range(arguments.genomes)]


def draw_tree(arguments):
    """Number of the taxon of every genome, rank -> int64 (G,)."""
    import numpy as np

    species = (0.95 * np.arange(arguments.genomes)).astype(np.int64)
    return {"phylum": species // 1440, "family": species // 24, "genus": species // 4, "species": species}


def draw_vectors(arguments, seed: int, n: int, genomes=None):
    """n unit rows, float32, of each genome, or of these (positions)."""
    import numpy as np

    taxa = draw_tree(arguments) | {"genome": np.arange(arguments.genomes)}
    generator, own = np.random.default_rng([2, seed]), np.random.default_rng(1)
    centres = np.zeros((arguments.genomes, DIM), dtype=np.float32)
    for rank, taxon in taxa.items():
        centres += (SPREADS[rank] * own.standard_normal((taxon.max() + 1, DIM), dtype=np.float32))[taxon]
    rows = np.repeat(centres if genomes is None else centres[genomes], n, axis=0)
    rows += SPREADS["window"] * generator.standard_normal(rows.shape, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def draw_sequences(number: int):
    """Sequence, bytes, of one of the hundred genomes that have one."""
    import numpy as np

    return np.random.default_rng([5, number]).choice(np.frombuffer(b"ACGT", np.uint8), GENOME_BP).tobytes()


def sketch(arguments) -> None:
    """Write the sketch of a part."""
    import numpy as np

    from workflow_lib.novelty.sketch import Sketch, hash_sequence, write_sketch

    names = genome_names(arguments)[arguments.number * PART :][:PART]
    generator = np.random.default_rng([6, arguments.number])
    drawn = len(names) * arguments.hashes
    hashes = generator.integers((1 << 64) // SCALE, size=drawn, dtype=np.uint64)
    codes = generator.integers(len(names), size=drawn, dtype=np.int32)
    if not arguments.number:
        own = [hash_sequence(draw_sequences(number), SCALE) for number in range(SEQUENCED)]
        codes = np.concatenate([codes, np.repeat(np.arange(SEQUENCED, dtype=np.int32), list(map(len, own)))])
        hashes = np.concatenate([hashes, *own])
    order = np.argsort(hashes, kind="stable")
    part = Sketch(hashes[order], codes[order], names, SCALE, f"{arguments.number:012d}")
    write_sketch(arguments.folder / f"parts/{arguments.number}", part)


def merge(arguments) -> dict:
    """As scripts/merge_sketches.py."""
    from workflow_lib.novelty.sketch import merge_sketches, read_sketch

    parts = [read_sketch(arguments.folder / f"parts/{number}") for number in range(-(-arguments.genomes // PART))]
    merge_sketches(arguments.folder / "sketch", parts)
    return {"note": f"({sum(len(part.hashes) for part in parts):,} hashes)"}


def match(arguments) -> dict:
    """Look up contigs as a sample's are."""
    import time

    import numpy as np

    from workflow_lib.novelty.sketch import read_sketch

    found = read_sketch(arguments.folder / "sketch")
    for name in ("hashes.npy", "genomes.npy"):
        with open(arguments.folder / "sketch" / name, "rb") as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    generator = np.random.default_rng(7)
    known = [draw_sequences(number) for number in range(SEQUENCED)]
    new = generator.choice(np.frombuffer(b"ACGT", np.uint8), arguments.contigs // 2 * CONTIG_BP).tobytes()
    contigs = [new[start : start + CONTIG_BP] for start in range(0, len(new), CONTIG_BP)]
    starts = generator.integers(GENOME_BP - CONTIG_BP, size=arguments.contigs // 2).tolist()
    contigs += [known[start % SEQUENCED][start : start + CONTIG_BP] for start in starts]
    started, before = time.perf_counter(), time.process_time()
    matches = found.match(contigs, found.genomes)
    cpu, wall = time.process_time() - before, time.perf_counter() - started
    matched = len(np.unique(matches.owner[matches.segment]))
    return {"note": f"(of it {cpu:.1f} CPU s, {wall:.1f} s the look-up: {matched} of {len(contigs)} contigs matched)"}


def draw(arguments) -> None:
    """Write the stores of windows and pieces."""
    from workflow_lib.index.windows import format_window
    from workflow_lib.store import EmbeddingStore, write_store

    known = {"embedder": "drawn", "fingerprint": "0" * 64, "dim": DIM, "window": 10_000, "strata": STRATA, "seed": 1}
    known |= {"genomes_left_out": {}}
    names, n = genome_names(arguments), arguments.windows
    windows = [format_window(name, "c", i * 10_000, (i + 1) * 10_000) for name in names for i in range(n)]
    write_store(arguments.folder / "windows", EmbeddingStore(draw_vectors(arguments, 0, n), windows, known))
    lengths = [length for length in PIECE_BP for _ in range(PIECES)]
    pieces = [format_window(name, "c", i, i + length) for name in names for i, length in enumerate(lengths)]
    write_store(arguments.folder / "pieces", EmbeddingStore(draw_vectors(arguments, 1, len(lengths)), pieces, known))


def calibrate(arguments) -> None:
    """As scripts/build_index.py, for one part, and scripts/calibrate_index.py."""
    from workflow_lib.novelty.build import build_calibrated_index
    from workflow_lib.store import read_store

    tree, names = draw_tree(arguments), genome_names(arguments)
    taxonomy = {name: {rank: f"{rank}{codes[i]}" for rank, codes in tree.items()} for i, name in enumerate(names)}
    windows, pieces = (read_store(arguments.folder / kind, mmap=True) for kind in ("windows", "pieces"))
    build_calibrated_index(
        windows, pieces, taxonomy, arguments.folder / "index", factory="Flat", neighbours=1, n_pieces=PIECES,
        contamination=0.1,
    )  # fmt: skip


def call(arguments) -> dict:
    """As scripts/call_novelty.py: contigs of random genomes, and bins of 50 of one genome."""
    from collections import Counter

    import numpy as np

    from workflow_lib.index import load_index
    from workflow_lib.novelty.calibration_set import read_calibration
    from workflow_lib.novelty.queries import call_bins, call_contigs
    from workflow_lib.novelty.tested import Settings

    index = load_index(arguments.folder / "index")
    calibration = read_calibration(arguments.folder / "index", index)
    drawn = np.random.default_rng(8).integers(arguments.genomes, size=arguments.contigs // PER_BIN)
    vectors = draw_vectors(arguments, 2, PER_BIN, drawn)
    names, lengths = [f"c{i}" for i in range(len(vectors))], np.full(len(vectors), CONTIG_BP)
    bins = {f"bin.{i}": np.arange(PER_BIN) + i * PER_BIN for i in range(len(drawn))}
    queries = vectors, names, lengths, Settings(alpha=0.1, min_length=2500, min_calibration=20)
    contigs = call_contigs(index, calibration, *queries, bins=bins)
    found = call_bins(index, calibration, bins, *queries)
    counts = [", ".join(f"{n} {call}" for call, n in Counter(one.calls.call).items()) for one in (contigs, found)]
    return {"note": f"(contigs: {counts[0]}; bins: {counts[1]})"}


STEPS = {"sketch": sketch, "merge": merge, "match": match, "draw": draw, "calibrate": calibrate, "call": call}

if __name__ == "__main__":
    main()

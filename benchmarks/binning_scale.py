"""Time and memory of binning with the number of contigs, and all pairs against the pairs of near lists.

Usage: python benchmarks/binning_scale.py GENOMES.tsv --contigs 100000 [--libraries 5] [--all-pairs] [--near-bins N]

GENOMES.tsv has a column genome_id; the FASTA files lie beside it in a folder of its name, as <genome_id>.fa.gz. Their
sequences are cut into contigs (log-normal, median 4 kbp) and embedded. Of these vectors a community of any size is
made: a genome is a real one's mean moved by 0.4 of the difference of two others, a contig its genome's mean and the
deviation of a real contig from its own. Genomes have log-normal sizes (sigma 1), depths are log-normal over genomes
(sigma 1.3) and within them (0.26). Printed are wall and CPU time of `assign_bins` (both rounds, adaptation and
mixture), the peak memory of the process, what was found of all neighbours, and how many genomes of 20 contigs or more
were recovered.
"""

import argparse
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path

MEDIAN, SIGMA, SHORTEST = 4000, 0.9, 1500  # bp; of the logarithm; bp
HALVED, PIECES = 3000, 2000  # bp from which contigs are halved, how many are: as embed.pieces has it
NOISE = 0.26  # of log depth within a genome


def main() -> None:
    """Parse the arguments, set the threads before NumPy is loaded, bin, and print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path)
    parser.add_argument("--contigs", type=int, default=30_000)
    parser.add_argument("--libraries", type=int, default=5)
    parser.add_argument("--per-genome", type=int, default=200, help="contigs of a genome, on average")
    parser.add_argument("--all-pairs", action="store_true", help="compare all contigs with all, at any size")
    parser.add_argument("--near-bins", type=int, help="bins that a contig is compared with in a large sample")
    parser.add_argument("--recall", type=float, help="of neighbours (bin.neighbours_recall)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    vectors, lengths, pieces, depth, genome = draw_community(embed_genomes(arguments.genomes), arguments)
    print(json.dumps(measure(vectors, lengths, pieces, depth, genome, arguments)))


def measure(vectors, lengths, pieces, depth, genome, arguments) -> dict:
    """Bin once; time, memory and quality."""
    from workflow_lib.bin import near_bins
    from workflow_lib.bin.assign import BinningOptions, assign_bins

    near_bins.NEAR = arguments.near_bins or near_bins.NEAR
    changes = {"neighbours_from": 0} if arguments.all_pairs else {}
    if arguments.recall:
        changes = {"neighbours_from": 1, "neighbours_recall": arguments.recall}
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    binning = assign_bins(vectors, lengths, pieces, BinningOptions(**changes), depth=depth)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = binning.neighbours
    return {
        "contigs": arguments.contigs,
        "libraries": arguments.libraries,
        "threads": arguments.threads,
        "neighbours": "all pairs" if found is None else {"recall": found.recall, "compared": found.compared},
        "wall_s": round(wall),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "gib_before": round(before.ru_maxrss / 2**20, 2),
        "gib_peak": round(after.ru_maxrss / 2**20, 2),
        "bins": binning.n_bins,
        **score(binning.labels, genome),
    }


def score(labels, genome) -> dict:
    """Genomes of 20 contigs or more with a bin of over 90% (50%) of their contigs and under 5% (10%) of others'."""
    import numpy as np
    from scipy.sparse import coo_array

    binned = labels >= 0
    shape = (int(labels.max(initial=0)) + 1, int(genome.max()) + 1)
    table = coo_array((np.ones(binned.sum()), (labels[binned], genome[binned])), shape=shape).tocsr()
    main = np.asarray(table.argmax(axis=1)).ravel()
    most, total = table.max(axis=1).toarray().ravel(), np.maximum(np.asarray(table.sum(axis=1)).ravel(), 1)
    sizes = np.bincount(genome, minlength=shape[1])
    large = sizes[main] >= 20
    recovered = {
        f"recovered_{complete}_{foreign}": int(
            np.count_nonzero((most > complete / 100 * sizes[main]) & (1 - most / total < foreign / 100) & large)
        )
        for complete, foreign in ((90, 5), (50, 10))
    }
    return {"genomes": int((sizes >= 20).sum()), **recovered, "binned": round(float(binned.mean()), 4)}


def embed_genomes(table: Path, *, seed: int = 1):
    """Contigs of real genomes: vectors, those of their halves, lengths, and the number of the genome."""
    import numpy as np
    import pandas as pd

    from workflow_lib.embed import load_embedder
    from workflow_lib.fasta import read_fasta

    embedder, generator = load_embedder("compact", threads=1), np.random.default_rng(seed)
    vectors, halves, lengths, genomes = [], [], [], []
    for number, name in enumerate(pd.read_csv(table, sep="\t", dtype=str)["genome_id"]):
        contigs = []
        for record in read_fasta(table.with_suffix("") / f"{name}.fa.gz"):
            text, start = bytes(record.sequence).decode(), 0
            while start < len(text):
                size = max(SHORTEST, int(np.exp(generator.normal(np.log(MEDIAN), SIGMA))))
                contigs.append(text[start : start + size])
                start += size
        contigs = [contig for contig in contigs if len(contig) >= SHORTEST]
        first, second = [c[: len(c) // 2] for c in contigs], [c[len(c) // 2 :] for c in contigs]
        vectors.append(embedder.embed(contigs))
        halves.append(np.stack([embedder.embed(first), embedder.embed(second)], axis=1))
        lengths += map(len, contigs)
        genomes += [number] * len(contigs)
    return (
        np.concatenate(vectors),
        np.concatenate(halves),
        np.array(lengths),
        np.unique(genomes, return_inverse=True)[1],
    )


def draw_community(real, arguments):
    """Vectors, lengths, pieces, depth and genome of each contig of a made-up community."""
    import numpy as np

    from workflow_lib.bin.fuse import Depth
    from workflow_lib.bin.metric import Pieces
    from workflow_lib.embed.base import unit_rows

    vectors, halves, lengths, genomes = real
    generator, n = np.random.default_rng(arguments.seed), arguments.contigs
    means = np.stack([vectors[genomes == i].mean(axis=0) for i in range(genomes.max() + 1)])
    n_genomes = max(2, n // arguments.per_genome)
    like, one, other = generator.integers(len(means), size=(3, n_genomes))
    centres = means[like] + 0.4 * (means[one] - means[other])
    sizes = generator.lognormal(0, 1, n_genomes)
    genome = generator.choice(n_genomes, n, p=sizes / sizes.sum())
    source = generator.integers(len(vectors), size=n)
    drawn = np.empty((n, vectors.shape[1]), dtype=np.float32)
    for start in range(0, n, 65_536):
        part = slice(start, start + 65_536)
        drawn[part] = unit_rows(centres[genome[part]] + vectors[source[part]] - means[genomes[source[part]]])
    long = np.flatnonzero(lengths[source] >= HALVED)
    rows = np.sort(generator.choice(long, min(PIECES, len(long)), replace=False))
    moved = (centres[genome[rows]] - means[genomes[source[rows]]])[:, None]
    pieces = Pieces(rows, lengths[source[rows]] // 2, unit_rows(halves[source[rows]] + moved))
    level = generator.normal(1.5, 1.3, (n_genomes, arguments.libraries))
    mean = np.exp(level[genome] + generator.normal(0, NOISE, (n, arguments.libraries)))
    depth = Depth([f"library_{i}" for i in range(arguments.libraries)], mean, 1.5 * mean)
    return drawn, lengths[source], pieces, depth, genome


if __name__ == "__main__":
    main()

"""Measure the novelty calls on held-out genomes: python benchmarks/novelty.py --reference T.tsv --queries Q.tsv

Both tables have the columns genome_id, genus, phylum, domain and ani95_cluster (which stands for the species), and
--queries also held_out_at (strain, species, genus, phylum: the highest rank that is not in the index; strain: none is).
The FASTA files lie beside each table in a folder of its name. --full names
a table of whole genomes that stand in for those of the reference with the same name. --split makes the queries
from the reference itself: a share of its clades is held out at every rank, for choosing what may not be chosen on
--queries.

Printed: realised false discovery rate and power a rank, length and level, of bins also with a tenth of foreign contigs,
and of few long ones; AUROC and true positive rate at a false discovery rate of 10% of new strains against new species,
genera and phyla, by score.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workflow_lib.embed import embed_records, load_embedder
from workflow_lib.embed.cuts import CUT_LENGTH, Cuts, place_cuts
from workflow_lib.fasta import read_fasta
from workflow_lib.index import load_index
from workflow_lib.index.reference import embed_reference, length_strata
from workflow_lib.novelty import Settings, call_bins, call_contigs, read_calibration
from workflow_lib.novelty.build import build_calibrated_index
from workflow_lib.novelty.design import TESTS
from workflow_lib.novelty.scores import combine_scores
from workflow_lib.novelty.sketch import sketch_genomes
from workflow_lib.tables import Genome

RANKS = ("species", "genus", "phylum")
NOVEL_AT = {"strain": (), "species": RANKS[:1], "genus": RANKS[:2], "phylum": RANKS}
LENGTHS, LONG_LENGTH = (2000, 3000, 5000, 10_000, 20_000), 100_000
LEVELS = (0.05, 0.1, 0.2)
REPEATS = 20
MMSEQS_REPEATS = 3
CONTAMINATED, FOREIGN = "contaminated", 3  # bins of which so many contigs are of the next genome's bin
LONG = "long bin"
ALL_LENGTHS = "2000-20000"  # contigs, log-uniform; the others of a length are each called alone
BINS = {"bin": 30, CONTAMINATED: 30, LONG: 6}  # kind -> contigs of a bin
SETTINGS = Settings(alpha=0.1, min_length=2000, min_calibration=20)


def read_table(path: Path, *, full: Path | None = None) -> list[dict]:
    """Rows of a table, each with its FASTA file as `fasta` and its lineage as `taxonomy`."""
    whole = {row["genome_id"] for row in read_table(full)} if full else set()
    rows = list(csv.DictReader(path.open(), delimiter="\t"))
    for row in rows:
        folder = (full if row["genome_id"] in whole else path).with_suffix("")
        row["fasta"] = str(folder / f"{row['genome_id']}.fa.gz")
        names = {"species": row["ani95_cluster"], **{rank: row[rank] for rank in ("genus", "phylum", "domain")}}
        row["taxonomy"] = {rank: name for rank, name in names.items() if name}
    return rows


def split_reference(
    rows: list[dict], full: Path | None, rng: np.random.Generator, *, keep_nameless: bool
) -> tuple[list[dict], list[dict]]:
    """Hold out clades of every rank: (what stays, queries with held_out_at).

    A genome without a lineage might be of any clade: where it stays, what is held out is novel by name only, above
    species. Whatever is of a held-out species goes, whatever its names.
    """
    nameless = [row for row in rows if keep_nameless and not (row["phylum"] and row["genus"])]
    rows = [row for row in rows if row["phylum"] and row["genus"]]
    whole = {row["genome_id"] for row in read_table(full)} if full else set()
    queries = []

    def hold_out(kind: str, column: str, above: str | None, n: int) -> None:
        nonlocal rows, nameless
        taken = 0
        for name in rng.permutation(sorted({row[column] for row in rows if row[column]})):
            own = [row for row in rows if row[column] == name]
            species = {row["ani95_cluster"] for row in own}
            stay = [row for row in rows if row[column] != name and row["ani95_cluster"] not in species]
            left = above is None or (own[0][above] and any(row[above] == own[0][above] for row in stay))
            if left and taken < n:
                rows, taken = stay, taken + 1
                nameless = [row for row in nameless if row["ani95_cluster"] not in species]
                queries.append(dict(own[0], held_out_at=kind))

    hold_out("phylum", "phylum", None, 2)
    hold_out("genus", "genus", "phylum", 25)
    hold_out("species", "ani95_cluster", "genus", 25)
    kept, clusters = [], [row["ani95_cluster"] for row in rows]
    known = {row["ani95_cluster"] for row in rows if row["genome_id"] in whole}
    for row in rows:
        is_query = row["ani95_cluster"] in known and row["genome_id"] not in whole
        is_query &= clusters.count(row["ani95_cluster"]) > 1
        (queries if is_query else kept).append(dict(row, held_out_at="strain"))
    return kept + nameless, queries


def thin_reference(rows: list[dict], full: Path | None, n_twice: int) -> list[dict]:
    """One genome of each species, a whole one where there is any; of the first `n_twice` species that have two, two."""
    whole = {row["genome_id"] for row in read_table(full)} if full else set()
    species: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["genome_id"] not in whole):
        species.setdefault(row["ani95_cluster"], []).append(row)
    twice = [name for name, own in species.items() if len(own) > 1][:n_twice]
    return [row for name, own in species.items() for row in own[: 2 if name in twice else 1]]


def build(rows: list[dict], embedder, folder: Path, *, factory: str):
    """Index the reference with its calibration and sketch, through the files."""
    genomes = {row["genome_id"]: Genome(row["genome_id"], row["fasta"], row["taxonomy"]) for row in rows}
    windows, pieces = embed_reference(
        embedder,
        genomes.values(),
        window=10_000,
        strata=length_strata(SETTINGS.min_length),
        pieces=8,
        seed=1,
        shard_folder=folder / "shards",
        shard_mbp=8,
    )
    sketch = sketch_genomes(genomes.values(), scale=50)
    taxonomy = {name: genome.taxonomy for name, genome in genomes.items()}
    build_calibrated_index(
        *(windows, pieces, taxonomy, folder),
        factory=factory,
        neighbours=1,
        n_pieces=8,
        contamination=0.1,
        sketch=sketch,
        genomes=genomes,
    )
    index = load_index(folder)
    return index, read_calibration(folder, index), sketch


def cut(sequences: list[bytes], length: int, rng: np.random.Generator) -> bytes:
    """A piece of a genome, at a random place."""
    lengths = np.array([len(sequence) for sequence in sequences])
    length = min(length, int(lengths.max()))
    places = np.maximum(lengths - length + 1, 0)
    sequence = sequences[rng.choice(len(sequences), p=places / places.sum())]
    start = rng.integers(len(sequence) - length + 1)
    return sequence[start : start + length]


def cut_queries(rows: list[dict], rng: np.random.Generator) -> dict:
    """Kind -> sequences: `REPEATS` contigs a genome of each length, and as many bins of "bin" and `LONG`."""
    found = {}
    for lengths, kind, low, high in ((LENGTHS, "bin", 2000, 20_000), ((LONG_LENGTH,), LONG, 20_000, 400_000)):
        for row in rows:
            sequences = [record.sequence for record in read_fasta(row["fasta"])]
            for length in lengths:
                found.setdefault(length, []).extend(cut(sequences, length, rng) for _ in range(REPEATS))
            drawn = np.exp(rng.uniform(np.log(low), np.log(high), REPEATS * BINS[kind])).astype(int)  # log-uniform
            found.setdefault(kind, []).extend(cut(sequences, length, rng) for length in drawn)
    return found


def call(kind, sequences: list[bytes], n: int, embedder, built, folder: Path, settings: Settings):
    """Results of each repeat: every genome gives one contig or one bin to it."""
    index, calibration, sketch = built
    shards, n_contigs = {"shard_folder": folder / "shards", "shard_mbp": 8}, BINS.get(kind)
    named = [(f"{'bin' if n_contigs else kind}.{i}", sequence) for i, sequence in enumerate(sequences)]
    names, vectors = embed_records(embedder, named, **shards)
    lengths = np.array([len(sequence) for sequence in sequences])
    per_genome = np.arange(len(sequences)).reshape(n, REPEATS, -1)
    if kind == CONTAMINATED:
        per_genome = np.concatenate(
            [per_genome[:, :, FOREIGN:], np.roll(per_genome, 1, axis=0)[:, :, :FOREIGN]], axis=2
        )
    for repeat in range(REPEATS):
        rows = per_genome[:, repeat].ravel()
        own, contigs = ([names[i] for i in rows], lengths[rows], settings), [sequences[i] for i in rows]
        places = [(row, start) for row, contig in enumerate(contigs) for start in place_cuts(len(contig))]
        pieces = [contigs[row][start : start + CUT_LENGTH] for row, start in places]
        _, cut_vectors = embed_records(embedder, ((str(i), piece) for i, piece in enumerate(pieces)), **shards)
        cuts = Cuts(*np.array(places, dtype=np.int64).reshape(-1, 2).T, cut_vectors)
        parts = {"matches": sketch.match([*contigs, *pieces], index.table.genomes), "cuts": cuts}
        if n_contigs:
            bins = {str(g): np.arange(g * n_contigs, (g + 1) * n_contigs) for g in range(n)}
            yield call_bins(index, calibration, bins, vectors[rows], *own, **parts)
        else:
            bins = {str(row): np.array([row]) for row in range(len(rows))}  # each contig is of another genome
            yield call_contigs(index, calibration, vectors[rows], *own, bins=bins, **parts)


def report(kind, kinds: np.ndarray, results: list) -> None:
    """Print rates and power."""
    q = np.array([result.calls.q for result in results])
    p = np.array([result.calls.p for result in results])
    for rank, null in zip(RANKS, ("strain", "species", "genus"), strict=True):
        novel = np.array([rank in NOVEL_AT[name] for name in kinds])
        column = TESTS.index(rank)
        for level in LEVELS:
            rejected = q[:, :, column] <= level
            rates = (rejected & ~novel).sum(axis=1) / np.maximum(rejected.sum(axis=1), 1)
            error = rates.std(ddof=1) / np.sqrt(len(rates))
            power = " ".join(f"{rejected[:, kinds == name].mean():.2f}" for name in NOVEL_AT if rank in NOVEL_AT[name])
            share = (p[:, kinds == null, column] <= level).mean()
            print(f"{kind}\t{rank}\t{level}\t{rates.mean():.3f}\t{error:.3f}\t{share:.3f}\t{power}")
    known = q[:, :, TESTS.index("known")] <= 0.1
    wrong = (known & (kinds != "strain")).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    print(f"{kind}\tknown\t0.1\t{wrong.mean():.3f}\t\t\t{known[:, kinds == 'strain'].mean():.2f}")
    if kind in BINS:
        reasons = [reason for result in results for reason in result.reasons]
        print(f"# bins abstained from: { {reason: reasons.count(reason) for reason in set(reasons)} }")


def separate(kind, name: str, kinds: np.ndarray, scores: np.ndarray) -> None:
    """Print AUROC and true positive rate at a false discovery rate of 10% of scores (repeats, genomes)."""
    cells = []
    for novel in RANKS:
        used = np.isin(kinds, ["strain", novel])
        truth = np.tile(kinds[used] == novel, len(scores))
        values = scores[:, used].ravel()
        cells.append(f"{roc_auc_score(truth, values):.3f}\t{tpr(truth, values):.2f}")
    print(f"{kind}\t{name}\t" + "\t".join(cells), flush=True)


def best_hits(sequences: list[bytes], n: int, reference: list[dict], folder: Path, *, threads: int) -> np.ndarray:
    """Bit score a bp of MMseqs2's best hit, (repeats, genomes); mean over a bin's contigs; first repeats only."""
    target = folder / "reference.fa"
    if not target.exists():
        with target.open("wb") as handle:
            for row in reference:
                for i, record in enumerate(read_fasta(row["fasta"])):
                    handle.write(b">%s.%d\n%s\n" % (row["genome_id"].encode(), i, record.sequence))
    per_genome = np.arange(len(sequences)).reshape(n, REPEATS, -1)[:, :MMSEQS_REPEATS]
    query, table = folder / "queries.fa", folder / "hits.tsv"
    query.write_bytes(b"".join(b">%d\n%s\n" % (i, sequences[i]) for i in per_genome.ravel()))
    command = ["mmseqs", "easy-search", query, target, table, folder / "tmp", "--search-type", "3"]
    # A table of 15-mers, the default, takes 8 GB.
    command += ["-k", 13, "--format-output", "query,bits", "--threads", threads, "-v", "1"]
    subprocess.run(list(map(str, command)), check=True)
    best = np.zeros(len(sequences))
    for line in table.open():
        row, bits = line.split()
        best[int(row)] = max(best[int(row)], float(bits) / len(sequences[int(row)]))
    return best[per_genome].mean(axis=2).T


def tpr(truth: np.ndarray, scores: np.ndarray, level: float = 0.1) -> float:
    """Largest true positive rate at a threshold of false discovery rate `level` or less; classes weigh the same."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(truth[order]) / truth.sum()
    wrong = np.cumsum(~truth[order]) / (~truth).sum()
    last = np.append(np.diff(scores[order]) != 0, True)  # a threshold parts no equal scores
    allowed = last & (wrong <= level * (right + wrong))
    return float(right[allowed].max(initial=0))


def main() -> None:
    """Build, call, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--full", type=Path, help="table of whole genomes")
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--split", type=int, help="seed: hold out clades of the reference instead of --queries")
    parser.add_argument(
        "--keep-nameless", action="store_true", help="with --split: index genomes without a lineage too"
    )
    parser.add_argument("--two-genomes", type=int, metavar="N", help="keep one genome a species, two of N species")
    parser.add_argument("--embedder", default="compact", help="name or folder")
    parser.add_argument("--factory", default="Flat", help="kind of index")
    parser.add_argument("--fdr", default="adaptive", help="or benjamini_hochberg")
    parser.add_argument(
        "--mmseqs", action="store_true", help="best hits of MMseqs2 beside the scores (must be on PATH)"
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.split or 0)
    reference = read_table(arguments.reference, full=arguments.full)
    if arguments.split is None:
        queries = read_table(arguments.queries)
    else:
        reference, queries = split_reference(reference, arguments.full, rng, keep_nameless=arguments.keep_nameless)
    if arguments.two_genomes is not None:
        reference = thin_reference(reference, arguments.full, arguments.two_genomes)
    kinds, settings = np.array([row["held_out_at"] for row in queries]), replace(SETTINGS, fdr=arguments.fdr)
    print(
        "#", arguments.embedder, len(reference), "reference;", {name: int((kinds == name).sum()) for name in NOVEL_AT}
    )
    embedder = load_embedder(arguments.embedder, threads=arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = build(reference, embedder, folder, factory=arguments.factory)
        print("kind\trank\tlevel\trealised\terror\tp<=level\tpower")
        found = {}
        cuts = cut_queries(queries, rng)
        cuts[CONTAMINATED], cuts[ALL_LENGTHS] = cuts["bin"], cuts["bin"][:: BINS["bin"]]
        for kind, sequences in cuts.items():
            found[kind] = list(call(kind, sequences, len(kinds), embedder, built, folder, settings))
            report(kind, kinds, found[kind])
        print("kind\tscore\t" + "\t".join(f"AUROC {rank}\tTPR {rank}" for rank in RANKS))
        for kind, results in found.items():
            near = [result.neighbours for result in results]
            separate(kind, "score", kinds, np.array([one.score for one in near]))
            separate(kind, "identity alone", kinds, np.array([1 - one.identity for one in near]))
            separate(kind, "no identity", kinds, np.array([combine_scores(one.s1, one.s2, 0) for one in near]))
            separate(kind, "nearest distance", kinds, np.array([one.s1 for one in near]))
            if arguments.mmseqs and kind in (3000, 10_000, "bin"):
                scores = best_hits(cuts[kind], len(kinds), reference, folder, threads=arguments.threads)
                separate(kind, "MMseqs2", kinds, -scores)


if __name__ == "__main__":
    main()

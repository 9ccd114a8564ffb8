"""Error rates and power on real genomes: an index of training genomes, queries held out at a known rank."""

import csv

import numpy as np
import pytest

from workflow_lib.embed import embed_records, load_embedder
from workflow_lib.fasta import read_fasta
from workflow_lib.index import load_index
from workflow_lib.index.reference import embed_reference, length_strata
from workflow_lib.novelty import Settings, call_bins, call_contigs, read_calibration
from workflow_lib.novelty.build import build_calibrated_index
from workflow_lib.novelty.design import TESTS
from workflow_lib.novelty.sketch import read_sketch, sketch_genomes, write_sketch
from workflow_lib.tables import Genome

pytestmark = pytest.mark.shared

SETTINGS = Settings(alpha=0.1, min_length=2500, min_calibration=20)
RANKS = ("species", "genus", "phylum")
NOVEL_AT = {"strain": (), "species": RANKS[:1], "genus": RANKS[:2], "phylum": RANKS}
LENGTHS = (3000, 10_000)
REPEATS = 20  # contigs a genome and length; each repeat is a sample of one contig a genome
BIN_CONTIGS = 30


def read_table(path):
    with path.open() as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def taxonomy_of(row):
    """Genomes within about 95% ANI are one species; an empty name or domain is unknown."""
    names = {"species": row["ani95_cluster"], "genus": row["genus"], "phylum": row["phylum"]}
    return {rank: name for rank, name in names.items() if name}


@pytest.fixture(scope="module")
def index_folder(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    whole = {row["genome_id"] for row in read_table(shared / "genomes" / "reference_full.tsv")}
    genomes = {}
    for row in read_table(shared / "genomes" / "train.tsv"):
        name = row["genome_id"]
        place = shared / "genomes" / ("reference_full" if name in whole else "train") / f"{name}.fa.gz"
        genomes[name] = Genome(name, str(place), taxonomy_of(row))
    stores = embed_reference(
        load_embedder("compact", threads=2),
        genomes.values(),
        window=10_000,
        strata=length_strata(2500),
        pieces=8,
        seed=1,
        shard_folder=folder / "shards",
        shard_mbp=8,
    )
    sketch = sketch_genomes(genomes.values(), scale=50)
    write_sketch(folder / "sketch", sketch)
    taxonomy = {name: genome.taxonomy for name, genome in genomes.items()}
    build_calibrated_index(
        *(*stores, taxonomy, folder),
        factory="Flat",
        neighbours=1,
        n_pieces=8,
        contamination=0.1,
        sketch=sketch,
        genomes=genomes,
    )
    return folder


def cut(sequences, length, rng):
    lengths = np.array([len(sequence) for sequence in sequences])
    length = min(length, int(lengths.max()))
    places = np.maximum(lengths - length + 1, 0)
    sequence = sequences[rng.choice(len(sequences), p=places / places.sum())]
    start = rng.integers(len(sequence) - length + 1)
    return sequence[start : start + length]


@pytest.fixture(scope="module")
def queries(shared, tmp_path_factory):
    """held_out_at of each dev genome, and kind -> (vectors (genomes, n, d), lengths (genomes, n), sequences)."""
    rng = np.random.default_rng(3)
    rows = read_table(shared / "genomes" / "dev.tsv")
    records = {kind: [] for kind in (*LENGTHS, "bin")}
    for row in rows:
        path = shared / "genomes" / "dev" / f"{row['genome_id']}.fa.gz"
        sequences = [record.sequence for record in read_fasta(path)]
        for length in LENGTHS:
            records[length] += [cut(sequences, length, rng) for _ in range(REPEATS)]
        mixed = np.exp(rng.uniform(np.log(2500), np.log(40_000), BIN_CONTIGS)).astype(int)
        records["bin"] += [cut(sequences, length, rng) for length in mixed]
    embedder, folder, found = load_embedder("compact", threads=2), tmp_path_factory.mktemp("shards"), {}
    for kind, sequences in records.items():
        named = [(f"{kind}.{i}", sequence) for i, sequence in enumerate(sequences)]
        _, vectors = embed_records(embedder, named, shard_folder=folder, shard_mbp=8)
        lengths = np.array([len(sequence) for sequence in sequences])
        found[kind] = vectors.reshape(len(rows), -1, embedder.dim), lengths.reshape(len(rows), -1), sequences
    return np.array([row["held_out_at"] for row in rows]), found


def report(name, kinds, q):
    """Print false discovery rate and power a rank and level; give back the rates (repeats, ranks, levels)."""
    levels = (0.05, 0.1, 0.2)
    rates = np.empty((len(q), len(RANKS), len(levels)))
    for i, rank in enumerate(RANKS):
        novel = np.array([rank in NOVEL_AT[kind] for kind in kinds])
        for j, level in enumerate(levels):
            rejected = q[:, :, TESTS.index(rank)] <= level
            rates[:, i, j] = (rejected & ~novel).sum(axis=1) / np.maximum(rejected.sum(axis=1), 1)
            power = {kind: f"{rejected[:, kinds == kind].mean():.2f}" for kind in NOVEL_AT if rank in NOVEL_AT[kind]}
            print(
                f"{name}, {rank}, nominal {level}: realised {rates[:, i, j].mean():.3f}, power by held_out_at {power}"
            )
    return rates


@pytest.mark.parametrize("length", LENGTHS)
def test_contigs(index_folder, queries, length):
    index = load_index(index_folder)
    calibration = read_calibration(index_folder, index)
    kinds, found = queries
    vectors, lengths, sequences = found[length]
    names, sketch = [str(i) for i in range(len(kinds))], read_sketch(index_folder / "sketch")
    calls = []
    for i in range(REPEATS):
        matches = sketch.match(sequences[i::REPEATS], index.table.genomes)
        own = np.ascontiguousarray(vectors[:, i]), names, lengths[:, i], SETTINGS
        calls.append(call_contigs(index, calibration, *own, matches=matches).calls)
    rates = report(f"contigs of {length} bp", kinds, np.array([one.q for one in calls]))
    p = np.array([one.p for one in calls])
    for rank, null in (("species", "strain"), ("genus", "species"), ("phylum", "genus")):
        share = (p[:, kinds == null, TESTS.index(rank)] <= 0.1).mean()
        print(f"contigs of {length} bp, {rank}: p <= 0.1 for {share:.3f} of new {null}s")
    # Repeats share genomes and index: the standard error is that over repeats, and understates it.
    errors = rates.std(axis=0, ddof=1) / np.sqrt(REPEATS)
    assert (rates.mean(axis=0) <= np.array([0.05, 0.1, 0.2]) + 2 * errors).all()


def test_bins(index_folder, queries):
    index = load_index(index_folder)
    calibration = read_calibration(index_folder, index)
    kinds, found = queries
    vectors, lengths, sequences = found["bin"]
    bins = {f"bin.{i}": np.arange(i * BIN_CONTIGS, (i + 1) * BIN_CONTIGS) for i in range(len(kinds))}
    names = [str(i) for i in range(lengths.size)]
    flat = np.ascontiguousarray(vectors.reshape(lengths.size, -1))
    matches = read_sketch(index_folder / "sketch").match(sequences, index.table.genomes)
    calls = call_bins(index, calibration, bins, flat, names, lengths.ravel(), SETTINGS, matches=matches).calls
    rates = report("bins of 30 contigs", kinds, calls.q[None])
    assert (rates[0] <= np.array([0.05, 0.1, 0.2])).all()
    # 39 species calibrate the test of species, half of them by parts of genomes, in which a strain finds little.
    far = np.isin(kinds, ["genus", "phylum"])
    assert (calls.q[far, TESTS.index("species")] <= 0.2).mean() > 0.7
    assert (calls.q[kinds == "strain", TESTS.index("known")] <= 0.1).mean() > 0.4

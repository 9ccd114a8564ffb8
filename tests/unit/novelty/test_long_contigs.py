"""Contigs that are longer than what calibrates: their cuts stand for them."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from test_sketch import mutate, random_sequence

from workflow_lib.embed import embed_fasta, load_embedder
from workflow_lib.embed.cuts import CUT_LENGTH, Cuts
from workflow_lib.fasta import write_fasta
from workflow_lib.index import load_index
from workflow_lib.index.reference import embed_reference
from workflow_lib.novelty import Settings, call_bins, call_contigs, call_sample, read_calibration
from workflow_lib.novelty.build import build_calibrated_index, read_pieces
from workflow_lib.novelty.sketch import sketch_genomes, write_sketch
from workflow_lib.novelty.stand_ins import find_stand_ins
from workflow_lib.tables import Genome

SETTINGS = Settings(alpha=0.2, min_length=2500, min_calibration=10)
BOUNDS = (2500, 5000, 10_000, 20_000, 50_000)
LENGTH = 60_000
UNIT = np.eye(4, dtype=np.float32)


def fake_calibration(bounds=BOUNDS, calibrated=None):
    strata = np.ones(len(bounds) - 1, dtype=bool) if calibrated is None else np.array(calibrated)
    return SimpleNamespace(bounds=np.array(bounds), calibrated_strata=lambda _: strata)


def stand_ins_of(lengths, cuts, *, calibration=None, vectors=None, min_length=2500):
    vectors = np.repeat(UNIT[:1], len(lengths), axis=0) if vectors is None else vectors
    names = [f"c{i}" for i in range(len(lengths))]
    calibration = calibration or fake_calibration()
    return find_stand_ins(
        calibration, vectors, names, np.array(lengths), cuts, min_length=min_length, min_calibration=10
    )


def cuts_of(rows, vectors=None):
    rows = np.array(rows)
    return Cuts(
        rows, np.arange(len(rows)) * 100, np.repeat(UNIT[1:2], len(rows), axis=0) if vectors is None else vectors
    )


def test_cuts_share_the_length_of_their_contig():
    found = stand_ins_of([3000, 90_000, 49_999, 400_000], cuts_of([1, 1, 1, 3, 3, 3, 3]))
    assert found.is_cut.tolist() == [False, True, False, True]
    assert found.of(np.array([3, 0, 1])).tolist() == [0, 7, 8, 9, 10, 4, 5, 6]
    assert found.bp[4:].tolist() == [30_000] * 3 + [100_000] * 4
    assert found.stratum[4:].tolist() == [3] * 7
    assert not found.longer[found.of(np.arange(4))].any()
    assert found.names[4:6] == ["c1|0", "c1|100"]
    assert np.array_equal(found.vectors(np.array([4, 0])), UNIT[[1, 0]])


def test_a_cut_without_direction_stands_for_nothing():
    vectors = UNIT[[1, 1]].copy()
    vectors[0] = 0
    found = stand_ins_of([80_000, 80_000], cuts_of([0, 0], vectors))
    assert found.of(np.array([0])).tolist() == [3]
    assert found.bp[3] == 80_000
    vectors[1] = 0
    found = stand_ins_of([80_000, 80_000], cuts_of([0, 0], vectors))
    assert found.of(np.array([0, 1])).tolist() == [0, 1]
    assert found.longer[:2].all()


def test_a_contig_that_is_not_longer_than_its_stratum_stands_for_itself():
    longer_pieces = fake_calibration((*BOUNDS, 100_000))
    assert stand_ins_of([70_000, 120_000], cuts_of([0, 0, 1]), calibration=longer_pieces).is_cut.tolist() == [
        False,
        True,
    ]


def test_cuts_below_the_shortest_query_stand_for_nothing():
    long_queries = fake_calibration((30_000, 50_000))
    found = stand_ins_of([80_000], cuts_of([0, 0]), calibration=long_queries, min_length=30_000)
    assert found.of(np.array([0])).tolist() == [0]
    assert found.longer[0]


def test_cuts_that_are_longer_than_what_calibrates_are_said_to_be():
    fragments = fake_calibration(calibrated=[True, True, True, False])
    found = stand_ins_of([80_000, 30_000], cuts_of([0, 0]), calibration=fragments)
    assert found.longer[found.of(np.array([0]))].all()
    assert found.stratum[2:].tolist() == [2, 2]
    assert found.longer[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A reference of 24 species, whole; a sample of two contigs of `LENGTH`, one of an indexed species, one new."""
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("long")
    genera = [random_sequence(rng, LENGTH) for _ in range(12)]
    species = [mutate(rng, genera[number // 2], 0.05) for number in range(24)]
    genomes = {}
    for number, sequence in enumerate(species):
        for strain in range(2):
            name = f"{number}.{strain}"
            write_fasta(folder / f"{name}.fa.gz", [("c", mutate(rng, sequence, 0.01))])
            taxonomy = {"phylum": f"p{number // 6}", "genus": f"g{number // 2}", "species": f"s{number}"}
            genomes[name] = Genome(name, str(folder / f"{name}.fa.gz"), taxonomy)
    embedder = load_embedder("tnf", threads=1)
    shards = {"shard_folder": folder / "shards", "shard_mbp": 1}
    windows, pieces = embed_reference(
        embedder, genomes.values(), window=10_000, strata=BOUNDS, pieces=4, seed=1, **shards
    )
    sketch = sketch_genomes(genomes.values(), scale=20)
    write_sketch(folder / "sketch", sketch)
    build_calibrated_index(
        *(windows, pieces, {name: genome.taxonomy for name, genome in genomes.items()}, folder / "index"),
        factory="Flat", neighbours=1, n_pieces=4, sketch=sketch, sequences=read_pieces(genomes, pieces.names),
    )  # fmt: skip
    contigs = [("old", mutate(rng, species[0], 0.01)), ("new", random_sequence(rng, LENGTH))]
    write_fasta(folder / "contigs.fa.gz", contigs)
    rows = "".join(f"{name}\t{LENGTH}\tkept\t\n" for name, _ in contigs)
    (folder / "status.tsv").write_text("contig\tlength\tstatus\treason\n" + rows)
    (folder / "bins.tsv").write_text("contig\tbin\nold\tbin.1\nnew\tbin.2\n")
    return SimpleNamespace(folder=folder, embedder=embedder, shards=shards, contigs=contigs, sketch=sketch)


def call(world, store, *, cut_long):
    folder = world.folder
    embed_fasta(
        *(world.embedder, folder / "contigs.fa.gz", store),
        n_pieces=2,
        min_piece=2500,
        cut_long=cut_long,
        **world.shards,
    )
    call_sample(
        *(store, folder / "bins.tsv", folder / "status.tsv", folder / "index"), settings=SETTINGS,
        sketch_folder=folder / "sketch", contigs_fasta=folder / "contigs.fa.gz",
        contigs_path=store / "contigs.tsv", bins_path=store / "bins.tsv",
    )  # fmt: skip
    return [list(csv.DictReader((store / f"{level}.tsv").open(), delimiter="\t")) for level in ("contigs", "bins")]


def test_a_long_contig_can_be_known(world, tmp_path):
    for old, new in call(world, tmp_path / "store", cut_long=True):
        assert old["call"] == "known"
        assert new["call"].startswith("novel")
        assert old["nearest_genome"].split(".")[0] == "0"
        assert 0.97 < float(old["identity"]) < 0.99
        assert {row["stratum"].split("|")[0] for row in (old, new)} == {"20000-49999:2"}
        assert {(row["length"], row["n_windows"], row["flags"]) for row in (old, new)} == {(str(LENGTH), "2", "")}


def test_without_cuts_it_is_never_called_known_and_flagged(world, tmp_path):
    for old, new in call(world, tmp_path / "store", cut_long=False):
        assert old["call"] == "ambiguous"
        assert {(row["flags"], row["p_known"]) for row in (old, new)} == {("longer_than_calibrated", "")}


def test_a_bin_with_a_long_contig_is_as_one_of_its_cuts(world):
    """Cuts given as contigs of their own, of the length that each stands for, give the same scores."""
    index = load_index(world.folder / "index")
    calibration, old = read_calibration(world.folder / "index", index), world.contigs[0][1]
    parts = [old[:CUT_LENGTH], old[30_000 : 30_000 + CUT_LENGTH], old[:12_000]]
    vectors, names = world.embedder.embed(parts), ["c|0", "c|30000", "short"]
    bins, genomes = {"bin": np.arange(3)}, index.table.genomes
    lengths = np.array([30_000, 30_000, 12_000])
    matches = world.sketch.match(parts, genomes)
    plain = call_bins(index, calibration, bins, vectors, names, lengths, SETTINGS, matches=matches)
    cuts = Cuts(np.array([0, 0]), np.array([0, 30_000]), vectors[:2])
    whole = world.embedder.embed([old, parts[2]])
    queries = whole, ["c", "short"], np.array([LENGTH, 12_000])
    matches = world.sketch.match([old, parts[2], *parts[:2]], genomes)
    own = call_bins(index, calibration, {"bin": np.arange(2)}, *queries, SETTINGS, matches=matches, cuts=cuts)
    for column in vars(plain.neighbours):
        np.testing.assert_array_equal(getattr(own.neighbours, column), getattr(plain.neighbours, column))
    np.testing.assert_array_equal(own.calls.p, plain.calls.p)
    assert own.lengths.tolist() == plain.lengths.tolist() == [72_000]
    contigs = call_contigs(index, calibration, *queries, SETTINGS, matches=matches, cuts=cuts)
    assert contigs.n_windows.tolist() == [2, 1]
    assert contigs.strata == ["20000-49999:2", "10000-19999"]

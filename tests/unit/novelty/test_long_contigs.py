"""Contigs that are longer than what calibrates: their cuts stand for them."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_sketch import mutate, random_sequence

from workflow_lib.embed import embed_fasta, load_embedder
from workflow_lib.embed.cuts import CUT_LENGTH, Cuts, place_cuts
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta
from workflow_lib.index import load_index
from workflow_lib.index.reference import embed_reference
from workflow_lib.novelty import Settings, call_bins, call_contigs, call_sample, read_calibration
from workflow_lib.novelty.build import build_calibrated_index
from workflow_lib.novelty.honesty import measure_calibration
from workflow_lib.novelty.queries import _leave_odd
from workflow_lib.novelty.sketch import sketch_genomes, write_sketch
from workflow_lib.novelty.stand_ins import find_stand_ins
from workflow_lib.tables import Genome

SETTINGS = Settings(alpha=0.2, min_length=2500, min_calibration=10)
BOUNDS = (2500, 5000, 10_000, 20_000, 50_000)
LENGTH, REPLICON = 62_000, 250_000
UNIT = np.eye(4, dtype=np.float32)


def fake_calibration(bounds=BOUNDS, calibrated=None):
    strata = np.ones(len(bounds) - 1, dtype=bool) if calibrated is None else np.array(calibrated)
    return SimpleNamespace(bounds=np.array(bounds), calibrated_strata=lambda _: strata)


def stand_ins_of(lengths, cuts, *, calibration=None, vectors=None, min_length=2500, known=None):
    vectors = np.repeat(UNIT[:1], len(lengths), axis=0) if vectors is None else vectors
    names = [f"c{i}" for i in range(len(lengths))]
    calibration = calibration or fake_calibration()
    return find_stand_ins(
        *(calibration, vectors, names, np.array(lengths), cuts),
        min_length=min_length,
        min_calibration=10,
        known=known,
    )


def cuts_of(rows, vectors=None):
    rows = np.array(rows)
    return Cuts(
        rows, np.arange(len(rows)) * 100, np.repeat(UNIT[1:2], len(rows), axis=0) if vectors is None else vectors
    )


def test_cuts_share_the_length_of_their_contig():
    found = stand_ins_of([3000, 90_000, 49_999, 400_000], cuts_of([1, 1, 1, 3, 3, 3, 3]))
    assert found.replaced.tolist() == [False, True, False, True]
    assert found.of(np.array([3, 0, 1])).tolist() == [0, 7, 8, 9, 10, 4, 5, 6]
    assert found.bp[4:].tolist() == [30_000] * 3 + [100_000] * 4
    assert found.contig.tolist() == [0, 1, 2, 3, 1, 1, 1, 3, 3, 3, 3]
    assert found.stratum[4:].tolist() == [3] * 7
    assert not found.longer[found.of(np.arange(4))].any()
    assert found.names[4:6] == ["c1|0", "c1|100"]
    assert np.array_equal(found.vectors(np.array([4, 0])), UNIT[[1, 0]])


def test_strata_are_of_known_bases():
    found = stand_ins_of([10_000, 90_000, 3000], cuts_of([1, 1]), known=np.array([5500, 60_000, 2400, 30_500, 19_000]))
    assert found.stratum.tolist() == [1, 3, -1, 3, 2]
    assert found.long_enough.tolist() == [True, True, False, True, True]
    assert found.bp.tolist() == [10_000, 90_000, 3000, 45_000, 45_000]


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
    found = stand_ins_of([70_000, 120_000], cuts_of([0, 0, 1]), calibration=longer_pieces)
    assert found.replaced.tolist() == [False, True]


def test_cuts_below_the_shortest_query_stand_for_nothing():
    for bounds in ((35_000, 50_000), (2500, 50_000)):
        found = stand_ins_of([80_000], cuts_of([0, 0]), calibration=fake_calibration(bounds), min_length=35_000)
        assert found.of(np.array([0])).tolist() == [0]
        assert found.longer[0]
    assert stand_ins_of([2600, 2700], None, min_length=2650).stratum.tolist() == [-1, 0]


def test_cuts_that_are_longer_than_what_calibrates_are_said_to_be():
    fragments = fake_calibration(calibrated=[True, True, True, False])
    found = stand_ins_of([80_000, 30_000], cuts_of([0, 0]), calibration=fragments)
    assert found.longer[found.of(np.array([0]))].all()
    assert found.stratum[2:].tolist() == [2, 2]
    assert found.longer[1]


def test_an_odd_number_of_cuts_stands_for_each_contig():
    contig = np.array([0, 1, 2, 3, 1, 1, 2, 2, 2, 3, 3, 3, 3])
    positions = np.array([0, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    assert _leave_odd(positions, contig).tolist() == [0, 4, 6, 7, 8, 9, 10, 11]
    assert _leave_odd(positions[:0], contig).tolist() == []


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A reference of 24 species, the first with a large second replicon, and contigs: a short and a long one of it, one
    of the replicon, and one of no species."""
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("long")
    genera = [random_sequence(rng, LENGTH) for _ in range(12)]
    species = [[mutate(rng, genera[number // 2], 0.05)] for number in range(24)]
    species[0].append(rng.choice(list(b"ACGT"), REPLICON, p=[0.2, 0.3, 0.3, 0.2]).astype(np.uint8).tobytes())
    genomes = {}
    for number, sequences in enumerate(species):
        for strain in range(2):
            name = f"{number}.{strain}"
            own = [(f"c{i}", mutate(rng, sequence, 0.01)) for i, sequence in enumerate(sequences)]
            write_fasta(folder / f"{name}.fa.gz", own)
            taxonomy = {"phylum": f"p{number // 6}", "genus": f"g{number // 2}", "species": f"s{number}"}
            genomes[name] = Genome(name, str(folder / f"{name}.fa.gz"), taxonomy)
    embedder = load_embedder("tnf", threads=1)
    shards = {"shard_folder": folder / "shards", "shard_mbp": 1}
    windows, pieces = embed_reference(
        embedder, genomes.values(), window=10_000, strata=BOUNDS, pieces=8, seed=1, **shards
    )
    sketch = sketch_genomes(genomes.values(), scale=20)
    write_sketch(folder / "sketch", sketch)
    build_calibrated_index(
        *(windows, pieces, {name: genome.taxonomy for name, genome in genomes.items()}, folder / "index"),
        factory="Flat", neighbours=1, n_pieces=8, contamination=0.1, sketch=sketch,
        genomes=genomes,
    )  # fmt: skip
    chromosome, replicon = (mutate(rng, sequence, 0.01) for sequence in species[0])
    contigs = [
        ("old", chromosome), ("short", chromosome[:12_000]), ("replicon", replicon),
        ("new", random_sequence(rng, LENGTH)),
    ]  # fmt: skip
    write_fasta(folder / "contigs.fa.gz", contigs)
    rows = "".join(f"{name}\t{len(sequence)}\tkept\t\n" for name, sequence in contigs)
    (folder / "status.tsv").write_text("contig\tlength\tstatus\treason\n" + rows)
    names = [name for name, _ in contigs]
    (folder / "bins.tsv").write_text("contig\tbin\n" + "".join(f"{name}\tbin.{name}\n" for name in names))
    return SimpleNamespace(
        folder=folder, embedder=embedder, shards=shards, contigs=contigs, sketch=sketch, genomes=genomes
    )


def call(world, store, *, cut_long=True, fasta=None):
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
        sketch_folder=folder / "sketch", contigs_fasta=fasta or folder / "contigs.fa.gz",
        contigs_path=store / "contigs.tsv", bins_path=store / "bins.tsv",
    )  # fmt: skip
    tables = [csv.DictReader((store / f"{level}.tsv").open(), delimiter="\t") for level in ("contigs", "bins")]
    return [{row["query"].removeprefix("bin."): row for row in table} for table in tables]


def test_a_long_contig_can_be_known(world, tmp_path):
    contigs, bins = call(world, tmp_path / "store")
    for rows in (contigs, bins):
        assert [rows[name]["call"] for name in ("old", "short")] == ["known", "known"]
        assert rows["new"]["call"].startswith("novel")
        assert rows["old"]["nearest_genome"].split(".")[0] == "0"
        assert 0.97 < float(rows["old"]["identity"]) < 0.99
        assert {rows[name]["flags"] for name in ("old", "short", "new")} == {""}
        # Of an even number of cuts there is no median.
        expected = ("1", "1", "7", "1") if rows is contigs else ("2", "1", "8", "2")
        assert tuple(rows[name]["n_windows"] for name in ("old", "short", "replicon", "new")) == expected
    assert [contigs[name]["stratum"].split("|")[0] for name in ("short", "old")] == ["8409-16817", "20000-39999"]
    assert bins["replicon"]["stratum"].split("|")[0] == "20000-49999:8"
    assert bins["old"]["length"] == str(LENGTH)


def test_n_is_no_part_of_the_length_of_a_stratum(world, tmp_path):
    for name in ("index", "sketch", "bins.tsv", "status.tsv"):
        (tmp_path / name).symlink_to(world.folder / name)
    contigs = [
        (name, sequence[:6000] + b"N" * 6000 if name == "short" else sequence) for name, sequence in world.contigs
    ]
    write_fasta(tmp_path / "contigs.fa.gz", contigs)
    for rows, stratum in zip(
        call(SimpleNamespace(**vars(world) | {"folder": tmp_path}), tmp_path / "store"),
        ("4204-8408", "5000-9999:1"),
        strict=True,
    ):
        assert rows["short"]["stratum"].split("|")[0] == stratum
        assert rows["short"]["length"] == "12000"


def test_a_replicon_of_another_composition_keeps_its_identity(world, tmp_path):
    """Cuts of one contig do not place a bin, as eight contigs would: its composition alone would make it novel."""
    contigs, bins = (rows["replicon"] for rows in call(world, tmp_path / "store"))
    assert min(float(row["identity"]) for row in (contigs, bins)) > 0.97
    assert contigs["call"] == "known"
    assert (bins["call"], bins["flags"]) == ("ambiguous", "conflict")


def test_without_cuts_it_is_never_called_known_and_flagged(world, tmp_path):
    for rows in call(world, tmp_path / "store", cut_long=False):
        assert rows["short"]["call"] == "known"
        assert {(rows[name]["flags"], rows[name]["p_known"]) for name in ("old", "replicon", "new")} == {
            ("longer_than_calibrated", "")
        }


def test_contigs_that_are_cut_in_other_places_are_refused(world, tmp_path):
    others = [(name, sequence[:-2000]) for name, sequence in world.contigs]
    write_fasta(tmp_path / "others.fa.gz", others)
    with pytest.raises(InputError, match="cut in other places"):
        call(world, tmp_path / "store", fasta=tmp_path / "others.fa.gz")


def test_the_median_cut_stands_for_a_contig(world):
    """Its row is that of the cut as a contig of its own; a short contig before and behind stays what it is."""
    index = load_index(world.folder / "index")
    calibration, replicon = read_calibration(world.folder / "index", index), world.contigs[2][1]
    short, starts = world.contigs[1][1], place_cuts(REPLICON)
    foreign = world.contigs[3][1][:CUT_LENGTH]  # three of eight cuts have nothing to do with the reference
    pieces = [foreign] * 3 + [replicon[start : start + CUT_LENGTH] for start in starts[3:]]
    alone = [short, *pieces, short]
    names, lengths = [f"c{i}" for i in range(len(alone))], np.array([len(sequence) for sequence in alone])
    vectors, genomes = world.embedder.embed(alone), index.table.genomes
    matches = world.sketch.match(alone, genomes)
    plain = call_contigs(index, calibration, vectors, names, lengths, SETTINGS, matches=matches)
    whole = [short, replicon, short]
    cuts = Cuts(np.full(len(pieces), 1), np.array(starts), vectors[1:-1])
    queries = world.embedder.embed(whole), list("abc"), np.array([len(sequence) for sequence in whole])
    matches = world.sketch.match([*whole, *pieces], genomes)
    found = call_contigs(index, calibration, *queries, SETTINGS, matches=matches, cuts=cuts)
    median = 1 + np.argsort(plain.neighbours.score[1:8], kind="stable")[3]  # the eighth is left out
    for column in vars(plain.neighbours):
        own = getattr(found.neighbours, column)
        np.testing.assert_array_equal(own, getattr(plain.neighbours, column)[[0, median, len(alone) - 1]])
    np.testing.assert_array_equal(found.calls.p, plain.calls.p[[0, median, len(alone) - 1]])
    assert found.n_windows.tolist() == [1, 7, 1]


def test_the_trial_of_the_calibration_has_bins_of_long_contigs(world, tmp_path):
    measure_calibration(world.folder / "index", world.genomes, tmp_path, settings=SETTINGS, seed=1)
    rows = list(csv.DictReader((tmp_path / "strata.tsv").open(), delimiter="\t"))
    strata = {row["stratum"] for row in rows if row["level"] == "bin"}
    assert strata == {"2500-4999:8;5000-9999:8;10000-19999:8", "20000-49999:8"}


def test_a_bin_with_a_long_contig_is_as_one_of_its_cuts(world):
    """Cuts given as contigs of their own, of the length that each stands for, give the same scores."""
    index = load_index(world.folder / "index")
    calibration, old = read_calibration(world.folder / "index", index), world.contigs[0][1]
    starts = place_cuts(LENGTH)
    parts = [*(old[start : start + CUT_LENGTH] for start in starts), old[:12_000]]
    vectors, names = world.embedder.embed(parts), [*(f"c|{start}" for start in starts), "short"]
    lengths, genomes = np.array([LENGTH // 2] * 2 + [12_000]), index.table.genomes
    matches = world.sketch.match(parts, genomes)
    given = index, calibration, {"bin": np.arange(3)}, vectors, names, lengths, SETTINGS
    plain = call_bins(*given, matches=matches)
    cuts = Cuts(np.array([0, 0]), np.array(starts), vectors[:2])
    whole = world.embedder.embed([old, parts[2]])
    queries = whole, ["c", "short"], np.array([LENGTH, 12_000])
    matches = world.sketch.match([old, parts[2], *parts[:2]], genomes)
    own = call_bins(index, calibration, {"bin": np.arange(2)}, *queries, SETTINGS, matches=matches, cuts=cuts)
    for column in vars(plain.neighbours):
        np.testing.assert_array_equal(getattr(own.neighbours, column), getattr(plain.neighbours, column))
    np.testing.assert_array_equal(own.calls.p, plain.calls.p)
    assert own.lengths.tolist() == plain.lengths.tolist() == [LENGTH + 12_000]


def test_fragments_flag_contigs_and_bins_that_are_longer(world):
    index = load_index(world.folder / "index")
    calibration = read_calibration(world.folder / "index", index)
    few = replace(SETTINGS, min_calibration=25)  # of 48 genomes, more than a stratum without pieces has
    fragments = replace(
        calibration, piece_scores=np.where(calibration.piece_stratum < 3, calibration.piece_scores, np.nan)
    )
    old, short = world.contigs[0][1], world.contigs[1][1]
    starts = place_cuts(LENGTH)
    parts = [old, short, *(old[start : start + CUT_LENGTH] for start in starts)]
    vectors, lengths = world.embedder.embed(parts), np.array([LENGTH, len(short)])
    cuts = Cuts(np.array([0, 0]), np.array(starts), vectors[2:])
    matches = world.sketch.match(parts, index.table.genomes)
    given = vectors[:2], ["old", "short"], lengths, few
    contigs = call_contigs(index, fragments, *given, matches=matches, cuts=cuts)
    assert contigs.flags == [{"longer_than_calibrated"}, set()]
    bins = {"both": np.arange(2), "short": np.array([1])}
    found = call_bins(index, fragments, bins, *given, matches=matches, cuts=cuts)
    assert found.flags == [{"longer_than_calibrated"}, set()]

"""The stage on sequences: identities in the calls, the calibration's own trial, proposed taxa and the archive."""

import csv
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_sketch import mutate, random_sequence

from workflow_lib.contig2bin import write_contig2bin
from workflow_lib.embed import load_embedder
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta
from workflow_lib.index import load_index
from workflow_lib.index.reference import embed_reference
from workflow_lib.novelty import Settings, call_contigs, call_sample, read_calibration
from workflow_lib.novelty.build import build_calibrated_index, calibrate_index
from workflow_lib.novelty.design import CALIBRATED, KNOWN, REFERENCE, TESTS, limit_genomes, make_design
from workflow_lib.novelty.honesty import _clades, measure_calibration
from workflow_lib.novelty.queries import _is_mixed
from workflow_lib.novelty.sketch import sketch_genomes, write_sketch
from workflow_lib.novelty.taxa import SampleFiles, propose_taxa
from workflow_lib.report.calibration_summary import calibration_summary
from workflow_lib.store import EmbeddingStore, write_store
from workflow_lib.tables import Genome

SETTINGS = Settings(alpha=0.2, min_length=2500, min_calibration=10)
N_SPECIES, STRAINS, LENGTH = 24, 2, 40_000
CONTIG = 6000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """12 genera of two species that differ at 10% of the places, of two strains that differ at 2%, and their index."""
    rng, folder = np.random.default_rng(8), tmp_path_factory.mktemp("sequences")
    genera = [random_sequence(rng, LENGTH) for _ in range(N_SPECIES // 2)]
    species = [mutate(rng, genera[number // 2], 0.05) for number in range(N_SPECIES)]
    genomes = {}
    for number, sequence in enumerate(species):
        taxonomy = {"phylum": f"p{number // 6}", "genus": f"g{number // 2}", "species": f"s{number}"}
        for strain in range(STRAINS):
            path = folder / f"{number}.{strain}.fa.gz"
            write_fasta(path, [("c", mutate(rng, sequence, 0.01))])
            genomes[f"{number}.{strain}"] = Genome(f"{number}.{strain}", str(path), taxonomy)
    embedder = load_embedder("tnf", threads=1)
    windows, pieces = embed_reference(
        *(embedder, genomes.values()), window=10_000, strata=(2500, 5000, 10_000), pieces=4, seed=1,
        shard_folder=folder / "shards", shard_mbp=1,
    )  # fmt: skip
    sketch = sketch_genomes(genomes.values(), scale=20)
    write_sketch(folder / "index" / "sketch", sketch)
    taxonomy = {name: genome.taxonomy for name, genome in genomes.items()}
    build_calibrated_index(
        *(windows, pieces, taxonomy, folder / "index"), factory="Flat", neighbours=1, n_pieces=4,
        sketch=sketch, genomes=genomes,
    )  # fmt: skip
    return SimpleNamespace(
        species=species,
        genomes=genomes,
        embedder=embedder,
        folder=folder,
        index=folder / "index",
        sketch=sketch,
        stores=(windows, pieces),
    )


def write_sample(world, folder, genomes):
    """The files of a sample whose bins are genomes cut into contigs."""
    contigs, assignments = [], {}
    for number, sequence in enumerate(genomes):
        own = [(f"c{number}.{i}", sequence[i : i + CONTIG]) for i in range(0, 5 * CONTIG, CONTIG)]
        contigs += own
        assignments |= dict.fromkeys((name for name, _ in own), f"bin.{number + 1}")
        write_fasta(folder / "fasta" / f"bin.{number + 1}.fa.gz", own)
    names = [name for name, _ in contigs]
    vectors = world.embedder.embed([sequence for _, sequence in contigs])
    manifest = {"embedder": world.embedder.name, "fingerprint": world.embedder.fingerprint}
    write_store(folder / "store", EmbeddingStore(vectors, names, manifest))
    write_fasta(folder / "contigs.fa.gz", contigs)
    write_contig2bin(folder / "contig2bin.tsv", assignments)
    rows = "".join(f"{name}\t{CONTIG}\tkept\t\n" for name in names)
    (folder / "status.tsv").write_text("contig\tlength\tstatus\treason\n" + rows)
    call_sample(
        *(folder / "store", folder / "contig2bin.tsv", folder / "status.tsv", world.index),
        settings=SETTINGS, sketch_folder=world.index / "sketch", contigs_fasta=folder / "contigs.fa.gz",
        contigs_path=folder / "novelty" / "contigs.tsv", bins_path=folder / "novelty" / "bins.tsv",
    )  # fmt: skip
    return SampleFiles(folder / "novelty/bins.tsv", folder / "contig2bin.tsv", folder / "store", folder / "fasta")


def read_rows(path):
    with open(path) as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


@pytest.fixture(scope="module")
def samples(world, tmp_path_factory):
    """Two samples: three strains of indexed species and four new species, of which the samples share two."""
    rng, folder = np.random.default_rng(4), tmp_path_factory.mktemp("samples")
    known = [mutate(rng, world.species[i], 0.01) for i in (0, 5, 9)]
    new = [random_sequence(rng, LENGTH) for _ in range(4)]
    again = [mutate(rng, sequence, 0.01) for sequence in new[:2]]
    return {
        "one": write_sample(world, folder / "one", known + new),
        "two": write_sample(world, folder / "two", again + known[:1]),
    }


def test_identity_decides_what_composition_cannot(samples):
    """All sequences are random, so that all compositions are alike."""
    rows = read_rows(samples["one"].novelty)
    assert [row["call"] for row in rows[:3]] == ["known"] * 3
    assert [row["call"][:5] for row in rows[3:]] == ["novel"] * 4
    assert [row["nearest_genome"].split(".")[0] for row in rows[:3]] == ["0", "5", "9"]
    assert all(0.97 < float(row["identity"]) < 0.99 for row in rows[:3])
    assert {row["identity"] for row in rows[3:]} == {"0"}


def test_queries_without_matches_and_another_sketch_are_refused(world, samples, tmp_path):
    index = load_index(world.index)
    calibration = read_calibration(world.index, index)
    vectors = world.embedder.embed([world.species[0][:CONTIG]])
    with pytest.raises(InputError, match="hold identities"):
        call_contigs(index, calibration, vectors, ["a"], np.array([CONTIG]), SETTINGS)
    write_sketch(tmp_path / "sketch", sketch_genomes(list(world.genomes.values())[:3], scale=20))
    folder = samples["two"].embeddings.parent
    with pytest.raises(InputError, match="the index was calibrated with"):
        call_sample(
            *(folder / "store", folder / "contig2bin.tsv", folder / "status.tsv", world.index),
            settings=SETTINGS, sketch_folder=tmp_path / "sketch", contigs_fasta=folder / "contigs.fa.gz",
            contigs_path=tmp_path / "c.tsv", bins_path=tmp_path / "b.tsv",
        )  # fmt: skip


def test_a_foreign_contig_makes_no_bin_known(world):
    from workflow_lib.novelty import call_bins

    rng, index = np.random.default_rng(4), load_index(world.index)
    new = [random_sequence(rng, CONTIG) for _ in range(3)]
    strain = [mutate(rng, world.species[3][start : start + CONTIG], 0.01) for start in (0, 9000, 20_000)]
    foreign = world.species[9][:2500]  # an eighth of a bin
    bins = {"new": [*new, foreign], "strain": [*strain, foreign], "half": [new[0], world.species[9][10_000:][:CONTIG]]}
    contigs = [contig for own in bins.values() for contig in own]
    ends = np.cumsum([len(own) for own in bins.values()])
    members = {name: np.arange(end - len(bins[name]), end) for name, end in zip(bins, ends, strict=True)}
    results = call_bins(
        *(index, read_calibration(world.index, index), members, world.embedder.embed(contigs)),
        *([f"c{i}" for i in range(len(contigs))], np.array([len(contig) for contig in contigs]), SETTINGS),
        matches=world.sketch.match(contigs, index.table.genomes),
    )  # fmt: skip
    p = results.calls.p[:, TESTS.index(KNOWN)]
    assert results.neighbours.identity[0] > 0.98  # what matches is as near as can be
    assert results.calls.call[1] == "known"  # by its own species, not by that of the foreign contig
    assert index.table.genomes[results.neighbours.genome[1]].startswith("3.")
    assert 0.97 < results.neighbours.identity[1] < 0.995 and results.neighbours.margin[1] > 0
    assert p[0] > 0.5 > 0.1 > max(p[1], p[2])
    assert results.flags[0] == {"partly_matched"}
    assert [flags & {"partly_matched"} for flags in results.flags[2:]] == [set()]


def test_a_stretch_of_an_indexed_genome_makes_no_contig_known(world):
    """4 of 40 kbp; each contig stands for itself as the calibration's pieces are taken for as long."""
    rng, index = np.random.default_rng(4), load_index(world.index)
    calibration = read_calibration(world.index, index)
    calibration = replace(calibration, bounds=np.append(calibration.bounds[:-1], 50_000))
    new = random_sequence(rng, 36_000)
    contigs = [new[:15_000] + world.species[9][5000:9000] + new[15_000:], world.species[9]]
    lengths = np.array([len(contig) for contig in contigs])
    results = call_contigs(
        *(index, calibration, world.embedder.embed(contigs), ["part", "whole"], lengths, SETTINGS),
        matches=world.sketch.match(contigs, index.table.genomes),
    )
    p = results.calls.p[:, TESTS.index(KNOWN)]
    assert results.neighbours.identity[0] > 0.9 and "partly_matched" in results.flags[0]
    assert p[0] > 0.5 > 0.1 > p[1] and "partly_matched" not in results.flags[1]


def test_what_several_genera_have_alike_makes_no_contig_known(world):
    """Half of it of one genus and half of another, as an operon that both have; of 80% and 20% the first is plain."""
    index, (one, other) = load_index(world.index), (world.species[9], world.species[20])
    contigs = [one[3000:6000] + other[3000:6000], one[1200:6000] + other[:1200]]
    results = call_contigs(
        *(index, read_calibration(world.index, index), world.embedder.embed(contigs), ["both", "one"]),
        *(np.array([6000, 6000]), SETTINGS),
        matches=world.sketch.match(contigs, index.table.genomes),
    )
    p = results.calls.p[:, TESTS.index(KNOWN)]
    assert results.neighbours.identity.min() > 0.9
    assert "several_genera" in results.flags[0] and "several_genera" not in results.flags[1]
    assert p[0] > 0.5 > 0.1 > p[1]


def test_contaminating_pieces_are_compared_also_where_their_genome_calibrates_another_rank(world, tmp_path):
    shutil.copytree(world.index, tmp_path / "index")
    calibrate_index(
        *(tmp_path / "index", *world.stores), neighbours=1, n_pieces=4, contamination=0.1, n_genomes=6,
        sketch=world.sketch, genomes=world.genomes,
    )  # fmt: skip
    index = load_index(tmp_path / "index")
    found = read_calibration(tmp_path / "index", index)
    design = limit_genomes(make_design(index.table.lineages, found.means), index.table.genomes, 6)
    calibrating = np.flatnonzero((design.units >= 0).any(axis=0))
    row = CALIBRATED.index(REFERENCE)
    assert (found.units[row] < 0).any()
    of_hit = calibrating[found.piece_genome[found.segment_piece[found.hit_segment]]]
    assert np.array_equal(found.hit_allowed[row], found.hit_genome != of_hit)
    assert index.manifest["calibration_genomes"] == 6
    lineages = [index.table.lineages[code] for code in found.calibrating]
    assert np.array_equal(found.calibrating, calibrating)
    assert not any(lineages[own]["genus"] == lineages[other]["genus"] for own, other in enumerate(found.foreign))
    measure_calibration(tmp_path / "index", world.genomes, tmp_path, settings=SETTINGS, seed=1)
    units = {(row["level"], row["test"]): int(row["units"]) for row in read_rows(tmp_path / "strata.tsv")}
    assert units["contig", "reference"] == units["bin", "reference"] == 6


def test_nameless_strains_of_what_is_left_out_go_with_it(world, tmp_path):
    """A new species has no strain in the index, named or not."""
    taxonomy = {name: dict(genome.taxonomy) for name, genome in world.genomes.items()}
    nameless = [name for name in taxonomy if name.endswith(".1")][:6]
    for name in nameless:
        del taxonomy[name]["species"]
    build_calibrated_index(
        *(*world.stores, taxonomy, tmp_path), factory="Flat", neighbours=1, n_pieces=4,
        sketch=world.sketch, genomes=world.genomes,
    )  # fmt: skip
    index = load_index(tmp_path)
    found = read_calibration(tmp_path, index)
    row, names = CALIBRATED.index(KNOWN), np.array(index.table.genomes)
    species = np.array([name.split(".")[0] for name in names])
    own = found.calibrating[found.piece_genome[found.segment_piece[found.hit_segment]]]
    tests = (found.units[row] >= 0)[found.piece_genome[found.segment_piece[found.hit_segment]]]
    same = tests & (species[own] == species[found.hit_genome])
    assert set(nameless) <= set(names[found.hit_genome[same]])
    assert not found.hit_allowed[row][same].any()
    assert found.hit_allowed[row][tests & ~same].any()  # other species of the genus stay


@pytest.mark.parametrize("taxonomy", [{"phylum": "p", "genus": "g", "species": "s"}, {}])
def test_the_trial_of_a_reference_of_one_genome_says_nothing(world, tmp_path, taxonomy):
    genome = replace(world.genomes["0.0"], taxonomy=taxonomy)
    stores = embed_reference(
        *(world.embedder, [genome]), window=10_000, strata=(2500, 5000, 10_000), pieces=4, seed=1,
        shard_folder=tmp_path / "shards", shard_mbp=1,
    )  # fmt: skip
    build_calibrated_index(
        *(*stores, {genome.name: taxonomy}, tmp_path / "index"), factory="Flat", neighbours=1, n_pieces=4
    )
    measure_calibration(tmp_path / "index", {genome.name: genome}, tmp_path, settings=SETTINGS, seed=1)
    assert read_rows(tmp_path / "rates.tsv") == []
    assert {row["tested"] for row in read_rows(tmp_path / "strata.tsv")} == {"no"}


def test_clades_of_a_limited_calibration_are_whole():
    lineages = [
        {"phylum": f"p{i % 2}", "genus": f"g{i // 4}", "species": f"s{i // 2}", "genome": f"{i}"} for i in range(16)
    ]
    in_use = ["species", "genus", "phylum"]
    assert len(set(zip(_clades(lineages, in_use).tolist(), (i // 4 for i in range(16)), strict=True))) == 4
    nameless = [*lineages, {"genome": "16"}, {"genome": "17"}]
    assert len(set(_clades(nameless, in_use).tolist())) == 6
    assert len(set(_clades(lineages, ["species"]).tolist())) == 8


def test_trial_of_the_calibration(world, tmp_path):
    measure_calibration(world.index, world.genomes, tmp_path, settings=SETTINGS, seed=1)
    strata, rates = read_rows(tmp_path / "strata.tsv"), read_rows(tmp_path / "rates.tsv")
    units = {(row["level"], row["test"]): row for row in strata if row["stratum"] != "5000-9999"}
    assert units["contig", "species"]["units"] == str(N_SPECIES)
    assert float(units["bin", "species"]["smallest_q"]) == pytest.approx(1 / (N_SPECIES + 1), abs=1e-6)
    assert {row["rank"] for row in rates} == {"species", "genus", "phylum", "known"}
    # 12 units calibrate: at 0.2, two standard errors and the 1/(n+1) of a p-value's grain stay below this.
    assert all(float(row["realised"]) <= float(row["alpha"]) + 2 * float(row["standard_error"]) for row in rates)
    # Of null p-values, those of `known` too, no more are small than that.
    assert all(float(row["p_null"]) <= float(row["alpha"]) + 0.15 for row in rates if row["p_null"])
    power = [float(row["power"]) for row in rates if (row["rank"], row["alpha"]) == ("species", "0.2")]
    assert min(power) > 0.6  # half of the clades calibrate, too few to find all
    pairs = read_rows(tmp_path / "identities.tsv")
    assert len(pairs) == len(world.genomes)
    assert all(85 < float(row["ani"]) < 99 for row in pairs if row["ani"])
    summary = calibration_summary(tmp_path)
    assert set(summary["distances"]) == {"2500-4999", "5000-9999"}
    assert list(summary["distances"]["2500-4999"]) == ["genome", "species", "genus", "phylum"]
    json.dumps(summary)
    measure_calibration(world.index, world.genomes, tmp_path / "again", settings=SETTINGS, seed=1)
    for name in ("strata", "rates", "distances", "identities"):
        assert (tmp_path / f"{name}.tsv").read_bytes() == (tmp_path / "again" / f"{name}.tsv").read_bytes()


def test_ranks_without_units_are_named(world, tmp_path, caplog):
    strict = replace(SETTINGS, min_calibration=N_SPECIES + 1)
    with caplog.at_level("WARNING"):
        measure_calibration(world.index, world.genomes, tmp_path, settings=strict, seed=1)
    rows = read_rows(tmp_path / "strata.tsv")
    assert {row["tested"] for row in rows if row["test"] == "species"} == {"no"}
    assert {row["tested"] for row in rows if row["test"] == "reference"} == {"yes"}
    assert f"at these ranks: species ({N_SPECIES}), genus (" in caplog.text
    assert f"fewer than {N_SPECIES + 1} units" in caplog.text
    assert "add second genomes to the reference" in caplog.text
    assert calibration_summary(tmp_path)["untested"][0] == "species"
    caplog.clear()
    few = replace(SETTINGS, alpha=1 / (2 * N_SPECIES))  # 24 units cannot give q <= 1/48
    measure_calibration(world.index, world.genomes, tmp_path, settings=few, seed=1)
    assert f"fewer than {2 * N_SPECIES - 1} units" in caplog.text
    caplog.clear()
    measure_calibration(world.index, world.genomes, tmp_path, settings=SETTINGS, seed=1)
    assert not caplog.records
    assert {row["test"] for row in read_rows(tmp_path / "strata.tsv")} == {
        "reference",
        "species",
        "genus",
        "phylum",
        "known",
    }


def test_novel_bins_of_samples_become_taxa(world, samples, tmp_path):
    propose_taxa(samples, world.index, archives={}, table=tmp_path / "taxa.tsv", archive_folder=tmp_path / "archive")
    rows = {f"{row['sample']}/{row['bin']}": row for row in read_rows(tmp_path / "taxa.tsv")}
    assert set(rows) == {*(f"one/bin.{i}" for i in (4, 5, 6, 7)), "two/bin.1", "two/bin.2"}
    for first, second in (("one/bin.4", "two/bin.1"), ("one/bin.5", "two/bin.2")):
        assert rows[first]["taxon"] == rows[second]["taxon"]
        assert (rows[first]["n_bins"], rows[first]["n_samples"]) == ("2", "2")
        found = [row["ani"] for row in (rows[first], rows[second]) if row["ani"]]
        assert len(found) == 1
        assert 98 < float(found[0]) <= 100
    assert len({row["taxon"] for row in rows.values()}) == 4
    assert {row["seen_before"] for row in rows.values()} == {""}
    # A later run meets one of them again.
    later = {"two": samples["two"]}
    archives = {"first": str(tmp_path / "archive")}
    folders = {"table": tmp_path / "later.tsv", "archive_folder": tmp_path / "later"}
    propose_taxa(later, world.index, archives=archives, **folders)
    seen = [row["seen_before"] for row in read_rows(tmp_path / "later.tsv")]
    assert all("first/two/bin" in text and "first/one/bin" in text for text in seen)
    # One byte of any of its files is found.
    for path in sorted(path for path in (tmp_path / "archive").rglob("*") if path.is_file()):
        content = path.read_bytes()
        path.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
        with pytest.raises(InputError, match=r"repeat the run that wrote it, or take first out of novelty\.archives"):
            propose_taxa(later, world.index, archives=archives, **folders)
        path.write_bytes(content)


def test_no_novel_bins_and_an_archive_that_is_none(world, samples, tmp_path):
    folders = {"table": tmp_path / "taxa.tsv", "archive_folder": tmp_path / "archive"}
    propose_taxa({}, world.index, archives={}, **folders)
    assert read_rows(tmp_path / "taxa.tsv") == []
    propose_taxa(samples, world.index, archives={"empty": str(tmp_path / "archive")}, **folders)
    with pytest.raises(InputError, match=r"no novel_bins.tsv with sketches/"):
        propose_taxa(samples, world.index, archives={"x": str(tmp_path / "none")}, **folders)


@pytest.mark.parametrize(
    ("n", "less_even", "is_mixed"),
    [(49, 0, False), (50, 0, True), (50, 1, False), (198, 1, False), (400, 1, True), (400, 2, False)],
)
def test_a_mixture_is_less_even_than_all_or_nearly_all_genomes(n, less_even, is_mixed):
    squares = np.linspace(0.5, 1, n)
    squares[:less_even] = 0.1
    assert _is_mixed(np.sqrt([0.2, 0.1]), np.append(squares, np.nan)) == (is_mixed, n < 50)

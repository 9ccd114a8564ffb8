"""The stage on a sample's files: two tables, one row a kept contig, one row a bin."""

import csv

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.novelty import Settings, call_sample
from workflow_lib.novelty.sample import COLUMNS, group_bins
from workflow_lib.store import EmbeddingStore, write_store

LINEAGES = [(p, g, s, t) for p in range(4) for g in range(3) for s in range(2) for t in range(2)]
SETTINGS = Settings(alpha=0.1, min_length=2500, min_calibration=20)
STORE = {"embedder": "synthetic", "fingerprint": "f" * 64}


@pytest.fixture(scope="module")
def world_and_index(build, make_world):
    world = make_world(11)
    return world, build(world, LINEAGES)[2]


@pytest.fixture
def run(tmp_path, world_and_index):
    def call(vectors, names, contig2bin, *, status=None, manifest=STORE):
        write_store(tmp_path / "store", EmbeddingStore(vectors, names, dict(manifest)))
        rows = [f"{name}\t6000\tkept\t" for name in status or names]
        text = "\n".join(["contig\tlength\tstatus\treason", "short\t9\ttoo_short\t9 bp", *rows])
        (tmp_path / "status.tsv").write_text(text + "\n")
        (tmp_path / "bins.tsv").write_text("contig\tbin\n" + "".join(f"{c}\t{b}\n" for c, b in contig2bin.items()))
        paths = {"contigs_path": tmp_path / "out" / "contigs.tsv", "bins_path": tmp_path / "out" / "bins.tsv"}
        folders = tmp_path / "store", tmp_path / "bins.tsv", tmp_path / "status.tsv", world_and_index[1]
        call_sample(*folders, settings=SETTINGS, **paths)
        return [list(csv.DictReader(path.open(), delimiter="\t")) for path in paths.values()], paths

    return call


def test_tables(run, world_and_index):
    world, _ = world_and_index
    vectors = np.concatenate([world.draw(lineage, 5) for lineage in ((0, 0, 0, 9), (99, 0, 0, 0))])
    names = [f"c{i}" for i in range(10)]
    (contigs, bins), _ = run(vectors, names, {name: f"bin.{1 + i // 5}" for i, name in enumerate(names)})
    assert [row["query"] for row in contigs] == names
    assert [row["query"] for row in bins] == ["bin.1", "bin.2"]
    assert tuple(contigs[0]) == COLUMNS
    assert contigs[0]["nearest_genome"].startswith("g0.0.0")
    assert contigs[0]["nearest_taxon"] == "d__;p__p0;c__;o__;f__;g__g0.0;s__s0.0.0"
    assert bins[0]["stratum"] == "5000-9999:4"
    assert (bins[0]["length"], bins[0]["n_windows"], bins[0]["level"]) == ("30000", "4", "bin")
    assert float(bins[1]["d1"]) > 2 * float(bins[0]["d1"])
    assert float(bins[1]["s2"]) > float(bins[0]["s2"]) > 0
    assert float(bins[1]["p_species"]) < 0.1 < float(bins[0]["p_species"])
    assert {row["alpha"] for row in contigs + bins} == {"0.1"}
    assert {len(row["index_id"]) for row in contigs} == {len(row["calibration_id"]) for row in bins} == {12}


def test_contigs_of_a_bin_count_as_one_query(run, world_and_index):
    vectors = world_and_index[0].draw((99, 0, 0, 0), 30)
    names = [f"c{i}" for i in range(30)]
    apart = run(vectors, names, {name: f"bin.{name}" for name in names})[0][0]
    together = run(vectors, names, dict.fromkeys(names, "bin.1"))[0][0]
    assert all(float(one["q_species"]) < float(all_["q_species"]) for one, all_ in zip(apart, together, strict=True))


def test_same_input_same_bytes(run, world_and_index):
    vectors = world_and_index[0].draw((0, 0, 0, 9), 3)
    texts = []
    for _ in range(2):
        _, paths = run(vectors, list("abc"), {"a": "bin.1"})
        texts.append([path.read_bytes() for path in paths.values()])
    assert texts[0] == texts[1]


def test_no_contigs_and_no_bins_are_headers(run):
    (contigs, bins), paths = run(np.zeros((0, 24), np.float32), [], {})
    assert contigs == bins == []
    assert all(path.read_text() == "\t".join(COLUMNS) + "\n" for path in paths.values())


def test_queries_of_another_embedder_are_refused(run, world_and_index):
    vectors = world_and_index[0].draw((0, 0, 0, 9), 1)
    with pytest.raises(InputError, match="embedder fingerprint 000"):
        run(vectors, ["a"], {}, manifest=STORE | {"fingerprint": "0" * 64})


def test_contigs_that_do_not_match_are_refused(run, world_and_index):
    vectors = world_and_index[0].draw((0, 0, 0, 9), 2)
    with pytest.raises(InputError, match=r"status.tsv has 2 rows, the embeddings have 2; missing there: \['b'\]"):
        run(vectors, ["a", "b"], {}, status=["a", "x"])
    with pytest.raises(InputError, match="1 contigs are not in the embeddings, the first is 'z'"):
        run(vectors, ["a", "b"], {"z": "bin.1"})


def test_bins_come_in_natural_order():
    assignments = {"a": "bin.10", "b": "bin.2", "c": "bin.10", "d": "x"}
    bins = group_bins(assignments, {name: row for row, name in enumerate("dcba")}, path="x")
    assert {name: rows.tolist() for name, rows in bins.items()} == {"bin.2": [2], "bin.10": [1, 3], "x": [0]}
    assert list(bins) == ["bin.2", "bin.10", "x"]

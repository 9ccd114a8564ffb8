"""Scores of a binner, and what is told of the genomes that it loses, on bins made by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from workflow_lib.benchmark.facts import describe_genomes
from workflow_lib.benchmark.lost import list_lost, summarise_lost
from workflow_lib.benchmark.scores import Truth, read_truth, score_binning
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta


@pytest.fixture
def truth() -> Truth:
    """Three genomes of ten contigs of 10 bp each; d is mostly in contigs that no binner gets."""
    genomes = {f"{name}{i}": name for name in "abcd" for i in range(10)}
    kept = {contig for contig in genomes if contig[0] != "d"} | {"d0"}
    return Truth(genomes, dict.fromkeys(genomes, 10), kept)


def bins(**members: str) -> dict[str, str]:
    return {contig: name for name, contigs in members.items() for contig in contigs.split()}


def members(genome: str, n: int, start: int = 0) -> str:
    return " ".join(f"{genome}{i}" for i in range(start, n))


def test_recovered_missed_pure_and_assigned(truth):
    clusters = bins(whole=members("a", 10), part=members("b", 7), rest=members("b", 10, 7) + " c0 c1")
    scores, genomes = score_binning(clusters, truth, min_bin_length=0)
    assert (scores["bins"], scores["genomes"], scores["recoverable"]) == (3, 4, 3)
    assert (scores["recovered_90_5"], scores["missed_90_5"]) == (1, 2)
    assert (scores["recovered_50_10"], scores["missed_50_10"]) == (2, 1)
    assert scores["purity"] == pytest.approx(20 / 22)
    assert scores["assigned"] == pytest.approx(22 / 31)
    table = genomes.set_index("genome")
    assert table["recoverable"].to_dict() == {"a": True, "b": True, "c": True, "d": False}
    assert table.loc["b", ["bin", "completeness", "mixed_with"]].tolist() == ["part", 0.7, ""]
    assert table.loc["c", ["bin", "mixed_with"]].tolist() == ["rest", "b"]
    assert table.loc["d", "bin"] == ""


def test_small_bins_count_for_nobody(truth):
    clusters = bins(whole=members("a", 10), small=members("b", 7))
    scores, genomes = score_binning(clusters, truth, min_bin_length=80)
    assert scores["bins"] == 1 and scores["recovered_50_10"] == 1
    assert genomes.set_index("genome").loc["b", "bin"] == ""


def test_limits_are_strict(truth):
    scores, _ = score_binning(bins(nine=members("a", 9)), truth, min_bin_length=0)
    assert scores["recovered_90_5"] == 0 and scores["recovered_50_10"] == 1  # 90% is not more than 90%


def test_no_bins_and_foreign_contigs(truth):
    scores, genomes = score_binning({}, truth, min_bin_length=0)
    assert (scores["bins"], scores["missed_50_10"], scores["assigned"]) == (0, 3, 0)
    assert math.isnan(scores["purity"]) and (genomes["bin"] == "").all()
    with pytest.raises(InputError, match="1 binned contigs are not in the set"):
        score_binning({"d1": "bin"}, truth, min_bin_length=0)


def states_of(truth, **runs) -> pd.DataFrame:
    tables = [
        score_binning(clusters, truth, min_bin_length=0)[1].assign(binner=name) for name, clusters in runs.items()
    ]
    return pd.concat(tables, ignore_index=True).assign(set="s", seed=1)


def facts_of(genomes: str) -> pd.DataFrame:
    rows = {"genome": list(genomes), "n_contigs": 10, "n50": 10, "depth": 2.0, "nearest": "a", "ani": 0.98}
    return pd.DataFrame({**rows, "depth_ratio": 0.5, "strain": False, "set": "s", "seed": 1})


def test_what_one_binner_loses_and_another_finds(truth):
    both = members("a", 10) + " " + members("b", 10)
    good = bins(a=members("a", 10), b=members("b", 10))
    states = states_of(truth, novabin=bins(ab=both), peer=good)
    lost = list_lost(states, facts_of("abcd"))
    rows = lost[(lost["level"] == "90_5") & (lost["genome"] < "c")]
    assert rows[["binner", "genome", "how", "found_by"]].to_numpy().tolist() == [
        ["novabin", "a", "mixed", "peer"],
        ["novabin", "b", "mixed", "peer"],
    ]
    assert rows["hint"].tolist() == [
        "a relative of 98.0% ANI, of like depth; depth 2.0; mixed with a genome that is no near relative",
        "a relative of 98.0% ANI, of like depth; depth 2.0",
    ]
    nobody = lost[(lost["level"] == "90_5") & (lost["genome"] == "c")]
    assert nobody["how"].tolist() == ["not binned"] * 2 and nobody["found_by"].tolist() == ["", ""]
    summary = {(row["level"], row["binner"]): row for row in summarise_lost(lost, states)}
    strict = summary["> 90% / < 5%", "novabin"]
    assert (strict["n"], strict["found"], strict["counts"]) == (3, 2, [1, 0, 2, 0])
    assert (strict["relatives"], strict["low"]) == (3, 3)


def test_nothing_is_lost_where_all_is_found(truth):
    good = bins(a=members("a", 10), b=members("b", 10), c=members("c", 10))
    states = states_of(truth, novabin=good, peer=good)
    assert list_lost(states, facts_of("abcd")).empty
    assert {row["n"] for row in summarise_lost(list_lost(states, facts_of("abcd")), states)} == {0}


def test_facts_name_the_nearest_relative_and_how_far_its_depth_is(tmp_path):
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    parent = rng.choice(letters, 60_000)
    strain = parent.copy()
    places = rng.random(len(strain)) < 0.02
    strain[places] = rng.choice(letters, places.sum())
    sequences = {"p": parent.tobytes(), "q": strain.tobytes(), "r": rng.choice(letters, 30_000).tobytes()}
    write_fasta(tmp_path / "contigs.fa.gz", [(f"{name}1", sequence) for name, sequence in sequences.items()])
    rows = ["contig\tlength\tx\tx-var", "p1\t60000\t4\t4", "q1\t60000\t16\t16", "r1\t30000\t\t"]
    (tmp_path / "depth.tsv").write_text("\n".join(rows) + "\n")
    truth = Truth({f"{n}1": n for n in sequences}, {f"{n}1": len(s) for n, s in sequences.items()}, set())
    facts = describe_genomes(tmp_path / "contigs.fa.gz", tmp_path / "depth.tsv", truth).set_index("genome")
    assert facts["nearest"].to_dict() == {"p": "q", "q": "p", "r": ""}
    assert facts.loc["p", "ani"] == pytest.approx(0.985, abs=0.006)  # a quarter of the drawn letters is the same
    assert facts.loc["p", "depth_ratio"] == pytest.approx(2.0) and math.isnan(facts.loc["r", "ani"])
    assert facts.loc["r", ["n_contigs", "n50"]].tolist() == [1, 30_000]


def test_truth_of_a_file(tmp_path):
    (tmp_path / "truth.tsv").write_text("contig\tgenome\tlength\tkept\nc1\tg\t2000\t1\nc2\tg\t900\t0\n")
    assert read_truth(tmp_path / "truth.tsv") == Truth({"c1": "g", "c2": "g"}, {"c1": 2000, "c2": 900}, {"c1"})

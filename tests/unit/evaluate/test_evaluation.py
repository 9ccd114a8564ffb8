"""Measures against slow oracles on dense tables, and the binnings that tempt a division by zero."""

import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score, rand_score

from workflow_lib.contig2bin import read_contig2bin, write_bioboxes, write_contig2bin
from workflow_lib.errors import InputError
from workflow_lib.evaluate import evaluate_binning, evaluate_files
from workflow_lib.fasta import read_fasta

CLOSE = 1e-12  # float64 on the same integers


def small_bp(community):
    """The same community with contigs of 1-30 bp, so that an oracle can write out every base pair."""
    rng = np.random.default_rng(5)
    community.lengths = {name: int(rng.integers(1, 31)) for name in community.lengths}
    return community


def dense(community, *, ignore_unbinned: bool, by: str) -> pd.DataFrame:
    """The full table bins x genomes of a community; the row "" holds unbinned contigs."""
    rows = [
        (community.assignments.get(contig, ""), community.truth[contig], length if by == "bp" else 1, length)
        for contig, length in community.lengths.items()
        if contig in community.truth and (contig in community.assignments or not ignore_unbinned)
    ]
    frame = pd.DataFrame(rows, columns=["bin", "genome", "size", "bp"])
    return frame.pivot_table(index="bin", columns="genome", values=["size", "bp"], aggfunc="sum", fill_value=0)


@pytest.mark.parametrize("by", ["bp", "contig"])
@pytest.mark.parametrize("unbinned", ["counted", "ignored"])
@pytest.mark.parametrize("seed", [1, 2])
def test_purity_and_completeness_match_a_dense_table(make_community, seed, unbinned, by):
    community = make_community(seed)
    found = evaluate_binning(community.assignments, community.truth, community.lengths)
    table = dense(community, ignore_unbinned=unbinned == "ignored", by=by)
    size, bp = table["size"], table["bp"]
    bins = size.drop(index="", errors="ignore")
    main = bp.loc[bins.index].idxmax(axis=1)
    hits = np.array([bins.loc[name, genome] for name, genome in main.items()])
    best = np.array([bins.loc[name, genome] for genome, name in bp.loc[bins.index].idxmax(axis=0).items()])
    purity, completeness = np.mean(hits / bins.sum(axis=1)), np.mean(best / size.sum(axis=0))
    expected = {
        "average_purity": purity,
        "average_completeness": completeness,
        "average_f1": 2 * purity * completeness / (purity + completeness),
        "purity": hits.sum() / bins.to_numpy().sum(),
        "completeness": best.sum() / size.to_numpy().sum(),
        "accuracy": hits.sum() / size.to_numpy().sum(),
        "assigned": bins.to_numpy().sum() / size.to_numpy().sum(),
        "misclassification": 1 - hits.sum() / bins.to_numpy().sum(),
    }
    for metric, value in expected.items():
        assert found.value(metric, by=by, unbinned=unbinned) == pytest.approx(value, rel=CLOSE), metric


@pytest.mark.parametrize("by", ["bp", "contig"])
@pytest.mark.parametrize("unbinned", ["counted", "ignored"])
@pytest.mark.parametrize("right", [0.0, 0.8, 1.0])
def test_rand_indices_match_scikit_learn_on_every_base_pair(make_community, right, unbinned, by):
    community = small_bp(make_community(3, contigs=120, right=right))
    found = evaluate_binning(community.assignments, community.truth, community.lengths)
    contigs = [c for c in community.truth if unbinned == "counted" or c in community.assignments]
    repeats = [community.lengths[c] if by == "bp" else 1 for c in contigs]
    # An unbinned contig is a group of its own: its name is its label.
    predicted = np.repeat([community.assignments.get(c, f"alone {c}") for c in contigs], repeats)
    true = np.repeat([community.truth[c] for c in contigs], repeats)
    ari = found.value("adjusted_rand_index", by=by, unbinned=unbinned)
    assert ari == pytest.approx(adjusted_rand_score(true, predicted), abs=1e-12)
    assert found.value("rand_index", by=by, unbinned=unbinned) == pytest.approx(rand_score(true, predicted), abs=1e-12)


def test_pairs_of_large_assemblies_do_not_overflow():
    contigs = [f"c{number}" for number in range(200)]
    truth = {contig: f"g{number % 2}" for number, contig in enumerate(contigs)}
    lengths = dict.fromkeys(contigs, 10**9)  # 2e11 bp: 2e22 pairs, beyond 64 bits
    assert evaluate_binning(truth, truth, lengths).value("adjusted_rand_index") == 1.0
    halves = {contig: f"b{number // 100}" for number, contig in enumerate(contigs)}
    assert evaluate_binning(halves, truth, lengths).value("adjusted_rand_index") == pytest.approx(0, abs=1e-6)


def test_a_perfect_binning_has_every_measure_at_its_best(make_community):
    community = make_community(4, named=1.0)
    found = evaluate_binning(community.truth, community.truth, community.lengths)
    shares = found.metrics[found.metrics["metric"].str.contains("purity|completeness|f1|accuracy|rand|assigned")]
    shares = shares[~shares["metric"].str.contains("_gt_")]
    assert (shares["value"] == 1).all()
    assert (found.metrics.loc[found.metrics["metric"] == "misclassification", "value"] == 0).all()
    assert found.value("bins_completeness_gt_90_contamination_lt_5") == 12
    assert found.value("species_f1_gt_0.9", by="contig") == 12


def test_names_and_order_do_not_matter(make_community):
    community = make_community(6)
    first = evaluate_binning(community.assignments, community.truth, community.lengths)
    renamed = {contig: f"x.{name}" for contig, name in reversed(community.assignments.items())}
    shuffled = dict(reversed(community.lengths.items()))
    second = evaluate_binning(renamed, community.truth, shuffled)
    pd.testing.assert_frame_equal(first.metrics, second.metrics)
    pd.testing.assert_frame_equal(first.genomes.drop(columns=["bin", "aligned_bin"]),
                                  second.genomes.drop(columns=["bin", "aligned_bin"]))  # fmt: skip


def test_each_set_counts_what_its_name_says():
    lengths = {"a": 60, "b": 40, "c": 300, "short": 100, "unnamed": 50, "unnamed_short": 7}
    truth = {"a": "g1", "b": "g1", "c": "g1", "short": "g1"}
    kept = {"a", "b", "c", "unnamed"}
    found = evaluate_binning({"a": "x", "b": "x", "unnamed": "x"}, truth, lengths, kept=kept)
    sets = ("counted", "counted_kept", "ignored")

    def row(metric, by="bp"):
        return [found.value(metric, by=by, unbinned=name) for name in sets]

    assert row("evaluated") == [500, 400, 100]
    assert row("evaluated", "contig") == [4, 3, 2]
    assert row("not_in_truth") == [57, 50, 50]
    assert row("average_completeness") == [0.2, 0.25, 1]
    assert row("average_completeness", "contig") == [0.5, pytest.approx(2 / 3), 1]
    assert row("purity") == [1, 1, 1]
    only = found.bins.iloc[0]
    assert (only["contigs"], only["length_bp"], only["contigs_in_truth"], only["length_bp_in_truth"]) == (
        3,
        150,
        2,
        100,
    )
    assert [only[f"completeness_bp{name}"] for name in ("", "_counted_kept", "_ignored")] == [0.2, 0.25, 1]


def test_a_genome_without_a_bin_counts_as_zero_and_leaves_when_unbinned_are_ignored():
    found = evaluate_binning({"a": "x"}, {"a": "g1", "b": "g2"}, {"a": 10, "b": 30})
    assert found.value("average_completeness") == 0.5
    assert found.value("average_completeness", unbinned="ignored") == 1
    assert found.value("genomes", by="contig", unbinned="ignored") == 1
    missed = found.genomes.set_index("genome").loc["g2"]
    assert missed["bin"] == "" and missed["completeness_bp"] == 0 and np.isnan(missed["purity_bp"])
    assert np.isnan(missed["completeness_bp_ignored"])


def test_the_main_genome_is_that_with_most_bp_in_both_units():
    found = evaluate_binning(
        dict.fromkeys("abc", "x"), {"a": "long", "b": "many", "c": "many"}, {"a": 90, "b": 5, "c": 5}
    )
    only = found.bins.iloc[0]
    assert (only["genome"], only["purity_bp"], only["purity_contig"]) == ("long", 0.9, pytest.approx(1 / 3))


def test_equal_genomes_are_told_apart_by_contigs_then_name():
    truth = {"a": "g2", "b": "g1", "c": "g1", "d": "g0", "e": "g3"}
    lengths = {"a": 10, "b": 5, "c": 5, "d": 7, "e": 7}
    found = evaluate_binning({"a": "x", "b": "x", "c": "x", "d": "y", "e": "y"}, truth, lengths)
    assert found.bins.set_index("bin")["genome"].to_dict() == {"x": "g1", "y": "g0"}


@pytest.mark.parametrize(
    ("assignments", "truth", "lengths"),
    [
        pytest.param({}, {"a": "g", "b": "h"}, {"a": 10, "b": 20}, id="nothing binned"),
        pytest.param({"a": "x"}, {"a": "g"}, {"a": 10}, id="one contig"),
        pytest.param({"a": "x", "b": "x"}, {"a": "g", "b": "h"}, {"a": 10, "b": 20}, id="one bin"),
        pytest.param({"a": "x"}, {"a": "g"}, {"a": 0}, id="zero length"),
        pytest.param({"a": "x"}, {"a": "g", "b": "g"}, {"a": 0, "b": 9}, id="zero length beside others"),
        pytest.param({"b": "x"}, {"a": "g"}, {"a": 10, "b": 20}, id="only contigs without truth binned"),
        pytest.param({}, {"a": "g"}, {}, id="no contigs"),
        pytest.param({"a": "x"}, {"a": "none"}, {"a": 10}, id="a truth without genomes"),
    ],
)
def test_small_cases_are_valid_results(assignments, truth, lengths, tmp_path):
    found = evaluate_binning(assignments, truth, lengths)
    shares = found.metrics["value"][found.metrics["metric"].str.contains("purity|completeness|accuracy|assigned|f1")]
    assert not np.isinf(found.metrics["value"]).any()
    assert (shares.dropna() >= 0).all()
    found.write(metrics=tmp_path / "metrics.tsv", bins=tmp_path / "bins.tsv", genomes=tmp_path / "genomes.tsv")
    assert "nan" not in (tmp_path / "metrics.tsv").read_text()


def test_without_bins_completeness_is_zero_and_purity_not_available(tmp_path):
    found = evaluate_binning({}, {"a": "g"}, {"a": 10})
    assert found.value("average_completeness") == 0 and found.value("accuracy") == 0
    assert np.isnan(found.value("average_purity")) and np.isnan(found.value("average_completeness", unbinned="ignored"))
    found.write(metrics=tmp_path / "metrics.tsv", bins=tmp_path / "bins.tsv", genomes=tmp_path / "genomes.tsv")
    assert "average_purity\tbp\tcounted\t\n" in (tmp_path / "metrics.tsv").read_text()
    assert len((tmp_path / "bins.tsv").read_text().splitlines()) == 1


def test_words_for_no_genome_are_no_genome(caplog):
    truth = {"a": "g", "b": "None", "c": "unassigned"}
    with caplog.at_level(logging.WARNING):
        found = evaluate_binning({"a": "x", "b": "x"}, truth, {"a": 10, "b": 5, "c": 5})
    assert found.value("genomes", by="contig") == 1
    assert found.value("not_in_truth", by="contig") == 2
    assert found.value("purity") == 1
    assert "2 contigs of the truth have no genome there (None, unassigned)" in caplog.text


def test_tables_are_ordered_by_length_and_exact_in_counts(tmp_path):
    truth = {"a": "g1", "b": "g2", "c": "g3"}
    lengths = {"a": 1_234_567_891, "b": 2_000_000_001, "c": 3}
    found = evaluate_binning({"a": "bin.2", "b": "bin.1"}, truth, lengths)
    assert found.bins["bin"].tolist() == ["bin.1", "bin.2"]
    assert found.genomes["genome"].tolist() == ["g2", "g1", "g3"]
    found.write(metrics=tmp_path / "metrics.tsv", bins=tmp_path / "bins.tsv", genomes=tmp_path / "genomes.tsv")
    metrics = (tmp_path / "metrics.tsv").read_text()
    assert metrics.startswith("metric\tby\tunbinned\tvalue\n")
    assert "evaluated\tbp\tcounted\t3234567895\n" in metrics
    assert "average_completeness\tbp\tcounted\t0.666667\n" in metrics
    assert "\t1234567891\t" in (tmp_path / "bins.tsv").read_text()


def test_a_truth_of_another_assembly_is_an_error():
    with pytest.raises(InputError, match=r"t\.tsv: none of the 2 contigs .*'k1'.*'a'.*\n.*this assembly"):
        evaluate_binning({"a": "x"}, {"k1": "g", "k2": "g"}, {"a": 10}, truth_path="t.tsv")
    with pytest.raises(InputError, match="none of the 1 contigs of this binning"):
        evaluate_binning({"k": "x"}, {"a": "g"}, {"a": 10})
    with pytest.raises(InputError, match="names no contigs"):
        evaluate_binning({}, {}, {"a": 10})


def test_truth_contigs_that_the_assembly_lacks_are_counted(caplog):
    with caplog.at_level(logging.WARNING):
        found = evaluate_binning({"a": "x"}, {"a": "g", "gone": "g"}, {"a": 10})
    assert found.value("truth_not_in_assembly", by="contig") == 1
    assert found.value("average_completeness") == 1
    assert "1 of 2 contigs of the truth are not in the assembly, e.g. 'gone'" in caplog.text


@pytest.mark.parametrize("truth_format", ["tsv", "bioboxes"])
def test_files_give_what_the_dicts_give(make_community, tmp_path, truth_format):
    community = make_community(8)
    write_contig2bin(tmp_path / "contig2bin.tsv", community.assignments)
    if truth_format == "tsv":
        write_contig2bin(tmp_path / "truth", community.truth)
    else:
        write_bioboxes(tmp_path / "truth", community.truth, sample="s", lengths=community.lengths)
    rows = [
        f"{name}\t{length}\t{'kept' if name in community.kept else 'too_short'}\t\n"
        for name, length in community.lengths.items()
    ]
    duplicate = "c0\t77\tduplicate_name\t\n"  # its name stands for the other record
    (tmp_path / "status.tsv").write_text("contig\tlength\tstatus\treason\n" + duplicate + "".join(rows))
    found = evaluate_files(
        contig2bin=tmp_path / "contig2bin.tsv", truth=tmp_path / "truth", status=tmp_path / "status.tsv"
    )
    expected = evaluate_binning(community.assignments, community.truth, community.lengths, kept=community.kept)
    pd.testing.assert_frame_equal(found.metrics, expected.metrics)
    pd.testing.assert_frame_equal(found.bins, expected.bins)
    with pytest.raises(KeyError):
        found.value("average_completeness", by="genome")


def test_odd_names_are_names(tmp_path):
    (tmp_path / "status.tsv").write_text('contig\tlength\tstatus\treason\nNA\t10\tkept\t\n"1\t20\tkept\t\n')
    (tmp_path / "truth.tsv").write_text('NA\t"g\n"1\t"g\n')
    (tmp_path / "bins.tsv").write_text("contig\tbin\nNA\tbin.1\n")
    found = evaluate_files(
        contig2bin=tmp_path / "bins.tsv", truth=tmp_path / "truth.tsv", status=tmp_path / "status.tsv"
    )
    assert found.value("completeness") == pytest.approx(1 / 3)
    found.write(metrics=tmp_path / "m.tsv", bins=tmp_path / "b.tsv", genomes=tmp_path / "g.tsv")
    assert (tmp_path / "b.tsv").read_text().splitlines()[1].startswith('bin.1\t"g\t1\t10\t')


@pytest.mark.shared
def test_the_truth_of_a_real_assembly(shared):
    truth = read_contig2bin(shared / "metagenomes/cpr_pair/gold_contig2genome.tsv")
    lengths = {
        record.name: len(record.sequence) for record in read_fasta(shared / "metagenomes/cpr_pair/assembly.fa.gz")
    }
    kept = {name for name, length in lengths.items() if length >= 2500}
    found = evaluate_binning({name: truth[name] for name in kept}, truth, lengths, kept=kept)
    assert found.value("genomes", by="contig") == 2  # "none" is no genome
    assert found.value("truth_not_in_assembly", by="contig") == 0
    assert found.value("bins_completeness_gt_90_contamination_lt_5") == 2
    assert found.value("average_completeness", unbinned="counted_kept") == 1
    assert found.value("average_completeness") < 1

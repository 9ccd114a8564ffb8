import dataclasses
import json

import pytest

from workflow_lib.errors import InputError
from workflow_lib.report import summarise_sample, write_summary
from workflow_lib.report.bin_table import bin_table
from workflow_lib.report.evaluation_summary import evaluation_summary
from workflow_lib.report.inputs import read_table, to_json
from workflow_lib.report.novelty_summary import call_group, novelty_summary, read_novelty
from workflow_lib.report.reads import read_filtering_table

LIBRARIES = {"lib1": "paired", "lib2": "single"}


def values_of(table, key):
    index = [column["key"] for column in table["columns"]].index(key)
    return [row[index] for row in table["rows"]]


def test_counts_and_statuses_add_up(maker):
    files = maker.make(n_contigs=60, n_bins=4, n_filtered=5)
    summary = summarise_sample("s1", files, libraries=LIBRARIES)
    counts = summary["counts"]
    assert (counts["contigs"], counts["kept"], counts["bins"]) == (65, 60, 4)
    table = read_table(files.contigs, numeric=("length",))
    assert counts["bp"] == table["length"].sum() == sum(row["bp"] for row in summary["statuses"])
    assert sum(row["contigs"] for row in summary["statuses"]) == 65
    assert counts["binned"] == sum(values_of(summary["bins"], "n_contigs"))
    assert counts["binned_bp"] == sum(values_of(summary["bins"], "length_bp"))
    assert [row[0] for row in summary["reasons"]] == ["its bin is too small"]
    assert summary["reasons"][0][1] == 60 - counts["binned"]
    assert json.loads(to_json(summary)) == summary


def test_points_belong_to_their_contigs(maker):
    files = maker.make(n_contigs=80, n_bins=3)
    points = summarise_sample("s1", files, max_points=30)["map"]
    assert points["total"] == 80
    assert len(set(points["contig"])) == len(points["x"]) == len(points["call"]) == 30
    bins = ["bin.1", "bin.2", "bin.3", ""]
    rows = read_table(files.contigs).set_index("contig").loc[points["contig"]]
    assert rows["bin"].tolist() == [bins[index] for index in points["bin"]]
    assert rows["length"].astype(int).tolist() == points["length"]
    novelty = read_table(files.novelty_contigs, numeric=("d1",)).set_index("query").loc[points["contig"]]
    assert [points["calls"][i] for i in points["call"]] == novelty["call"].str.replace("_", " ").tolist()
    assert points["d1"] == pytest.approx(novelty["d1"].tolist(), rel=1e-3)  # four significant digits are kept


def test_fewer_points_are_a_choice_of_contigs_not_another(maker):
    files = maker.make(n_contigs=50, n_bins=2)
    many = summarise_sample("s1", files, max_points=50)["map"]["contig"]
    few = summarise_sample("s1", files, max_points=20)["map"]["contig"]
    assert many[:20] == few


def test_same_input_gives_the_same_bytes(maker, tmp_path):
    files = maker.make(n_contigs=50)
    for name in ("a.json", "b.json"):
        write_summary(tmp_path / name, summarise_sample("s1", files, libraries=LIBRARIES))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(("n_contigs", "n_bins"), [(0, 0), (1, 0), (1, 1), (2, 1), (3, 0)])
@pytest.mark.parametrize("optional", [True, False])
def test_hardly_anything(maker, n_contigs, n_bins, optional):
    libraries = ("lib1",) if optional else ()
    files = maker.make(n_contigs=n_contigs, n_bins=n_bins, n_filtered=0, novelty=optional, truth=optional,
                       libraries=libraries)  # fmt: skip
    summary = summarise_sample("s1", files, libraries=dict.fromkeys(libraries, "paired"))
    assert len(summary["map"]["x"]) == n_contigs
    assert (summary["novelty"] is not None) == (summary["reads"] is not None) == optional
    assert json.loads(to_json(summary)) == summary


@pytest.mark.parametrize("optional", [True, False])
def test_no_bins_and_more_libraries_than_columns(maker, optional):
    libraries = tuple(f"lib{number}" for number in range(1, 6))
    files = maker.make(n_contigs=6, n_bins=0, novelty=optional, truth=optional, libraries=libraries)
    summary = summarise_sample("s1", files, libraries=dict.fromkeys(libraries, "paired"))
    assert summary["bins"]["rows"] == []
    assert "mean depth" in [column["label"] for column in summary["bins"]["columns"]]
    assert json.loads(to_json(summary)) == summary


def test_an_evaluation_without_rows_and_without_contamination(maker, tmp_path):
    (tmp_path / "bins.tsv").write_text("bin\tpurity\n")
    table, _ = bin_table(maker.make(n_contigs=3, n_bins=0).bins, evaluation=tmp_path / "bins.tsv")
    assert table["rows"] == []


def test_other_contigs_in_the_store_are_refused(maker):
    files = maker.make("one", n_contigs=20)
    other = maker.make("two", n_contigs=20)
    with pytest.raises(InputError, match="has 20 rows, the embeddings have 20"):
        summarise_sample("s1", dataclasses.replace(files, embeddings=other.embeddings))


def test_bins_of_another_run_are_refused(maker):
    files = maker.make(n_contigs=40, n_bins=3)
    table = files.bins.read_text().splitlines()
    files.bins.write_text("\n".join(table[:2]) + "\n")
    with pytest.raises(InputError, match="does not have"):
        summarise_sample("s1", files)
    without = dataclasses.replace(files, novelty_bins=None, evaluation_bins=None)
    with pytest.raises(InputError, match="is not in"):
        summarise_sample("s1", without)


def test_bin_table_joins_by_name_not_by_order(maker):
    files = maker.make(n_contigs=60, n_bins=5)
    lines = files.evaluation_bins.read_text().splitlines()
    files.evaluation_bins.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    table, depth = bin_table(files.bins, novelty=files.novelty_bins, evaluation=files.evaluation_bins)
    assert values_of(table, "bin") == [f"bin.{i}" for i in range(1, 6)]
    assert values_of(table, "genome") == [f"genome{i}" for i in range(5)]
    assert depth["libraries"] == ["lib1", "lib2"]
    assert values_of(table, "depth_lib2") == [row[1] for row in depth["values"]]


def test_many_libraries_are_one_column(maker):
    files = maker.make(n_contigs=30, n_bins=2, libraries=tuple(f"l{i}" for i in range(7)))
    table, depth = bin_table(files.bins)
    keys = [column["key"] for column in table["columns"]]
    assert "depth" in keys
    assert not any(key.startswith("depth_") for key in keys)
    assert values_of(table, "depth")[0] == pytest.approx(sum(depth["values"][0]) / 7, rel=1e-3)


def test_bins_table_lacking_a_column(maker):
    files = maker.make(n_contigs=10, n_bins=1)
    files.bins.write_text("bin\tn_contigs\nbin.1\t3\n")
    with pytest.raises(InputError, match="lacks the column length_bp, n50"):
        summarise_sample("s1", files)


def test_q_belongs_to_the_call(maker):
    files = maker.make(n_contigs=60)
    table = read_novelty(files.novelty_contigs)
    assert table["q"].notna().tolist() == [group in ("known", "novel") for group in table["group"]]
    species = table[table["call"] == "novel_species"]
    assert (species["q"] == species["q_species"]).all()
    known = table[table["call"] == "known"]
    assert (known["q"] == known["q_known"]).all()


def test_novelty_counts_every_contig_once(maker):
    files = maker.make(n_contigs=70)
    contigs, bins = read_novelty(files.novelty_contigs), read_novelty(files.novelty_bins)
    summary = novelty_summary(contigs, bins)
    assert sum(summary["counts"]["contigs"].values()) == sum(row["contigs"] for row in summary["calls"]) == 70
    assert sum(map(sum, summary["distances"]["counts"].values())) == 70
    for column in summary["p_values"]:
        assert sum(column["counts"]) == column["n"] == 70
    assert summary["alpha"] == 0.1
    calls = [row["call"] for row in summary["calls"]]
    assert calls == sorted(calls, key=["known", "ambiguous", "novel species", "novel genus", "abstain"].index)


@pytest.mark.parametrize(
    ("call", "group"),
    [
        ("known", "known"),
        ("novel_class", "novel"),
        ("novel", "novel"),
        ("ambiguous", "ambiguous"),
        ("abstain", "no call"),
    ],
)
def test_groups_of_calls(call, group):
    assert call_group(call) == group


def test_fastp_without_totals(tmp_path):
    path = tmp_path / "fastp.json"
    path.write_text('{"summary": {}}')
    with pytest.raises(InputError, match="before_filtering"):
        read_filtering_table({"lib": path})


def test_library_without_reads(tmp_path):
    totals = {"total_reads": 0, "total_bases": 0, "q30_rate": 0, "gc_content": 0}
    path = tmp_path / "fastp.json"
    path.write_text(json.dumps({"summary": {"before_filtering": totals, "after_filtering": totals}}))
    table = read_filtering_table({"lib": path})
    assert values_of(table, "reads_in") == [0]
    assert "kept" not in [column["key"] for column in table["columns"]]


def test_metrics_become_one_row_each(tmp_path):
    path = tmp_path / "metrics.tsv"
    path.write_text(
        "metric\tby\tunbinned\tvalue\nari\tbp\tcounted\t0.5\nari\tbp\tignored\t\nbins\tcontig\tcounted\t7\n"
    )
    found = evaluation_summary(path)
    assert found["settings"] == [["bp", "counted"], ["bp", "ignored"], ["contig", "counted"]]
    assert found["rows"] == [["ari", 0.5, None, None], ["bins", None, None, 7]]


def test_nearest_taxon_is_the_lowest_that_has_a_name(maker):
    files = maker.make(n_contigs=20, n_bins=2)
    text = files.novelty_bins.read_text()
    files.novelty_bins.write_text(text.replace("s__Escherichia coli", "d__Bacteria;p__Pseudomonadota;c__;s__"))
    table, _ = bin_table(files.bins, novelty=files.novelty_bins)
    assert values_of(table, "nearest_taxon") == ["p__Pseudomonadota"] * 2

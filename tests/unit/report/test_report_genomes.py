"""Genome clusters, the review of given bins and marker estimates on the report's page."""

from dataclasses import replace

import pytest

from workflow_lib.dereplicate.stage import COLUMNS
from workflow_lib.report import summarise_sample, write_report, write_summary
from workflow_lib.report.bin_table import bin_table
from workflow_lib.report.genomes import LEAST_BINS, LEAST_CONTIGS, LEAST_JUDGED, cluster_table, review_table
from workflow_lib.report.overview import overview_table
from workflow_lib.report.story import tell_story
from workflow_lib.review.contigs import MIN_BIN_CONTIGS, MIN_CONTIGS
from workflow_lib.review.genomes import MIN_BINS
from workflow_lib.review.outputs import BIN_COLUMNS

CLUSTERS = (
    "\t".join(COLUMNS)
    + """
cluster.1\ta.bin.1\tyes\ta\tbin.1\t3000000\t40\t90000\t{0}\t1\t1\t1
cluster.1\tb.bin.4\tno\tb\tbin.4\t2000000\t60\t40000\t{0}\t0.981\t0.97\t0.6
cluster.1\ta.bin.9\tno\ta\tbin.9\t500000\t10\t50000\t{0}\t0.975\t0.99\t0.2
cluster.2\tb.bin.1\tyes\tb\tbin.1\t2500000\t80\t30000\t{0}\t1\t1\t1
"""
)
BINS = (
    "\t".join(BIN_COLUMNS)
    + """
good\t40\t3000000\t40\t0\t0\t1\t5000\tone_genome\t0.4\t0.07\t\t
two\t60\t5000000\t60\t3\t20000\t0\t0\tsplit\t1e-9\t0.6\t22\t1900000
half\t20\t900000\t20\t0\t0\t0\t0\tone_genome\t0.5\t0.06\t\t
rest\t18\t800000\t18\t0\t0\t0\t0\tnot_judged\t\t\t\t
"""
)
MERGES = "bin_1\tbin_2\tlength_1\tlength_2\tdistance\tlimit\nhalf\trest\t900000\t800000\t0.02\t0.05\n"


def columns(table) -> list[str]:
    return [column["key"] for column in table["columns"]]


def test_clusters_without_and_with_quality(tmp_path):
    (tmp_path / "c.tsv").write_text(CLUSTERS.format("\t"))
    table = cluster_table(tmp_path / "c.tsv")
    assert columns(table) == ["representative", "length_bp", "n50", "bins", "sources", "least_ani"]
    assert table["rows"] == [["a.bin.1", 3000000, 90000, 3, 2, 0.975], ["b.bin.1", 2500000, 30000, 1, 1, None]]
    (tmp_path / "c.tsv").write_text(CLUSTERS.format("0.9\t0.02"))
    assert cluster_table(tmp_path / "c.tsv")["rows"][0][3:5] == [0.9, 0.02]


def test_no_clusters(tmp_path):
    (tmp_path / "c.tsv").write_text(CLUSTERS.split("\n")[0] + "\n")
    assert cluster_table(tmp_path / "c.tsv") == {"columns": [], "rows": [], "total": 0}


def write_review(folder):
    (folder / "bins.tsv").write_text(BINS)
    (folder / "merges.tsv").write_text(MERGES)
    return folder / "bins.tsv", folder / "merges.tsv"


def test_what_is_to_mend_comes_first(tmp_path):
    table = review_table(*write_review(tmp_path))
    assert [row[0] for row in table["rows"]] == ["two", "half", "rest", "good"]
    assert table["note"] == (
        "Of 4 bins that were given, 3 could be judged as a whole. 1 should be split and 1 pair merged. "
        "Of 138 contigs that could be judged, 3 fit another bin and not their own. The folder review/ names them."
    )
    verdict = columns(table).index("verdict")
    assert [row[verdict] for row in table["rows"]] == [
        "two genomes", "one genome", "not judged: too few contigs", "one genome",
    ]  # fmt: skip
    merged = columns(table).index("merge_with")
    assert [row[merged] for row in table["rows"]] == [None, "rest", "half", None]


FEW = "a\t40\t90000\t40\t2\t900\t0\t0\tnot_judged\t\t0.07\t\t\n"
NONE = "b\t3\t20000\t0\t\t\t\t\tnot_judged\t\t\t\t\n"


@pytest.mark.parametrize(
    ("rows", "words", "verdicts"),
    [
        (FEW, "Of 40 contigs that could be judged, 2 fit another bin", ["not judged: too few bins"]),
        (NONE, "Nor could any contig be judged", ["not judged: too few contigs"]),
        (FEW + NONE, "None of the 2 bins that were given", ["not judged: too few bins", "not judged: too few contigs"]),
        ("", "hold no contig of this sample", []),
    ],
)
def test_what_could_not_be_judged_is_told_without_zeros(tmp_path, rows, words, verdicts):
    (tmp_path / "bins.tsv").write_text("\t".join(BIN_COLUMNS) + "\n" + rows)
    (tmp_path / "merges.tsv").write_text(MERGES.split("\n")[0] + "\n")
    table = review_table(tmp_path / "bins.tsv", tmp_path / "merges.tsv")
    assert words in table["note"]
    assert " 0 " not in f" {table['note']}" and "should be split" not in table["note"]
    assert [row[columns(table).index("verdict")] for row in table["rows"]] == verdicts
    if rows == NONE:
        assert "misplaced" not in columns(table)


def test_the_least_that_is_judged_is_told_as_it_is():
    assert (LEAST_BINS, LEAST_CONTIGS, LEAST_JUDGED) == (MIN_BINS, MIN_BIN_CONTIGS, MIN_CONTIGS)


def test_estimates_stand_beside_the_truth(maker, tmp_path):
    files = maker.make(n_bins=3)
    (tmp_path / "q.tsv").write_text("bin\tcompleteness\tcontamination\nbin.1\t0.9\t0.1\nbin.3\t0.5\t0\n")
    table, _ = bin_table(files.bins, evaluation=files.evaluation_bins, quality=tmp_path / "q.tsv")
    at = columns(table).index("marker_completeness")
    assert [row[at] for row in table["rows"]] == [0.9, None, 0.5]
    assert "completeness" in columns(table)


def test_good_bins_by_marker_genes_are_counted(maker, tmp_path):
    files = maker.make(n_bins=3)
    (tmp_path / "q.tsv").write_text("bin\tcompleteness\tcontamination\nbin.1\t0.95\t0.01\nbin.3\t0.6\t0.08\n")
    summary = summarise_sample("s1", replace(files, quality=tmp_path / "q.tsv"))
    words = "By their genes 1 of the bins is over 90% complete and under 5% contaminated, 2 over 50% and under 10%."
    assert words in tell_story(summary)
    table = overview_table([summary | {"warnings": []}])
    assert table["rows"][0][columns(table).index("high_quality_markers")] == 1
    without = summarise_sample("s1", files)
    assert not any("By their genes" in sentence for sentence in tell_story(without))
    assert "high_quality_markers" not in columns(overview_table([without | {"warnings": []}]))


def test_the_page_has_both(maker, tmp_path):
    files = maker.make(n_bins=2)
    bins, merges = write_review(tmp_path)
    (tmp_path / "c.tsv").write_text(CLUSTERS.format("\t"))
    plain = summarise_sample("s1", files)
    assert plain["review"] is None
    summary = summarise_sample("s1", replace(files, review_bins=bins, review_merges=merges))
    write_summary(tmp_path / "s1.json", summary)
    write_report(tmp_path / "r.html", [tmp_path / "s1.json"], title="t", configuration={}, clusters=tmp_path / "c.tsv")
    page = (tmp_path / "r.html").read_text()
    assert 'id="genomes"' in page and 'id="review-block"' in page and "a.bin.1" in page
    write_summary(tmp_path / "s1.json", plain)
    write_report(tmp_path / "r.html", [tmp_path / "s1.json"], title="t", configuration={})
    page = (tmp_path / "r.html").read_text()
    assert 'id="genomes"' not in page and 'id="review-block"' not in page

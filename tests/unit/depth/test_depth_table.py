"""Depth tables: ours, MetaBAT's and CoverM's come in the same; whatever does not fit is told with its line."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest

from workflow_lib.depth.table import merge_depth, read_depth_table, write_depth
from workflow_lib.errors import InputError

NAMES, LENGTHS = ["k2", "k1"], [2000, 1000]
OURS = "contig\tlength\tlib\tlib-var\nk1\t1000\t1.5\t0.25\nk2\t2000\t3\t4\n"
METABAT = (
    "contigName\tcontigLen\ttotalAvgDepth\ta.bam\ta.bam-var\tb.bam\tb.bam-var\n"
    "k1 flag=1\t1000\t9\t1.5\t0.25\t5\t6\nother\t7\t0\t0\t0\t0\t0\nk2 flag=0\t2000\t9\t3\t4\t7\t8\n"
)
ONE_METABAT = "contigName\tcontigLen\ttotalAvgDepth\ta.bam\ta.bam-var\nk1\t1000\t1.5\t1.5\t0.25\nk2\t2000\t3\t3\t4\n"
NO_VARIANCE = "contigName\tcontigLen\ttotalAvgDepth\ta.bam\nk1\t1000\t1.5\t1.5\nk2\t2000\t3\t3\n"
COVERM = "Contig\ts/a.bam Mean\ts/a.bam Variance\nk1\t1.5\t0.25\nk2\t3\t4\n"
COVERM_LENGTHS = (
    "Contig\ta Mean\ta Variance\ta Length\nk1\t1.5\t0.25\t1000\nk2\t3\t4\t2000\n",
    "Contig\tlength\ta Mean\ta Variance\nk1\t1000\t1.5\t0.25\nk2\t2000\t3\t4\n",
)
COVERM_MORE = (
    "Contig\ta Read Count\ta Trimmed Mean\ta Mean\ta Variance\tb Read Count\tb Trimmed Mean\tb Mean\tb Variance\n"
    "k1\t99\t98\t1.5\t0.25\t99\t98\t5\t6\nk2\t99\t98\t3\t4\t99\t98\t7\t8\n"
)


@pytest.fixture
def read(tmp_path):
    def read(text: str | bytes, names=NAMES, lengths=LENGTHS, library: str = "lib"):
        path = tmp_path / "depth.tsv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_depth_table(path, names, lengths, library=library)

    return read


@pytest.mark.parametrize("text", [OURS, ONE_METABAT, COVERM, *COVERM_LENGTHS])
@pytest.mark.parametrize("change", ["as_is", "crlf", "gzip", "no_end", "bom", "blank_lines"])
def test_one_library_of_any_layout(read, text, change):
    content = {
        "as_is": text.encode(),
        "crlf": text.replace("\n", "\r\n").encode(),
        "gzip": gzip.compress(text.encode()),
        "no_end": text.rstrip("\n").encode(),
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "blank_lines": text.replace("\n", "\n\n").encode(),
    }[change]
    columns = read(content)
    assert list(columns) == ["lib"]
    mean, variance = columns["lib"]
    assert (mean.tolist(), variance.tolist()) == ([3, 1.5], [4, 0.25])


@pytest.mark.parametrize(("text", "labels"), [(METABAT, ["a", "b"]), (COVERM_MORE, ["a", "b"])])
def test_several_libraries_keep_their_columns(read, text, labels):
    columns = read(text)
    assert list(columns) == [f"lib.{label}" for label in labels]
    assert columns["lib.b"][0].tolist() == [7, 5]
    assert columns["lib.b"][1].tolist() == [8, 6]


def test_a_missing_variance_is_not_available(read):
    mean, variance = read(NO_VARIANCE)["lib"]
    assert mean.tolist() == [3, 1.5]
    assert np.isnan(variance).all()


def test_metabats_rounded_lengths_agree(read):
    text = "contigName\tcontigLen\ttotalAvgDepth\ta\ta-var\nk1\t1.23457e+06\t1\t1\t1\n"
    assert read(text, ["k1"], [1234567])["lib"][0].tolist() == [1]


def test_no_contigs_asked_for(read):
    assert read(METABAT, [], [])["lib.a"][0].shape == (0,)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "no depth table that is known"),
        ("contig length lib lib-var\n", 1, "columns are separated by tabs"),
        ("contig\tbin\nk1\tbin.1\n", 2, "found 'bin.1' in column bin"),
        ("Contig\ta TPM\nk1\t5\n", 1, "no depth table that is known"),
        ("contig\ta Read Count\ta Variance\nk1\t5\t5\n", 1, "no depth table that is known"),
        ("contigname\ta\nk1\t5\n", 1, "`contig` first, `length` if there are lengths, then a column of mean coverage"),
        ("k1\t5\n", 1, "any other (VAMB, MaxBin2, samtools, bedtools) can be made one"),
        ("contigName\tcontigLen\ttotalAvgDepth\nk1\t1000\t5\n", 1, "no depth table that is known"),
        (OURS + "k1\t1000\t2\t2\n", 4, "contig k1 has a row already, line 2"),
        (OURS.replace("k1\t1000", "k1\t1001"), 2, "contig k1 is 1001 bp here and 1,000 bp in the assembly"),
        (OURS.replace("k1\t1000", "k1\tx"), 2, "found 'x' in column length"),
        (OURS.replace("k1\t1000", "k1\t1,000"), 2, "found '1,000' in column length"),
        (OURS.replace("1.5", "1_000"), 2, "found '1_000' in column lib,"),
        (OURS.replace("1.5", "nan"), 2, "found 'nan' in column lib,"),
        (OURS.replace("1.5", "-1"), 2, "found '-1' in column lib,"),
        (OURS.replace("1.5", ""), 2, "found '' in column lib,"),
        (OURS.replace("0.25", "inf"), 2, "found 'inf' in column lib-var"),
        (OURS.replace("\t0.25", ""), 2, "3 fields, expected 4"),
        (OURS.replace("k2", "k9"), None, "1 of 2 contigs are not in this table, among them: k2"),
        (METABAT.replace("b.bam", "a"), 1, "several columns have the same name"),
    ],
)
def test_faults_are_told_with_their_line(read, text, line, words):
    with pytest.raises(InputError) as caught:
        read(text)
    assert words in str(caught.value)
    if line:
        assert caught.value.line == line
    of_another_assembly = " bp here" in words or "not in this table" in words
    assert ("each sample a group of its own" in str(caught.value)) == of_another_assembly


def test_round_trip_with_six_digits(read, tmp_path):
    mean, variance = np.array([1 / 3, 123456.7]), np.array([2e-7, np.nan])
    path = tmp_path / "out/depth.tsv"
    write_depth(path, NAMES, LENGTHS, {"x": (mean, variance)})
    text = path.read_text()
    assert text == "contig\tlength\tx\tx-var\nk2\t2000\t0.333333\t2e-07\nk1\t1000\t123457\t\n"
    again = read(text)["lib"]
    np.testing.assert_allclose(again[0], mean, rtol=5e-6)  # six digits
    np.testing.assert_allclose(again[1], variance, rtol=5e-6)


OWN_NAMES = "S1 S1_sd S1_reads reads GC SD len var S1.var variance coverage depth totalAvgDepth Contig"


@pytest.mark.parametrize("known", [True, False])
def test_depth_tsv_is_read_whatever_its_libraries_are_called(read, tmp_path, caplog, known):
    names = OWN_NAMES.split()
    values = {name: (np.full(2, float(i)), np.full(2, i + 0.5 if known else np.nan)) for i, name in enumerate(names)}
    write_depth(tmp_path / "own.tsv", NAMES, LENGTHS, values)
    columns = read((tmp_path / "own.tsv").read_bytes())
    assert list(columns) == [f"lib.{name}" for name in names]
    np.testing.assert_array_equal([columns[f"lib.{name}"] for name in names], list(values.values()))
    assert not caplog.records


@pytest.fixture
def write(tmp_path):
    def write(name: str, names=NAMES, lengths=LENGTHS, columns=None) -> str:
        path = tmp_path / f"{name}.tsv"
        values = (np.arange(len(names), dtype=float), np.ones(len(names)))
        write_depth(path, names, lengths, dict.fromkeys(columns or [name], values))
        return str(path)

    return write


def test_merging_keeps_the_order_of_libraries_and_contigs(write, tmp_path):
    merge_depth([write("b"), write("a", columns=["a.x", "a.y"])], tmp_path / "depth.tsv")
    lines = (tmp_path / "depth.tsv").read_text().splitlines()
    assert lines[0] == "contig\tlength\tb\tb-var\ta.x\ta.x-var\ta.y\ta.y-var"
    assert lines[1:] == ["k2\t2000\t0\t1\t0\t1\t0\t1", "k1\t1000\t1\t1\t1\t1\t1\t1"]


def test_merging_no_contigs_gives_the_header(write, tmp_path):
    merge_depth([write("a", [], []), write("b", [], [])], tmp_path / "depth.tsv")
    assert (tmp_path / "depth.tsv").read_text() == "contig\tlength\ta\ta-var\tb\tb-var\n"


@pytest.mark.parametrize(
    ("names", "lengths", "columns", "words"),
    [
        (["k1", "k2"], [1000, 2000], ["b"], "contigs differ"),
        (NAMES, [2000, 1001], ["b"], "contigs differ"),
        (["k2"], [2000], ["b"], "different numbers of contigs"),
        (NAMES, LENGTHS, ["a"], "column a comes from several"),
    ],
)
def test_tables_that_do_not_fit_are_not_merged(write, tmp_path, names, lengths, columns, words):
    with pytest.raises(InputError, match=words):
        merge_depth([write("a"), write("b", names, lengths, columns)], tmp_path / "depth.tsv")
    assert not (tmp_path / "depth.tsv").exists()


def foreign(columns: str, *, key: str = "contig") -> str:
    """A table of two contigs put together elsewhere, with a number in each of `columns`, lengths where they are."""
    names = columns.split()
    is_length = [bool(re.match("(contig_|seq-)?len", name, re.IGNORECASE)) for name in names]
    rows = [[str(length) if is_one else "7" for is_one in is_length] for length in (1000, 2000)]
    lines = [[key, *names], ["k1", *rows[0]], ["k2", *rows[1]]]
    return "".join("\t".join(line) + "\n" for line in lines)


@pytest.mark.parametrize(
    "columns", ["Length a", "len a", "a length_bp", "LEN(bp) a", "a contig_length", "a seq-len", "a"]
)
@pytest.mark.parametrize("key", ["contig", "contigName"])
def test_lengths_by_any_name_are_no_library(read, columns, key):
    assert list(read(foreign(columns, key=key))) == ["lib"]
    assert read(foreign(columns, key=key))["lib"][0].tolist() == [7, 7]
    if columns != "a":
        with pytest.raises(InputError, match="contig k1 is 1000 bp here and 1,001 bp in the assembly"):
            read(foreign(columns, key=key), ["k1"], [1001])


NO_DEPTH = (
    "GC gc_content Reads numreads read_count counts mapped_count covbases covered_fraction breadth startpos endpos "
    "meanmapq std SD variance a-sd a.bam.var a_variance a.bam-Var len size"
)


@pytest.mark.parametrize("column", NO_DEPTH.split())
def test_columns_that_are_no_depth_are_refused_by_name(read, column):
    with pytest.raises(InputError, match=f"column {column} is not the mean coverage of a library"):
        read(foreign(f"length a a.bam {column}"))


@pytest.mark.parametrize(
    "column", ["GC1", "gut_reads", "counts.bam", "b-sd", "wt-var", "reads_1", "standard", "lib.len"]
)
def test_libraries_may_be_called_nearly_so(read, column):
    assert list(read(foreign(f"length a {column}"))) == ["lib.a", f"lib.{column.removesuffix('.bam')}"]


def check(columns: dict, expected: str):
    """Libraries and whether they have a variance; means are 5 and variances 6, so that none is taken for the other."""
    found = [name + ("" if np.isnan(variance).all() else ":var") for name, (_, variance) in columns.items()]
    assert " ".join(found) == expected
    assert all((mean == 5).all() for mean, _ in columns.values())
    assert all((np.isnan(variance) | (variance == 6)).all() for _, variance in columns.values())


OTHERS = (" trimmed mean", "covered ", "read count", "tpm", "some")


def table_of(columns: str, *, key: str = "contig") -> str:
    """A table of k2 and k1, columns parted by commas: the length, 6 for a variance, 99 for CoverM's others, else 5."""
    names = columns.split(",")
    rows = []
    for contig, length in zip(NAMES, LENGTHS, strict=True):
        known = {"length": length, "var": 6} | dict.fromkeys(OTHERS, 99)
        values = [next((known[word] for word in known if word in name.lower()), 5) for name in names]
        rows.append("\t".join([contig, *map(str, values)]))
    return "\n".join(["\t".join([key, *names]), *rows]) + "\n"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("A Mean,A Variance", "lib:var"),
        ("length,A Mean,A Variance", "lib:var"),
        ("A Mean,A Mean-var,B Mean,C", "lib.A:var lib.B lib.C"),
        ("A Mean,A Length,A Variance", "lib:var"),
        ("A Mean,A Variance,A Length,B Mean,B Variance,B Length", "lib.A:var lib.B:var"),
        ("A Mean,A Trimmed Mean,A Covered Fraction,A Read Count,A TPM,A Some New Measure", "lib"),
        ("A_trimmed Mean,A_trimmed Variance,B Mean", "lib.A_trimmed:var lib.B"),
        ("length,A", "lib"),
    ],
)
@pytest.mark.parametrize("key", ["contig", "Contig", "contigName"])
def test_coverms_columns_are_known_whatever_the_first_is_called(read, columns, expected, key):
    check(read(table_of(columns, key=key)), expected)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("A_mean,A_var", "lib:var"),
        ("A_mean,A_variance,B", "lib.A:var lib.B"),
        ("mean_A,var_A,B", "lib.A:var lib.B"),
        ("mean_depth_A,var_A,B", "lib.A:var lib.B"),
        ("A.bam_cov,A.bam_var,B", "lib.A:var lib.B"),
        ("A_depth,A_depth_var,B", "lib.A:var lib.B"),
        ("depth,variance", "lib:var"),
        ("A_mean,A_mean-var,B", "lib.A_mean:var lib.B"),
    ],
)
def test_a_mean_and_its_variance_are_one_library(read, columns, expected):
    check(read(table_of(columns)), expected)


@pytest.mark.parametrize(
    ("columns", "faults"),
    [
        (
            "Avg_fold,Length,Ref_GC,Covered_percent,Covered_bases,Plus_reads,Minus_reads,Read_GC,Median_fold,Std_Dev",
            "Ref_GC, Covered_percent, Covered_bases, Plus_reads, Minus_reads, Read_GC, Median_fold, Std_Dev",
        ),
        ("length,GC,cov_mean_sample_A,percentage_covered_sample_A", "GC, percentage_covered_sample_A"),
        ("length,mapped,unmapped", "mapped, unmapped"),
        ("length,coverage,meandepth", "coverage"),
        ("A_mean,A_coverage,A_meandepth", "A_coverage"),
        ("A,A_count,A_covered_fraction,A_GC,sd_A,A var", "A_count, A_covered_fraction, A_GC, sd_A, A var"),
        ("A.bam,A_reads,A_median", "A_reads, A_median"),
        ("A_mean,A_mean-var,A_var", "A_var"),
        ("A_mean,A_depth,A_var", "A_var"),
        ("A_mean,A_var,A_variance", "A_variance"),
        ("A_variance,B_variance", "A_variance, B_variance"),
        ("A_read_count,covered_bases_B,B_GC_content", "A_read_count, covered_bases_B, B_GC_content"),
        ("A Mean,A_sd", "A_sd"),
    ],
)
def test_all_columns_that_are_no_depth_are_told_at_once(read, columns, faults):
    plural = "columns" if "," in faults else "column"
    verb = "are" if "," in faults else "is"
    with pytest.raises(InputError) as caught:
        read(table_of(columns))
    assert f"{plural} {faults} {verb} not the mean coverage of a library" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("sd_01,GC-17,counts1,mean1,low_GC_soil,reads_1,gc_3.bam,depth_10m,depth_20m,week_start,week_end", ""),
        ("mean_1,mean_2,cov_mean_sample_B,long_read,short_read", ""),
        ("A_reads,B_reads", "A_reads, B_reads"),
        ("A,soil_GC,host_unmapped", "soil_GC, host_unmapped"),
        ("reads,reads-var,A_reads,A_reads-var,A", ""),
    ],
)
def test_names_of_samples_are_libraries_and_doubtful_ones_are_told(read, caplog, columns, told):
    names = [name for name in columns.split(",") if not name.endswith("-var")]
    assert list(read(table_of(columns))) == [f"lib.{name.removesuffix('.bam')}" for name in names]
    assert [record.message.partition("make sure that they are mean coverage: ")[2] for record in caplog.records] == (
        [told] if told else []
    )


def test_lengths_in_disguise_are_refused(read):
    text = "contig\ta\tx\nk1\t5\t1000\nk2\t6\t2000\n"
    with pytest.raises(InputError, match="column x holds the lengths of the contigs"):
        read(text)
    with pytest.raises(InputError, match="columns x, y hold the lengths of the contigs"):
        read("contig\ta\tx\ty\nk1\t5\t1000\t1000\nk2\t6\t2000\t2000\n")
    assert read(text, ["k1"], [1000])["lib.x"][0].tolist() == [1000]
    assert read(text.replace("2000", "2001"))["lib.x"][0].tolist() == [2001, 1000]


@pytest.mark.parametrize(
    ("text", "assembly", "told"),
    [(COVERM, ["k1", "k2"], False), (COVERM + "k3\t1\t1\n", ["k1", "k2", "k3"], False),
     (COVERM + "k3\t1\t1\n", ["k1", "k2"], True), (METABAT, ["k1", "k2"], False), (COVERM + "k3\t1\t1\n", [], False)],
)  # fmt: skip
def test_rows_of_no_contig_are_told_where_no_lengths_tell_the_assembly(tmp_path, caplog, text, assembly, told):
    path = tmp_path / "depth.tsv"
    path.write_text(text)
    read_depth_table(path, NAMES, LENGTHS, library="lib", assembly=set(assembly))
    assert ("1 rows are of no contig of the assembly" in caplog.text) == told


def test_without_lengths_a_table_is_of_one_assembly(tmp_path):
    path = tmp_path / "depth.tsv"
    path.write_text(COVERM)
    with pytest.raises(InputError, match="no lengths tell of which of the 2 assemblies"):
        read_depth_table(path, NAMES, LENGTHS, library="lib", n_assemblies=2)
    for text in (OURS, *COVERM_LENGTHS):
        path.write_text(text)
        assert list(read_depth_table(path, NAMES, LENGTHS, library="lib", n_assemblies=2)) == ["lib"]
    path.write_text(COVERM_LENGTHS[0].replace("2000", "2001"))
    with pytest.raises(InputError, match="contig k2 is 2001 bp here"):
        read_depth_table(path, NAMES, LENGTHS, library="lib", n_assemblies=2)

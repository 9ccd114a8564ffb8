"""Contig-to-bin tables as they come: TSV with or without a header, MaxBin's blanks, CRLF, gzip, CAMI bioboxes."""

import gzip

import pytest

from workflow_lib.contig2bin import read_bins, read_contig2bin, write_bioboxes, write_contig2bin
from workflow_lib.errors import InputError

EXPECTED = {"c1": "bin.1", "c2": "bin.2"}


@pytest.mark.parametrize(
    "text",
    [
        "c1\tbin.1\nc2\tbin.2\n",
        "contig\tbin\nc1\tbin.1\nc2\tbin.2\n",
        "SequenceID\tgenome\nc1\tbin.1\nc2\tbin.2",
        "c1 \t bin.1\nc2 \t bin.2\n",
        "c1\tbin.1\r\nc2\tbin.2\r\n",
        "\ufeffcontig\tbin\nc1\tbin.1\nc2\tbin.2\n",
        "c1\tbin.1\t1500\t0.9\nc2\tbin.2\t99\t\n",
        "c1 a description\tbin.1\nc2 flag=1\tbin.2\n",
        "\nc1\tbin.1\n\n  \nc2\tbin.2\n\n",
        "c1\tbin.1\nc2\tbin.2\nc1\tbin.1\n",
        "@Version:0.9.1\n@SampleID:s\n\n@@SEQUENCEID\tBINID\nc1\tbin.1\nc2\tbin.2\n",
        "@Version:0.9.1\n@SampleID:s\n@@BINID\tLENGTH\tSEQUENCEID\nbin.1\t10\tc1\nbin.2\t20\tc2\n",
        "# made by a program\n#\tby hand\nc1\tbin.1\n# half way\nc2\tbin.2\n",
        "#CAMI Format for Binning\n@Version:0.9.1\n@SampleID:s\n@@SEQUENCEID\tBINID\nc1\tbin.1\nc2\tbin.2\n",
        "bin\tcontig_name\nbin.1\tc1\nbin.2\tc2\n",
        "@Version:0.9.0\n@SampleID:s\n@@SEQUENCEID\tBINID\t_LENGTH\r\nc1\tbin.1\t10\r\nc2\tbin.2\t20\r\n",
    ],
    ids=["plain", "header", "other header", "maxbin blanks", "crlf", "byte order mark", "further columns",
         "descriptions", "empty lines", "row twice", "bioboxes", "bioboxes columns", "comments",
         "bioboxes comment", "bin first", "bioboxes crlf"],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True], ids=["text", "gzip"])
def test_every_shape_reads_the_same(tmp_path, text, packed):
    path = tmp_path / "table"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert read_contig2bin(path) == EXPECTED


@pytest.mark.parametrize(
    "header",
    ["scaffold_id", "contig_name", "sequence_id", "Contig ID", "contigs", "scaffold", "SeqID", "name", "sequence.name"],
)
def test_headers_as_programs_write_them(tmp_path, header):
    path = tmp_path / "table"
    path.write_text(f"{header}\tbin\nc1\tbin.1\nc2\tbin.2\n")
    assert read_contig2bin(path) == read_contig2bin(path, {"c1", "c2"}) == EXPECTED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bin.1\tc1\nbin.2\tc2\n", EXPECTED),
        ("bin.1\tc1 flag=1\nbin.2\tc2\n", EXPECTED),
        ("c1\tbin.1\nc2\tbin.2\n#c1\tbin.7\n", EXPECTED),
        ("contig\tbin.1\nc2\tbin.2\n", {"contig": "bin.1", "c2": "bin.2"}),
        ("#c\tbin.1\nc2\tbin.2\n", {"#c": "bin.1", "c2": "bin.2"}),
        ("c1\tc2\nc2\tc1\n", {"c1": "c2", "c2": "c1"}),
        ("x1\tbin.1\nx2\tbin.2\n", {"x1": "bin.1", "x2": "bin.2"}),
        ("node\tcluster\nc1\tbin.1\nc2\tbin.2\n", EXPECTED),
        ("node\tlength\tcluster\nc1\t1500\tbin.1\nc2\t99\tbin.2\n", EXPECTED),
        ("cluster\tmember\tlength\nbin.1\tc1\t1500\nbin.2\tc2\t99\n", EXPECTED),
        ("cluster\tmember\nbin.1\tc1\nbin.2\tc2\n", EXPECTED),
        ("@c\tbin.1\nc2\tbin.2\n@other\tbin.3\n", {"@c": "bin.1", "c2": "bin.2"}),
        ("c1\tc2\nx\tc2\n", {"c1": "c2", "x": "c2"}),
        ("# name\trun7\nbin.1\tc1\nbin.2\tc2\n", EXPECTED),
        ("# contig\tbin\nbin.1\tc1\nbin.2\tc2\n", EXPECTED),
        ("c1\tbin.1\n#bin\tcontig\nc2\tbin.2\n", EXPECTED),
        ("c1\tbin.1\t0.9\nc2\t7\t0.8\n", {"c1": "bin.1", "c2": "7"}),
    ],
)
def test_the_names_of_contigs_help_to_read(tmp_path, text, expected):
    path = tmp_path / "table"
    path.write_text(text)
    assert read_contig2bin(path, {"c1", "c2", "contig", "#c", "@c"}) == expected


def test_a_contig_whose_name_begins_with_a_number_sign_is_written_and_read(tmp_path):
    write_contig2bin(tmp_path / "c2b.tsv", {"#1": "bin.1"})
    assert read_contig2bin(tmp_path / "c2b.tsv") == {"#1": "bin.1"}


@pytest.mark.parametrize(
    "text",
    [
        "Contig\tLength\tBin\nc1\t1500\tbin.1\nc2\t99\tbin.2\n",
        "bin_id\tlength\tcontig_id\nbin.1\t1500\tc1\nbin.2\t99\tc2\n",
        "\tcontig\tbin\n0\tc1\tbin.1\n1\tc2\tbin.2\n",
        "\tcontig\tassigned\n0\tc1\tbin.1\n1\tc2\tbin.2\n",
        "name\tlength\tcluster\nc1\t1500\tbin.1\nc2\t99\tbin.2\n",
        "contig\tbin\rc1\tbin.1\rc2\tbin.2\r",
        '"contig"\t"bin"\n"c1"\t"bin.1"\n"c2"\t"bin.2"\n',
        "sample\tcontig\tassignment\ns\tc1\tbin.1\ns\tc2\tbin.2\n",
        "contig\tgenome\tbin\nc1\tg1\tbin.1\nc2\tg1\tbin.2\n",
        "contig\tassignment\tbin\nc1\tunique\tbin.1\nc2\tunique\tbin.2\n",
        "contig\tgenome\tcluster\nc1\tbin.1\t95_1\nc2\tbin.2\t95_1\n",
        "# made by x\n#CONTIG\tLENGTH\tBIN\nc1\t1500\tbin.1\nc2\t99\tbin.2\n",
        "#bin\tcontig\nbin.1\tc1\nbin.2\tc2\n",
        "##bin\tcontig\n# more\twords\nbin.1\tc1\nbin.2\tc2\n",
        "# contig\tlength\ncontig\tbin\nc1\tbin.1\nc2\tbin.2\n",
        "#anonymous_contig_id\tgenome_id\ttax_id\tcontig_id\nc1\tbin.1\t562\tNC_1\nc2\tbin.2\t562\tNC_1\n",
        "# contig\tof each\ncontig\tlength\tbin\nc1\t1500\tbin.1\nc2\t99\tbin.2\n",
    ],
    ids=[
        "length between",
        "bin, length, contig",
        "index",
        "index, other bin",
        "name",
        "CR alone",
        "quoted",
        "assignment",
        "genome and bin",
        "assignment and bin",
        "genome and cluster",
        "number sign",
        "number sign, bin first",
        "number signs and words",
        "number sign, no bin",
        "CAMI mapping",
        "number sign and header",
    ],
)
@pytest.mark.parametrize("contigs", [None, {"c1", "c2"}], ids=["unknown", "known"])
def test_the_columns_that_a_header_names_are_read(tmp_path, text, contigs):
    path = tmp_path / "table"
    path.write_bytes(text.encode())
    assert read_contig2bin(path, contigs) == EXPECTED


@pytest.mark.parametrize(
    "rows",
    [
        "c1\t1500\tbin.1\nc2\t1.2e+06\tbin.2\n",
        "s\tc1\tbin.1\ns\tc2\tbin.2\n",
        "bin.1\tc1\tc2\n",
        "bin.1\tc1\nbin.2\tc2\tc3\n",
        "what\tever\tthis\nc1\t1500\tbin.1\n",
    ],
)
def test_columns_that_nothing_tells_are_refused(tmp_path, rows):
    path = tmp_path / "table"
    path.write_text(rows)
    with pytest.raises(InputError, match="no header that tells which column is of bins"):
        read_contig2bin(path, {"c1", "c2", "c3"})


@pytest.mark.parametrize(
    "rows", ["c1\tbin.1\t0.9\nc2\tbin.2\t0.8\n", "bin.1\tc1\t\nbin.2\tc2\t\n", "c1\tbin.1\nc2\tbin.2\t7\n"]
)
def test_further_columns_behind_the_bins_do_no_harm(tmp_path, rows):
    path = tmp_path / "table"
    path.write_text(rows)
    assert read_contig2bin(path, {"c1", "c2"}) == EXPECTED


def test_a_truth_may_have_further_columns_behind_numbers(tmp_path):
    (tmp_path / "truth").write_text("c1\t562\tx\nc2\t1280\tx\n")
    assert read_contig2bin(tmp_path / "truth") == {"c1": "562", "c2": "1280"}


@pytest.mark.parametrize("text", ["", "contig\tbin\n", "@Version:0.9.1\n@SampleID:s\n\n@@SEQUENCEID\tBINID\n"])
def test_no_rows_are_no_assignments(tmp_path, text):
    path = tmp_path / "table"
    path.write_text(text)
    assert read_contig2bin(path) == {}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("c1\tbin.1\nc1\tbin.2\n", 2, "'c1' stands in 'bin.2' and in 'bin.1'"),
        ("c1\tbin.1\nc2 bin.2\n", 2, "separated by a tab"),
        ("contig,bin\nc1,bin.1\n", 1, "write tabs for commas"),
        ("contig\tbin\nc1\t\n", 2, "expected a contig and a bin"),
        ("contig\tbin\n\tbin.1\n", 2, "expected a contig and a bin"),
        ("@Version:0.9.1\n@SampleID:s\n@@SEQUENCEID\tTAXID\nc1\t9606\n", 3, "expected SEQUENCEID and BINID"),
        ("@@SEQUENCEID\tBINID\nc1\tb1\n@@BINID\tSEQUENCEID\nb2\tc2\n", 3, "in another order than above"),
        ("contig\tlength\tassigned\nc1\t1500\tb1\n", 1, "names no column of bins"),
        ("contig\tscore\nc1\t0.9\n", 1, "names no column of bins"),
    ],
    ids=["two bins", "no tab", "commas", "no bin", "no contig", "no BINID", "two headers", "no bin named", "a score"],
)
def test_faults_name_file_and_line(tmp_path, text, line, words):
    path = tmp_path / "table"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_contig2bin(path)
    assert f"{path}, line {line}: " in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.tsv: no such file"):
        read_contig2bin(tmp_path / "absent.tsv")


def test_truncated_gzip_is_an_error(tmp_path):
    packed = gzip.compress("".join(f"c{number}\tbin.{number % 97}\n" for number in range(1000)).encode())
    (tmp_path / "cut.tsv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"cut\.tsv\.gz: the gzip data end early"):
        read_contig2bin(tmp_path / "cut.tsv.gz")


def test_what_is_written_reads_the_same(tmp_path):
    write_contig2bin(tmp_path / "c2b.tsv", EXPECTED)
    assert (tmp_path / "c2b.tsv").read_bytes() == b"contig\tbin\nc1\tbin.1\nc2\tbin.2\n"
    assert read_contig2bin(tmp_path / "c2b.tsv") == EXPECTED
    write_bioboxes(tmp_path / "s.binning", EXPECTED, sample="s")
    assert (tmp_path / "s.binning").read_text() == (
        "@Version:0.9.1\n@SampleID:s\n\n@@SEQUENCEID\tBINID\nc1\tbin.1\nc2\tbin.2\n"
    )
    assert read_contig2bin(tmp_path / "s.binning") == EXPECTED


def test_lengths_make_a_gold_standard(tmp_path):
    write_bioboxes(tmp_path / "gold", EXPECTED, sample="s", lengths={"c2": 20, "c1": 10})
    assert (tmp_path / "gold").read_text().splitlines()[-2:] == ["c1\tbin.1\t10", "c2\tbin.2\t20"]
    assert read_contig2bin(tmp_path / "gold") == EXPECTED


@pytest.mark.shared
def test_a_published_maxbin_table(shared):
    path = shared / "metagenomes/infant_gut_N5/maxbin2.tsv"
    assignments = read_contig2bin(path)
    assert len(assignments) == len(path.read_text().splitlines())
    assert not [word for pair in assignments.items() for word in pair if word != word.strip()]


@pytest.mark.parametrize("name", ['"c1"', "@c1", "#c1", "contig", "sequence", "1", "NA", "c'1"])
def test_a_table_of_novabin_is_read_to_the_letter(tmp_path, name):
    assignments = {name: "bin.1", "c2": "bin.1", "c3": "bin.2"}
    write_contig2bin(tmp_path / "table", assignments)
    assert read_bins(tmp_path / "table") == assignments


@pytest.mark.parametrize(
    "text",
    [
        "contig\tbin\nc1 of x\tbin.1\nc2\tbin.2\n",
        "contig\tbin\tlength\nc1\tbin.1\t9\nc2\tbin.2\t8\n",
        'contig\tbin\n"c1"\t"bin.1"\n"c2"\t"bin.2"\n',
        "contig\tbin\r\nc1\tbin.1\r\nc2\tbin.2\r\n",
        "c1\tbin.1\nc2\tbin.2\n",
    ],
)
def test_other_tables_are_read_as_ever(tmp_path, text):
    (tmp_path / "table").write_bytes(text.encode())
    assert read_bins(tmp_path / "table") == read_contig2bin(tmp_path / "table") == EXPECTED


def test_faults_of_a_table_with_the_header_of_novabin(tmp_path):
    (tmp_path / "table").write_text("contig\tbin\nc1\tbin.1\nc1\tbin.2\n")
    with pytest.raises(InputError, match=r"table, line 3: contig 'c1' stands in 'bin.2' and in 'bin.1'"):
        read_bins(tmp_path / "table")


def test_quotation_marks_of_a_name(tmp_path):
    """Kept where the name is known, or other texts of the line have none."""
    path = tmp_path / "table"
    path.write_text('"c1"\tbin.1\nc2\t"bin.2"\n')
    assert read_contig2bin(path) == {'"c1"': "bin.1", "c2": '"bin.2"'}
    assert read_contig2bin(path, {'"c1"', "c2"}) == {'"c1"': "bin.1", "c2": "bin.2"}
    path.write_text('"c1"\t"bin.1"\t12\n"c2"\t"bin.2"\t7\n')
    assert read_contig2bin(path) == EXPECTED

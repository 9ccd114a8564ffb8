"""Filtering contigs: every record gets one status and a reason, and the kept ones come out unchanged and in order."""

import logging

import pytest

from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta
from workflow_lib.filter.contigs import STATUSES, filter_contigs, read_kept_contigs


@pytest.fixture
def run(tmp_path):
    def run(text: str, *, min_length: int = 10, max_n_fraction: float = 0.1):
        source = tmp_path / "in.fa"
        source.write_text(text)
        fasta, status = tmp_path / "out/contigs.fa.gz", tmp_path / "out/status.tsv"
        limits = {"min_length": min_length, "max_n_fraction": max_n_fraction}
        summary = filter_contigs(source, fasta, status, **limits)
        rows = [line.split("\t") for line in status.read_text().splitlines()]
        return summary, [(record.name, record.sequence) for record in read_fasta(fasta)], rows

    return run


def test_every_record_gets_one_status_in_input_order(run):
    text = ">a x\nACGTACGTAC\n>short\nACG\n>b\nacgtacgtacry\n>n\nNNACGTACGT\n>empty\n>a y\nACGTACGTACGT\n"
    summary, kept, rows = run(text)
    assert rows == [
        ["contig", "length", "status", "reason"],
        ["a", "10", "kept", ""],
        ["short", "3", "too_short", "3 bp, shorter than 10 bp"],
        ["b", "12", "kept", ""],
        ["n", "10", "n_rich", "20.0% N, more than 10.0%"],
        ["empty", "0", "too_short", "empty record"],
        ["a", "12", "duplicate_name", "the name stands in line 1 already; only that record is used"],
    ]
    assert kept == [("a", b"ACGTACGTAC"), ("b", b"ACGTACGTACRY")]
    assert {status: summary.contigs[status] for status in STATUSES} == {
        "kept": 2,
        "too_short": 2,
        "n_rich": 1,
        "duplicate_name": 1,
    }
    assert summary.bp["kept"] == 22


def test_lengths_are_written_with_separators_of_thousands(run):
    _, _, rows = run(">a\n" + "A" * 1200, min_length=2500)
    assert rows[1][3] == "1,200 bp, shorter than 2,500 bp"


@pytest.mark.parametrize(("n", "status"), [(0, "kept"), (1, "kept"), (2, "n_rich"), (10, "n_rich")])
def test_the_share_of_n_itself_passes(run, n, status):
    _, _, rows = run(">a\n" + "n" * n + "A" * (10 - n))
    assert rows[1][2] == status


def test_min_length_itself_passes(run):
    _, kept, _ = run(">a\nACGTACGTAC\n>b\nACGTACGTA\n")
    assert [name for name, _ in kept] == ["a"]


def test_a_short_first_record_still_owns_its_name(run):
    _, kept, rows = run(">a\nACG\n>a\nACGTACGTACGT\n")
    assert [row[2] for row in rows[1:]] == ["too_short", "duplicate_name"]
    assert kept == []


def test_duplicates_are_named_in_a_warning(run, caplog):
    with caplog.at_level(logging.WARNING):
        run(">k1 flag=1\nACGTACGTAC\n>k1 flag=2\nACGTACGTAC\n>k1\nA\n")
    assert "2 records (11 bp) repeat the name of an earlier one" in caplog.text
    assert "ends at the first blank" in caplog.text
    assert "k1" in caplog.text


def test_an_empty_file_is_a_valid_result_with_a_warning(run, caplog):
    with caplog.at_level(logging.WARNING):
        summary, kept, rows = run("")
    assert (summary.contigs.total(), kept, len(rows)) == (0, [], 1)
    assert "no contigs in this file" in caplog.text


def test_no_kept_contig_is_a_valid_result_with_a_warning(run, caplog):
    with caplog.at_level(logging.WARNING):
        _, kept, rows = run(">a\nACG\n")
    assert (kept, len(rows)) == ([], 2)
    assert "no contig passes the filter" in caplog.text


def test_an_error_in_the_middle_writes_nothing(run, tmp_path):
    with pytest.raises(InputError, match="line 4"):
        run(">a\nACGTACGTAC\n>b\nAC*T\n")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_same_input_gives_the_same_bytes(run, tmp_path):
    contents = []
    for _ in range(2):
        run(">a\n" + "ACGT" * 100)
        contents.append((tmp_path / "out/contigs.fa.gz").read_bytes())
    assert contents[0] == contents[1]


def test_kept_contigs_are_read_back_in_order(run, tmp_path):
    run('>b"q\nACGTACGTAC\n>x\nA\n>a\nACGTACGTACGT\n')
    assert read_kept_contigs(tmp_path / "out/status.tsv") == (['b"q', "a"], [10, 12])


def test_another_table_is_no_status_table(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("contig\tbin\n")
    with pytest.raises(InputError, match="not a status table"):
        read_kept_contigs(path)

"""FASTA reading: every trap of real files gives either the same records or an error with file and line."""

import gzip
import random

import numpy as np
import pytest

from workflow_lib import fasta
from workflow_lib.errors import InputError
from workflow_lib.fasta import (
    Record,
    batch_records,
    format_record,
    mostly_n,
    read_blocks,
    read_fasta,
    reverse_complement,
    smaller_strand,
    write_fasta,
)

TEXT = b">a one two\nACGT\nAC\n>b\n\n>c\tx\nGG\nTT\n"
RECORDS = [("a", b"ACGTAC", 1), ("b", b"", 4), ("c", b"GGTT", 6)]


@pytest.fixture
def read(tmp_path):
    def read(content: bytes, name: str = "x.fa") -> list[tuple]:
        path = tmp_path / name
        path.write_bytes(content)
        return [tuple(record) for record in read_fasta(path)]

    return read


def test_names_end_at_the_first_blank_and_records_may_be_empty(read):
    assert read(TEXT) == RECORDS


@pytest.mark.parametrize("size", range(1, 40))
def test_block_boundaries_do_not_show(read, monkeypatch, size):
    monkeypatch.setattr(fasta, "_BLOCK", size)
    assert read(b"\n\n" + TEXT) == [(name, sequence, line + 2) for name, sequence, line in RECORDS]
    assert read(TEXT.replace(b"\n", b"\r\n")) == RECORDS
    assert read(gzip.compress(TEXT), "x.fa.gz") == RECORDS


def test_no_newline_at_the_end(read):
    assert read(TEXT.rstrip(b"\n")) == RECORDS
    assert read(b">a") == [("a", b"", 1)]


def test_blank_lines_and_blanks_within_sequences_are_dropped(read):
    assert read(b"\r\n\n>a\nAC GT\n\n\tAC \n\n") == [("a", b"ACGTAC", 3)]


def test_lower_case_iupac_and_rna(read):
    assert read(b">a\nacgtuUnryswkmbdhv\nNRYSWKMBDHV\n") == [("a", b"ACGTTTNRYSWKMBDHVNRYSWKMBDHV", 1)]


def test_a_header_sign_within_a_line_is_no_record(read):
    assert read(b">a b>c\nAC\n") == [("a", b"AC", 1)]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\r\n", gzip.compress(b"", mtime=0)])
def test_a_file_without_records_gives_none(read, content):
    assert read(content) == []


def test_gzip_is_told_by_its_bytes_and_may_have_members(read):
    members = gzip.compress(TEXT[:10]) + gzip.compress(TEXT[10:])
    assert read(members, "x.fa.gz") == RECORDS
    assert read(members, "no_suffix") == RECORDS
    assert read(TEXT, "plain.fa.gz") == RECORDS


def test_bgzip(tmp_path):
    pysam = pytest.importorskip("pysam")
    path = tmp_path / "x.fa.bgz"
    with pysam.BGZFile(str(path), "wb") as handle:
        handle.write(TEXT)
    assert [tuple(record) for record in read_fasta(path)] == RECORDS


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"@r1\nACGT\n+\nIIII\n", 1, "FASTQ"),
        (b"\n\nACGT\n", 3, "expected a FASTA header"),
        (b">a\nACGT\n>\nAC\n", 3, "without a name"),
        (b">a\nACGT\n> b\nAC\n", 3, "without a name"),
        (b">a\nACGT\nAC-T\n>b\nA\n", 3, "'-'"),
        (b">a\r\nACGT\r\n\r\nACJT\r\n", 4, "'J'"),
        (b">prot\nMKLE\n", 2, "'L'"),
        (b">a\nAC\x00T\n", 2, "'\\x00'"),
    ],
)
def test_faults_name_file_line_and_remedy(read, content, line, words):
    with pytest.raises(InputError) as caught:
        read(content)
    assert f"x.fa, line {line}: " in str(caught.value)
    assert words in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("kept", [2, 12, 500, -1])
def test_truncated_gzip_is_an_error(tmp_path, kept):
    whole = gzip.compress(b">a\n" + bytes(random.Random(1).choices(b"ACGT", k=20_000)) + b"\n")
    path = tmp_path / "x.fa.gz"
    path.write_bytes(whole[:kept])
    with pytest.raises(InputError, match="gzip data end early or are damaged"):
        list(read_fasta(path))


def test_damaged_gzip_is_an_error(tmp_path):
    whole = bytearray(gzip.compress(TEXT * 100))
    whole[len(whole) // 2] ^= 0xFF
    path = tmp_path / "x.fa.gz"
    path.write_bytes(bytes(whole))
    with pytest.raises(InputError, match="gzip"):
        list(read_fasta(path))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list(read_fasta(tmp_path / "none.fa"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_fasta(tmp_path))


@pytest.mark.parametrize("length", [0, 1, 79, 80, 81, 1000])
def test_round_trip_and_same_bytes(tmp_path, length):
    sequence = (b"ACGTN" * 200)[:length]
    records = [("one", sequence), ("two", sequence[::-1])]
    paths = [tmp_path / "a.fa.gz", tmp_path / "b.fa.gz"]
    for path in paths:
        assert write_fasta(path, records) == 2
    assert [(record.name, record.sequence) for record in read_fasta(paths[0])] == records
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("length", [0, 1, 79, 80, 81, 160, 161])
def test_a_record_is_its_rows_of_80(length):
    sequence = bytes(np.random.default_rng(length).choice(list(b"ACGTN"), length).astype(np.uint8))
    rows = [sequence[start : start + 80] for start in range(0, length, 80)]
    assert format_record("a", sequence) == b"\n".join([b">a", *rows, b""])


def test_lines_have_80_columns():
    lines = format_record("a", b"A" * 161).split(b"\n")
    assert [len(line) for line in lines] == [2, 80, 80, 1, 0]


def test_blocks_join_to_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(fasta, "_BLOCK", 7)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(TEXT))
    blocks = list(read_blocks(path))
    assert b"".join(blocks) == TEXT
    assert max(map(len, blocks)) <= 7


def test_reverse_complement_is_its_own_inverse():
    codes = b"ACGTRYSWKMBDHVN"
    assert reverse_complement(b"AACGTR") == b"YACGTT"
    assert reverse_complement(reverse_complement(codes)) == codes
    assert smaller_strand(b"TTG") == smaller_strand(b"CAA") == b"CAA"


def test_mostly_n():
    assert mostly_n(b"")
    assert mostly_n(b"NNNA")
    assert not mostly_n(b"NNAA")


def test_records_come_in_batches():
    records = [Record(str(i), b"A" * length, 1) for i, length in enumerate([5, 0, 5, 20, 3])]
    names = [[record.name for record in batch] for batch in batch_records(records, 10)]
    assert names == [["0", "1", "2"], ["3"], ["4"]]
    assert list(batch_records([], 10)) == []

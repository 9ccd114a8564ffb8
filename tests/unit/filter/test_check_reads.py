"""Checking reads: what the filtering tools would cut short without an error stops the run with a clear one."""

import gzip
import logging
import random
import shutil
import subprocess

import pytest

from workflow_lib import fasta
from workflow_lib.errors import InputError
from workflow_lib.filter.reads import check_reads, count_reads


def make_fastq(n: int, *, end: str = "\n", length: int = 30, seed: int = 1) -> bytes:
    draw = random.Random(seed)
    reads = ("".join(draw.choices("ACGT", k=length)) for _ in range(n))
    lines = (f"@read{i} 1:N:0{end}{read}{end}+{end}{'@' * len(read)}{end}" for i, read in enumerate(reads))
    return "".join(lines).encode()


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "r.fastq"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("n", [1, 2, 57])
@pytest.mark.parametrize("size", [1, 5, 64, 1 << 22])
def test_counts_do_not_depend_on_line_ends_blocks_or_compression(write, monkeypatch, end, n, size):
    monkeypatch.setattr(fasta, "_BLOCK", size)
    content = make_fastq(n, end=end)
    assert count_reads(write(content)) == n
    assert count_reads(write(gzip.compress(content), "r.fastq.gz")) == n
    assert count_reads(write(content.rstrip())) == n
    assert count_reads(write(content + 3 * end.encode())) == n


@pytest.mark.parametrize("content", [b"", b"\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_has_no_reads(write, content):
    assert count_reads(write(content, "r.fastq.gz")) == 0


def test_a_last_read_without_bases_counts(write):
    assert count_reads(write(make_fastq(2) + b"@empty\n\n+\n\n")) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b">a\nACGT\n", "looks like FASTA"),
        (b"BAM\x01abc", "expected"),
        (make_fastq(3)[:-40], "the last read is incomplete"),
        (b"@a\nAC\nGT\n+\nII\nII\n", "a read has four lines"),
        (b"@a\nACGT\n+\nIII\n", "4 bases but 3 qualities"),
    ],
)
def test_faults_are_told(write, content, words):
    with pytest.raises(InputError, match=words):
        count_reads(write(content))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_truncated_gzip_file_is_an_error(write, share):
    whole = gzip.compress(make_fastq(500))
    with pytest.raises(InputError, match="gzip data end early"):
        count_reads(write(whole[: int(share * len(whole))], "r.fastq.gz"))


@pytest.mark.parametrize(("packed", "name"), [(True, "r.fastq"), (True, "r.fastq.bgz"), (False, "r.fastq.gz")])
def test_the_name_must_tell_whether_the_data_are_gzip(write, packed, name):
    """Of gzip data without .gz fastp 0.23 reads nothing, and ends well: the depth would be 0 everywhere."""
    content = gzip.compress(make_fastq(3)) if packed else make_fastq(3)
    with pytest.raises(InputError, match="name"):
        count_reads(write(content, name))


def test_a_library_writes_its_counts(write, tmp_path):
    paths = [write(make_fastq(4), "r1.fq"), write(gzip.compress(make_fastq(4)), "r2.fq.gz")]
    assert check_reads(paths, tmp_path / "out/input.tsv") == [4, 4]
    assert (tmp_path / "out/input.tsv").read_text() == f"file\treads\n{paths[0]}\t4\n{paths[1]}\t4\n"


def test_files_of_a_pair_must_agree(write, tmp_path):
    with pytest.raises(InputError, match=r"4 reads in .*r1.fq but 3 reads in .*r2.fq"):
        check_reads([write(make_fastq(4), "r1.fq"), write(make_fastq(3), "r2.fq")], tmp_path / "input.tsv")
    assert not (tmp_path / "input.tsv").exists()


def test_an_empty_library_is_a_warning(write, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert check_reads([write(b"")], tmp_path / "input.tsv") == [0]
    assert "no reads in this library" in caplog.text


@pytest.mark.skipif(shutil.which("fastp") is None, reason="fastp is not on PATH")
def test_fastp_takes_carriage_returns_and_empty_input(write, tmp_path):
    """What the rules rely on: CRLF is read, and /dev/null stands for a file of 0 bytes."""
    for source, n in ((write(make_fastq(20, end="\r\n", length=100)), 20), ("/dev/null", 0)):
        out, report = tmp_path / "out.fastq.gz", tmp_path / "fastp.json"
        command = ["fastp", "-i", source, "-o", out, "-j", report, "-h", "/dev/null", "-Q", "-w", "1"]
        subprocess.run(command, check=True, capture_output=True)
        assert count_reads(out) == n
        assert b"\r" not in (gzip.decompress(out.read_bytes()) if n else b"")
        assert report.is_file()

"""The contigs that reads are mapped to: short ones too, each name once, and nothing without a sequence."""

import pytest

from workflow_lib.depth.reference import write_reference
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> list[tuple[str, bytes]]:
        (tmp_path / "in.fa").write_text(text)
        count = write_reference(tmp_path / "in.fa", tmp_path / "out/reference.fa.gz")
        records = [(record.name, record.sequence) for record in read_fasta(tmp_path / "out/reference.fa.gz")]
        assert len(records) == count
        return records

    return write


def test_every_usable_contig_in_order(write):
    assert write(">b x\nacg\n>empty\n>a\nNNN\n>b y\nTTT\n>empty\nA\n") == [("b", b"ACG"), ("a", b"NNN")]


def test_no_contigs(write):
    assert write("") == []


def test_a_fault_writes_nothing(write, tmp_path):
    with pytest.raises(InputError, match="line 4"):
        write(">a\nACG\n>b\nA-G\n")
    assert list((tmp_path / "out").iterdir()) == []

"""Depth from alignments: equal to a slow oracle at any thread count, and a clear error for every false input."""

from __future__ import annotations

import logging
import os
import random
import statistics

import numpy as np
import pysam
import pytest

from workflow_lib.depth.bam import SAMPLED_READS, measure_bam
from workflow_lib.errors import InputError

CONTIGS = {"k1": 4000, "short": 120, "k2": 2500, "k3": 900, "edge": 151, "two": 152, "one": 1}
CUT = {"min_identity": 0.97, "max_edge": 75, "min_mapq": 0}


def slow_depth(path, name: str, length: int, *, min_identity: float, max_edge: int, min_mapq: int):
    """The definition, position by position: list of depths between the edges of one contig."""
    depth = [0] * length
    lengths = []
    with pysam.AlignmentFile(str(path)) as handle:
        for read in handle.fetch(until_eof=True):
            if not read.is_secondary and not read.is_supplementary and len(lengths) < SAMPLED_READS:
                lengths.append(len(read.query_sequence))
            if read.is_unmapped or read.is_secondary or read.is_qcfail or read.is_duplicate:
                continue
            if read.mapping_quality < min_mapq or read.reference_name != name:
                continue
            columns = read.get_aligned_pairs(with_cigar=True)
            kinds = [operation for *_, operation in columns]
            aligned = sum(kind in (pysam.CMATCH, pysam.CEQUAL, pysam.CDIFF) for kind in kinds)
            gaps = sum(kind in (pysam.CINS, pysam.CDEL) for kind in kinds)
            mismatches = read.get_tag("NM") - gaps if read.has_tag("NM") else kinds.count(pysam.CDIFF)
            if (aligned - mismatches) / (aligned + gaps) < min_identity:
                continue
            for _, position, kind in columns:
                if kind in (pysam.CMATCH, pysam.CEQUAL, pysam.CDIFF):
                    depth[position] += 1
    edge = min(max_edge, sum(lengths) // len(lengths))
    return depth[edge : length - edge] if length > 2 * edge + 1 else depth


@pytest.mark.parametrize(
    "cut",
    [
        CUT,
        CUT | {"min_identity": 0.0},
        CUT | {"min_identity": 0.99, "min_mapq": 10},
        CUT | {"max_edge": 0},
        CUT | {"max_edge": 10_000},
    ],
)
@pytest.mark.parametrize("read_length", [40, 150])
@pytest.mark.parametrize("nm_tags", [True, False])
def test_equal_to_the_slow_oracle(write_bam, cut, read_length, nm_tags):
    path = write_bam(CONTIGS, 300, seed=read_length, read_length=read_length, nm_tags=nm_tags)
    result = measure_bam(path, list(CONTIGS), list(CONTIGS.values()), **cut)
    for row, (name, length) in enumerate(CONTIGS.items()):
        expected = slow_depth(path, name, length, **cut)
        # Both sum integers in float64; only the order of the squares differs.
        assert result.mean[row] == pytest.approx(statistics.fmean(expected), rel=1e-12)
        variance = statistics.variance(expected) if len(expected) > 1 else 0.0
        assert result.variance[row] == pytest.approx(variance, rel=1e-9, abs=1e-12)
    assert 0 < result.counted <= result.found


def test_the_identity_cut_itself_passes(tmp_path):
    """97 of 100 identical bases reach 0.97, and so do 291 of 300, in spite of binary fractions."""
    header = pysam.AlignmentHeader.from_dict({"SQ": [{"SN": "a", "LN": 1000}]})
    path = tmp_path / "x.bam"
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for n, nm in [(100, 3), (100, 4), (300, 9), (300, 10), (200, 6)]:
            read = pysam.AlignedSegment(header)
            read.query_name, read.flag, read.reference_id, read.reference_start = "r", 0, 0, 0
            read.query_sequence, read.cigartuples = "A" * n, [(0, n)]
            read.set_tag("NM", nm)
            out.write(read)
    result = measure_bam(path, ["a"], [1000], **(CUT | {"max_edge": 0}))
    assert (result.found, result.counted) == (5, 3)
    assert result.mean[0] == pytest.approx(0.6)


def test_the_same_at_any_thread_count_and_without_index(write_bam):
    contigs = {f"k{i}": 200 + 37 * i for i in range(40)}
    path = write_bam(contigs, 2000, index=True)
    names, lengths = list(contigs), list(contigs.values())
    results = [measure_bam(path, names, lengths, threads=threads, **CUT) for threads in (1, 2, 3)]
    for result in results[1:]:
        assert result.mean.tobytes() == results[0].mean.tobytes()
        assert result.variance.tobytes() == results[0].variance.tobytes()
        assert (result.found, result.counted) == (results[0].found, results[0].counted)


def test_an_old_index_is_not_used(write_bam):
    path = write_bam({"a": 500, "b": 500}, 50, index=True)
    os.utime(f"{path}.bai", (1, 1))
    contigs = {"a": 500, "b": 500}
    assert measure_bam(path, list(contigs), list(contigs.values()), threads=2, **CUT).found > 0


def test_contigs_are_chosen_and_ordered_by_name(write_bam):
    path = write_bam(CONTIGS, 300)
    whole = measure_bam(path, list(CONTIGS), list(CONTIGS.values()), **CUT)
    some = measure_bam(path, ["k2", "k1"], [2500, 4000], **CUT)
    assert some.mean.tolist() == [whole.mean[2], whole.mean[0]]


@pytest.mark.parametrize("names", [[], ["k1"]])
def test_a_bam_without_reads_gives_zeros_and_a_warning(write_bam, names, caplog):
    path = write_bam(CONTIGS, 0)
    with caplog.at_level(logging.WARNING):
        result = measure_bam(path, names, [4000] * len(names), **CUT)
    assert result.mean.tolist() == [0.0] * len(names)
    assert ("no alignment on any contig" in caplog.text) == bool(names)


def test_a_bam_without_contigs_serves_an_empty_sample(write_bam):
    assert measure_bam(write_bam({}, 0), [], [], threads=4, **CUT).mean.shape == (0,)


def test_nothing_reaches_the_cut_is_a_warning(write_bam, caplog):
    with caplog.at_level(logging.WARNING):
        result = measure_bam(write_bam({"a": 900}, 50), ["a"], [900], min_identity=1.1)
    assert (result.mean[0], result.counted) == (0.0, 0)
    assert "no alignment reaches 110% identity" in caplog.text


def test_missing_nm_tags_are_a_warning(write_bam, caplog):
    with caplog.at_level(logging.WARNING):
        measure_bam(write_bam({"a": 900}, 50, nm_tags=False), ["a"], [900], **CUT)
    assert "have no NM tag" in caplog.text


def test_reads_of_1_kbp_are_judged_as_long_ones(write_bam):
    contigs = {"a": 20_000}
    long = write_bam(contigs, 60, read_length=3000, name="long.bam")
    short = write_bam(contigs, 60, name="short.bam")
    for path, is_long in ((long, True), (short, False)):
        either = measure_bam(path, ["a"], [20_000], min_identity=1.0, min_identity_long=0.0)
        assert (either.counted == either.found) == is_long


def test_blanks_in_names_of_the_header_are_cut(tmp_path):
    header = pysam.AlignmentHeader.from_text("@SQ\tSN:k1 flag=1\tLN:300\n@SQ\tSN:k2 flag=0\tLN:400\n")
    path = tmp_path / "x.bam"
    with pysam.AlignmentFile(str(path), "wb", header=header):
        pass
    assert measure_bam(path, ["k2", "k1"], [400, 300], **CUT).mean.tolist() == [0.0, 0.0]


def test_another_assembly_is_an_error_that_names_contigs(write_bam):
    path = write_bam(CONTIGS, 10)
    with pytest.raises(InputError, match="made from another assembly: 2 of 3") as caught:
        measure_bam(path, ["k1", "k2", "new"], [4000, 2600, 77], **CUT)
    assert "k2: 2,600 bp in the assembly, 2,500 bp in the file" in str(caught.value)
    assert "new (77 bp): not in the file" in str(caught.value)
    assert "each sample a group of its own" in caught.value.remedy


def test_an_unsorted_file_is_an_error_with_the_command(write_bam, tmp_path):
    path = write_bam(CONTIGS, 200)
    shuffled = tmp_path / "shuffled.bam"
    with pysam.AlignmentFile(str(path)) as source, pysam.AlignmentFile(str(shuffled), "wb", template=source) as out:
        reads = list(source.fetch(until_eof=True))
        random.Random(1).shuffle(reads)
        for read in reads:
            out.write(read)
    with pytest.raises(InputError, match="not sorted by coordinate") as caught:
        measure_bam(shuffled, ["k1"], [4000], **CUT)
    assert "samtools sort -o sorted.bam" in caught.value.remedy


@pytest.mark.parametrize("lost", [28, 29, 400, 5000])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_truncated_file_is_an_error(write_bam, lost, threads):
    path = write_bam(CONTIGS, 3000, index=threads > 1)
    content = path.read_bytes()
    path.write_bytes(content[:-lost])
    if threads > 1:
        (path.parent / "reads.bam.bai").touch()
    with pytest.raises(InputError, match="cannot be read as BAM or CRAM to its end"):
        measure_bam(path, list(CONTIGS), list(CONTIGS.values()), threads=threads, **CUT)


@pytest.mark.parametrize("content", [b"", b"not a BAM", b"@HD\tVN:1.6\n@SQ\tSN:a\tLN:5\n", b"\x1f\x8b\x08\x04garbage"])
def test_another_format_is_an_error(tmp_path, content):
    path = tmp_path / "x.bam"
    path.write_bytes(content)
    with pytest.raises(InputError, match="BAM"):
        measure_bam(path, ["a"], [5], **CUT)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        measure_bam(tmp_path / "none.bam", ["a"], [5], **CUT)


def test_an_alignment_beyond_the_end_is_an_error(tmp_path):
    header = pysam.AlignmentHeader.from_dict({"SQ": [{"SN": "a", "LN": 100}]})
    path = tmp_path / "x.bam"
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        read = pysam.AlignedSegment(header)
        read.query_name, read.flag, read.reference_id, read.reference_start = "r", 0, 0, 60
        read.query_sequence, read.cigartuples = "A" * 50, [(0, 50)]
        out.write(read)
    with pytest.raises(InputError, match="beyond the end of contig a"):
        measure_bam(path, ["a"], [100], **CUT)


@pytest.fixture
def cram(write_bam, tmp_path):
    """The same reads as BAM and as CRAM, and the assembly: lower case, one contig more, blanks in names."""
    draw = random.Random(5)
    contigs = {"k1": 3000, "k2": 500}
    sequences = {name: "".join(draw.choices("acgt", k=length)) for name, length in contigs.items()}
    assembly = tmp_path / "assembly.fa"
    assembly.write_text("".join(f">{name} x\n{sequence}\n" for name, sequence in sequences.items()) + ">k3\nacgt\n")
    upper = tmp_path / "upper.fa"
    upper.write_text("".join(f">{name}\n{sequence.upper()}\n" for name, sequence in sequences.items()))
    pysam.faidx(str(upper))
    bam, path = write_bam(contigs, 200), tmp_path / "reads.cram"
    with pysam.AlignmentFile(str(bam)) as source:
        out = pysam.AlignmentFile(str(path), "wc", template=source, reference_filename=str(upper))
        for read in source.fetch(until_eof=True):
            out.write(read)
        out.close()
    return bam, path, assembly, contigs


def test_cram_gives_what_bam_gives(cram):
    bam, path, assembly, contigs = cram
    names, lengths = list(contigs), list(contigs.values())
    from_bam = measure_bam(bam, names, lengths, **(CUT | {"min_identity": 0.0}))
    from_cram = measure_bam(path, names, lengths, assembly=assembly, **(CUT | {"min_identity": 0.0}))
    np.testing.assert_array_equal(from_cram.mean, from_bam.mean)
    assert from_cram.found == from_bam.found


def test_cram_needs_its_own_assembly(cram, tmp_path):
    _, path, _, contigs = cram
    other = tmp_path / "other.fa"
    other.write_text(">k1\nACGT\n>k2\n" + "A" * 500)
    with pytest.raises(InputError, match=r"1 of its contigs are not in .*other.fa with their length: k1 \(3,000 bp\)"):
        measure_bam(path, ["k1"], [3000], assembly=other, **CUT)
    with pytest.raises(InputError, match="cannot be read without the assembly"):
        measure_bam(path, ["k1"], [3000], **CUT)
    other.write_text(">k1\n" + "A" * 3000 + "\n>k2\n" + "A" * 500)
    with pytest.raises(InputError, match="cannot be read"):
        measure_bam(path, list(contigs), list(contigs.values()), assembly=other, **CUT)

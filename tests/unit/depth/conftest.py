"""Random alignments of every kind, written as BAM, for the depth tests."""

from __future__ import annotations

import random
from pathlib import Path

import pysam
import pytest

FLAGS = {
    "plain": 0,
    "reverse": pysam.FREVERSE,
    "proper_pair": pysam.FPAIRED | pysam.FPROPER_PAIR,
    "improper_pair": pysam.FPAIRED | pysam.FMUNMAP,
    "supplementary": pysam.FSUPPLEMENTARY,
    "secondary": pysam.FSECONDARY,
    "duplicate": pysam.FDUP,
    "failed": pysam.FQCFAIL,
    "unmapped": pysam.FUNMAP,
}


def random_cigar(draw: random.Random, n: int) -> list[tuple[int, int]]:
    """CIGAR operations that cover about `n` bp of the contig: matches between gaps, clips at the ends."""
    if draw.random() < 0.5:
        return [(pysam.CMATCH, n)]
    cigar, left = [], n
    while left > 0:
        step = min(left, draw.randint(10, 60))
        cigar.append((draw.choice([pysam.CMATCH, pysam.CEQUAL]), step))
        left -= step
        gap = draw.choice([pysam.CINS, pysam.CDEL, pysam.CREF_SKIP, pysam.CDIFF])
        if left > 5:
            size = 1 if gap != pysam.CREF_SKIP else 4
            cigar.append((gap, size))
            left -= size if gap != pysam.CINS else 0
    if cigar[-1][0] not in (pysam.CMATCH, pysam.CEQUAL):
        cigar.append((pysam.CMATCH, 1))
    if draw.random() < 0.3:
        cigar.insert(0, (draw.choice([pysam.CSOFT_CLIP, pysam.CHARD_CLIP]), 20))
    if draw.random() < 0.3:
        cigar.append((pysam.CSOFT_CLIP, 7))
    return cigar


def make_alignment(draw: random.Random, header, contig: int, length: int, number: int, read_length: int, nm_tags: bool):
    alignment = pysam.AlignedSegment(header)
    alignment.query_name = f"read{number}"
    alignment.flag = FLAGS[draw.choices(list(FLAGS), weights=[6, 6, 6, 2, 2, 1, 1, 1, 1])[0]]
    n = min(length - 1, draw.randint(read_length // 2, read_length))
    cigar = random_cigar(draw, max(1, n))
    span = sum(size for code, size in cigar if code in (0, 2, 3, 7, 8))
    alignment.reference_id = contig
    alignment.reference_start = draw.randint(0, max(0, length - span))
    if alignment.reference_start + span > length:
        cigar = [(pysam.CMATCH, length)]
        alignment.reference_start = 0
    alignment.mapping_quality = draw.choice([0, 3, 20, 60])
    alignment.query_sequence = "A" * sum(size for code, size in cigar if code in (0, 1, 4, 7, 8))
    alignment.cigartuples = cigar
    gaps = sum(size for code, size in cigar if code in (1, 2))
    different = sum(size for code, size in cigar if code == 8)
    matched = sum(size for code, size in cigar if code == 0)
    if nm_tags:
        alignment.set_tag("NM", gaps + different + min(matched, draw.choice([0, 0, 1, 2, 3, 5, 8])))
    return alignment


@pytest.fixture
def write_bam(tmp_path):
    """Write a sorted BAM of random alignments: write_bam({name: length}, n_reads, seed=..., index=...) -> path."""

    def write(
        contigs: dict[str, int],
        n_reads: int,
        *,
        seed: int = 1,
        read_length: int = 150,
        index: bool = False,
        nm_tags: bool = True,
        name: str = "reads.bam",
    ) -> Path:
        draw = random.Random(seed)
        header = pysam.AlignmentHeader.from_dict(
            {
                "HD": {"VN": "1.6", "SO": "coordinate"},
                "SQ": [{"SN": contig, "LN": length} for contig, length in contigs.items()],
            }
        )
        lengths = list(contigs.values())
        alignments = []
        for number in range(n_reads if lengths else 0):
            contig = draw.choices(range(len(lengths)), weights=lengths)[0]
            alignments.append(make_alignment(draw, header, contig, lengths[contig], number, read_length, nm_tags))
        alignments.sort(key=lambda alignment: (alignment.reference_id, alignment.reference_start))
        path = tmp_path / name
        with pysam.AlignmentFile(str(path), "wb", header=header) as out:
            for alignment in alignments:
                out.write(alignment)
        if index:
            pysam.index(str(path))
        return path

    return write

"""Depth against MetaBAT's own jgi_summarize_bam_contig_depths: on mapped reads and on alignments of every kind."""

from __future__ import annotations

import csv
import random
import shutil
import subprocess
from pathlib import Path

import pysam
import pytest

from workflow_lib.depth.bam import measure_bam
from workflow_lib.depth.table import read_depth_table
from workflow_lib.fasta import reverse_complement

TOOL = "jgi_summarize_bam_contig_depths"
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(
        not all(map(shutil.which, (TOOL, "minimap2", "samtools"))),
        reason=f"{TOOL}, minimap2 or samtools is not on PATH",
    ),
]
# It prints six digits and sums in float32; beyond about 1 Mbp x 15 that alone makes more than this.
TOLERANCE = 1e-3


def run_metabat(bam: Path, percent: int = 97) -> Path:
    table = bam.with_suffix(".jgi.tsv")
    command = [TOOL, "--percentIdentity", str(percent), "--outputDepth", str(table), str(bam)]
    subprocess.run(command, check=True, capture_output=True)
    return table


def read_metabat(table: Path) -> dict[str, tuple[float, float]]:
    with open(table) as handle:
        return {row[0]: (float(row[3]), float(row[4])) for row in list(csv.reader(handle, delimiter="\t"))[1:]}


def compare(bam: Path, *, percent: int = 97) -> float:
    """Largest relative difference of mean and variance; the same contigs must be 0."""
    expected = read_metabat(run_metabat(bam, percent))
    with pysam.AlignmentFile(str(bam)) as handle:
        names, lengths = list(handle.references), list(handle.lengths)
    found = measure_bam(bam, names, lengths, min_identity=percent / 100)
    worst = 0.0
    for name, *pair in zip(names, found.mean, found.variance, strict=True):
        for value, other in zip(pair, expected[name], strict=True):
            assert (value == 0) == (other == 0), name
            worst = max(worst, abs(value - other) / other if other else 0.0)
    return worst


def mutate(draw: random.Random, sequence: bytes, rate: float, gap_rate: float) -> bytes:
    out = bytearray()
    for base in sequence:
        if draw.random() < gap_rate:
            out += b"" if draw.random() < 0.5 else bytes([base, draw.choice(b"ACGT")])
        else:
            out.append(draw.choice(b"ACGT") if draw.random() < rate else base)
    return bytes(out)


def simulate(folder: Path, *, long: bool) -> tuple[Path, list[Path]]:
    """An assembly with short contigs and repeats, and reads of it with errors and gaps: pairs, or long ones."""
    draw = random.Random(7)
    contigs = {f"k{i}": bytes(draw.choices(b"ACGT", k=draw.randint(2000, 30_000))) for i in range(12)}
    contigs |= {f"short{i}": bytes(draw.choices(b"ACGT", k=60 + 40 * i)) for i in range(6)}
    contigs["twin"] = contigs["k2"]
    contigs["repeat"] = contigs["k0"][500:1500] + bytes(draw.choices(b"ACGT", k=2000)) + contigs["k1"][:800]
    assembly = folder / "assembly.fa"
    assembly.write_bytes(b"".join(b">%s\n%s\n" % (name.encode(), sequence) for name, sequence in contigs.items()))
    files = [folder / f"r{i}.fq" for i in ((1,) if long else (1, 2))]
    sequences, weights = list(contigs.values()), [len(sequence) for sequence in contigs.values()]
    with open(files[0], "wb") as first, open(files[-1], "ab") as second:
        for number in range(300 if long else 12_000):
            sequence = draw.choices(sequences, weights)[0]
            size = min(len(sequence), draw.randint(1000, 8000) if long else draw.randint(180, 400))
            start = draw.randint(0, len(sequence) - size)
            fragment = sequence[start : start + size]
            if long:
                other = draw.choice(sequences)[:1500] if draw.random() < 0.1 else b""  # a read of two contigs
                ends = [mutate(draw, fragment + other, 0.04, 0.03)]
            else:
                rate = draw.choice([0.0, 0.01, 0.04])
                ends = [mutate(draw, end[:150], rate, 0.002) for end in (fragment, reverse_complement(fragment))]
                if draw.random() < 0.05:
                    ends[1] = mutate(draw, draw.choice(sequences)[:150], rate, 0.002)  # a pair that does not fit
            for handle, read in zip((first, second), ends, strict=False):
                handle.write(b"@r%d\n%s\n+\n%s\n" % (number, read, b"I" * len(read)))
    return assembly, files


@pytest.mark.parametrize(("preset", "percent"), [("sr", 97), ("sr", 99), ("map-ont", 85)])
def test_mapped_reads(tmp_path, preset, percent):
    assembly, reads = simulate(tmp_path, long=preset != "sr")
    bam = tmp_path / "reads.bam"
    sam = tmp_path / "reads.sam"
    for command in (
        ["minimap2", "-ax", preset, "--secondary=yes", "-o", sam, assembly, *reads],
        ["samtools", "sort", "-o", bam, sam],
    ):
        subprocess.run(command, check=True, capture_output=True)
    with pysam.AlignmentFile(str(bam)) as handle:
        flags = [read.flag for read in handle.fetch(until_eof=True)]
    assert any(flag & pysam.FSECONDARY for flag in flags)
    assert preset == "sr" or any(flag & pysam.FSUPPLEMENTARY for flag in flags)
    assert compare(bam, percent=percent) < TOLERANCE


@pytest.mark.parametrize("percent", [80, 97])
def test_alignments_of_every_kind(write_bam, percent):
    contigs = {"a": 9000, "b": 3000, "c": 151, "d": 153, "e": 150, "f": 400, "none": 5000}
    # X and = beside M have meanings of their own in the tool; minimap2 writes M alone, and so does this file.
    path = write_bam(contigs, 4000, seed=3)
    assert compare(rewrite_with_m(path), percent=percent) < TOLERANCE


def rewrite_with_m(path: Path) -> Path:
    out_path = path.with_name("m.bam")
    with pysam.AlignmentFile(str(path)) as source, pysam.AlignmentFile(str(out_path), "wb", template=source) as out:
        for read in source.fetch(until_eof=True):
            read.cigartuples = [(0 if code in (7, 8) else code, size) for code, size in read.cigartuples]
            out.write(read)
    return out_path


def test_a_contig_of_two_middle_positions_differs(write_bam):
    """The tool gives 0 for a contig of 2 x edge + 2 bp; its two middle positions have a depth all the same."""
    path = write_bam({"a": 2000, "two": 152}, 500)
    assert read_metabat(run_metabat(rewrite_with_m(path)))["two"] == (0, 0)
    assert measure_bam(path, ["two"], [152], min_identity=0.5).mean[0] > 0


def test_its_table_is_read(write_bam):
    contigs = {"a": 1_234_567, "b": 3000}
    table = run_metabat(write_bam(contigs, 50))
    assert "1.23457e+06" in table.read_text()
    columns = read_depth_table(table, list(contigs), list(contigs.values()), library="x")
    assert list(columns) == ["x"]

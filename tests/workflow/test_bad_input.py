"""Bad input, through the real workflow: a clear error that names file, line and remedy, or a valid empty result."""

import gzip
import os
import random
import shutil

import pytest
from running import run_snakemake

N_FLAG = "N" * 6000


def dna(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


def fasta(records: dict[str, str]) -> str:
    return "".join(f">{name}\n{sequence}\n" for name, sequence in records.items())


def write_samples(folder, contigs: dict[str, str]) -> list[str]:
    """Write FASTA texts and a samples table; return the arguments that run them without libraries or reference."""
    lines = ["sample\tcontigs"]
    for name, text in contigs.items():
        (folder / f"{name}.fa").write_text(text)
        lines.append(f"{name}\t{name}.fa")
    (folder / "samples.tsv").write_text("\n".join(lines) + "\n")
    return configure()


def configure(*more: str) -> list[str]:
    return ["--config", "samples=samples.tsv", *(more or ("libraries=null", "reference=null"))]


@pytest.fixture(scope="module")
def odd_samples(tmp_path_factory, root):
    """One run over samples that are odd but valid."""
    folder = tmp_path_factory.mktemp("odd")
    same = dna(1, 4000)
    arguments = write_samples(
        folder,
        {
            "empty": "",
            "short": fasta({f"c{i}": dna(i, 500) for i in range(3)}),
            "single": fasta({"c1": dna(2, 5000)}),
            "identical": fasta({f"c{i}": same for i in range(12)}),
            "all_n": fasta({f"c{i}": N_FLAG for i in range(3)}),
            "crlf": fasta({"c1 first": dna(3, 3000), "c2\tsecond": dna(4, 3000), "c1 again": dna(5, 3000)}).replace(
                "\n", "\r\n"
            ),
            "lower": fasta({"c1": dna(6, 3000).lower(), "c2": dna(7, 3000) + "RYSWKM"}),
        },
    )
    run_snakemake(folder, root, *arguments)
    return folder


def statuses(folder, sample: str) -> list[list[str]]:
    lines = (folder / f"results/bins/{sample}/contigs.tsv").read_text().splitlines()
    return [line.split("\t") for line in lines[1:]]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("empty", []),
        ("short", ["too_short"] * 3),
        ("single", ["unbinned"]),
        ("identical", ["binned"] * 12),
        ("all_n", ["n_rich"] * 3),
        ("crlf", ["unbinned", "unbinned", "duplicate_name"]),
        ("lower", ["unbinned"] * 2),
    ],
)
def test_odd_samples_end_with_valid_files(odd_samples, sample, expected):
    assert [row[2] for row in statuses(odd_samples, sample)] == expected
    assert all(row[4] for row in statuses(odd_samples, sample) if row[2] != "binned")
    assert (odd_samples / f"results/bins/{sample}/contig2bin.tsv").read_text().startswith("contig\tbin\n")
    assert (odd_samples / f"results/bins/{sample}/bins.tsv").read_text().startswith("bin\t")


def test_names_are_cut_at_the_first_blank(odd_samples):
    assert [row[0] for row in statuses(odd_samples, "crlf")] == ["c1", "c2", "c1"]


def test_report_says_why_there_are_no_bins(odd_samples):
    page = (odd_samples / "results/report/report.html").read_text()
    assert "empty" in page


def fails(folder, root, *arguments: str) -> str:
    done = run_snakemake(folder, root, *arguments, check=False)
    assert done.returncode != 0
    return done.stdout


def test_fastq_given_as_fasta(tmp_path, root):
    arguments = write_samples(tmp_path, {"s": "@read1\nACGT\n+\nIIII\n"})
    text = fails(tmp_path, root, *arguments)
    assert "s.fa, line 1: this looks like FASTQ" in text
    assert "To mend it" in text
    assert not (tmp_path / "results/contigs/s/contigs.fa.gz").exists()


def test_protein_given_as_contigs(tmp_path, root):
    text = fails(tmp_path, root, *write_samples(tmp_path, {"s": ">p\nMKV\nLLE\n"}))
    assert "s.fa, line 3: found 'L'" in text or "s.fa, line 3: found 'E'" in text


def test_truncated_gzip(tmp_path, root):
    arguments = write_samples(tmp_path, {"s": ""})
    whole = gzip.compress(fasta({"c": dna(1, 200_000)}).encode())
    (tmp_path / "s.fa").write_bytes(whole[: len(whole) // 2])
    text = fails(tmp_path, root, *arguments)
    assert "s.fa: the gzip data end early" in text


def test_the_end_of_a_run_tells_what_failed(tmp_path, root):
    arguments = write_samples(tmp_path, {"good": fasta({"a": dna(1, 4000)}), "bad": fasta({"a": "MKL" * 2000})})
    done = run_snakemake(tmp_path, root, "--keep-going", *arguments, check=False)
    assert done.returncode
    told = done.stdout[done.stdout.index("1 job failed:") :]
    assert told.splitlines()[1] == "filter_contigs: logs/filter_contigs/bad.log"
    assert "bad.fa" in told.splitlines()[2] and "take the samples out of their table" in told
    assert (tmp_path / "results/bins/good/bins.tsv").exists()
    (tmp_path / "samples.tsv").write_text("sample\tcontigs\ngood\tgood.fa\n")
    done = run_snakemake(tmp_path, root, *arguments)
    assert (tmp_path / "results/report/report.html").exists() and "failed" not in done.stdout


def test_faults_of_the_tables_stop_the_run_before_any_job(tmp_path, root):
    (tmp_path / "samples.tsv").write_text("sample\tcontigs\na\tnone.fa\na\tnone.fa\n")
    text = fails(tmp_path, root, *configure())
    assert "samples.tsv, line 2, column contigs: found 'none.fa'" in text
    assert "samples.tsv, line 3, column sample: found 'a'" in text
    assert "Traceback" not in text


def test_unknown_key_of_the_configuration(tmp_path, root):
    arguments = write_samples(tmp_path, {"s": ""})
    text = fails(tmp_path, root, *arguments, "filter={min_lenght: 1}")
    assert "did you mean 'min_length'?" in text


def test_results_folder_that_cannot_be_written(tmp_path, root):
    arguments = write_samples(tmp_path, {"s": ""})
    (tmp_path / "file").write_text("")
    text = fails(tmp_path, root, *arguments, "pathvars={results: file, logs: logs, benchmarks: benchmarks}")
    assert "file: cannot be written to" in text
    assert "Traceback" not in text


def depth_library(folder, column: str, name: str) -> list[str]:
    (folder / "libraries.tsv").write_text(f"library\tgroup\t{column}\nlib\ts\t{name}\n")
    return configure("libraries=libraries.tsv", "reference=null")


def test_depth_table_of_other_contigs(tmp_path, root):
    write_samples(tmp_path, {"s": fasta({f"c{i}": dna(i, 3000) for i in range(3)})})
    (tmp_path / "depth.tsv").write_text(
        "contigName\tcontigLen\ttotalAvgDepth\tx.bam\tx.bam-var\nother\t3000\t1\t1\t1\n"
    )
    text = fails(tmp_path, root, *depth_library(tmp_path, "depth", "depth.tsv"))
    assert "depth.tsv" in text
    assert "c0" in text
    assert not (tmp_path / "results/depth/s/depth.tsv").exists()


def test_depth_table_without_lengths_of_a_group(tmp_path, root):
    """Assemblers number contigs: those of two assemblies may well have the same names."""
    for name in "ab":
        (tmp_path / f"{name}.fa").write_text(fasta({f"c{i}": dna(i + ord(name), 3000) for i in range(3)}))
    (tmp_path / "samples.tsv").write_text("sample\tcontigs\tgroup\na\ta.fa\ts\nb\tb.fa\ts\n")
    (tmp_path / "depth.tsv").write_text("Contig\tx Mean\nc0\t1\nc1\t2\nc2\t3\n")
    text = fails(tmp_path, root, *depth_library(tmp_path, "depth", "depth.tsv"))
    assert "depth.tsv, line 1: no lengths tell of which of the 2 assemblies of this group the table is" in text
    rows = "".join(f"c{i}\t{i + 1}\t{i + 5}\t3000\n" for i in range(3))
    (tmp_path / "depth.tsv").write_text(f"Contig\tx Mean\tx Variance\tx Length\n{rows}")
    arguments = depth_library(tmp_path, "depth", "depth.tsv")
    run_snakemake(tmp_path, root, *arguments, "--", *(f"results/depth/{name}/depth.tsv" for name in "ab"))
    text = (tmp_path / "results/depth/b/depth.tsv").read_text()
    assert text == "contig\tlength\tlib\tlib-var\nc0\t3000\t1\t5\nc1\t3000\t2\t6\nc2\t3000\t3\t7\n"


def test_bam_of_another_assembly(tmp_path, root):
    import pysam

    write_samples(tmp_path, {"s": fasta({f"c{i}": dna(i, 3000) for i in range(3)})})
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "c0", "LN": 999}, {"SN": "x", "LN": 3000}]}
    with pysam.AlignmentFile(tmp_path / "x.bam", "wb", header=header):
        pass
    text = fails(tmp_path, root, *depth_library(tmp_path, "bam", "x.bam"))
    assert "x.bam" in text
    assert "c0" in text or "c1" in text
    assert not (tmp_path / "results/depth/s/depth.tsv").exists()


def test_full_disk_leaves_no_result_that_a_rerun_trusts(tmp_path, root):
    """A file size limit stands for the full disk: the write fails half-way, as it would there."""
    import resource
    import subprocess
    import sys

    arguments = write_samples(tmp_path, {"s": fasta({f"c{i}": dna(i, 20_000) for i in range(40)})})
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), "--cores", "2", *arguments]
    target = "results/contigs/s/contigs.fa.gz"
    limit = 100_000  # bytes; the compressed contigs need more
    done = subprocess.run(
        [*command, "--", target],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode != 0
    assert "To mend it" in done.stdout
    assert not (tmp_path / target).exists()
    run_snakemake(tmp_path, root, *arguments, "--", target)
    assert (tmp_path / target).stat().st_size > limit


@pytest.mark.skipif(shutil.which("fastp") is None, reason="fastp is not on PATH")
@pytest.mark.parametrize("columns", [("reads_1",), ("reads_1", "reads_2")])
def test_full_disk_while_fastp_writes(tmp_path, root, monkeypatch, columns):
    """Fastp ends well though it could not write; minimap2 would take the reads that are there for all."""
    draw = random.Random(1)
    lines = (f"@r{i}\n{''.join(draw.choices('ACGT', k=150))}\n+\n{'I' * 150}\n" for i in range(6000))
    content = gzip.compress("".join(lines).encode(), compresslevel=1)
    files = [f"{column}.fastq.gz" for column in columns]
    for file in files:
        (tmp_path / file).write_bytes(content)
    write_samples(tmp_path, {"s": fasta({"c": dna(1, 3000)})})
    rows = (["library", "group", *columns], ["lib", "s", *files])
    (tmp_path / "libraries.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    arguments = [*configure("libraries=libraries.tsv", "reference=null"), "--", "results/reads/lib/fastp.json"]
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin/fastp"  # the real one under a limit on the size of files, which stands for the full disk
    wrapper.write_text(f"#!/bin/bash\ntrap '' XFSZ\nulimit -f 150\nexec {shutil.which('fastp')} \"$@\"\n")
    wrapper.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
        done = run_snakemake(tmp_path, root, *arguments, check=False)
    assert done.returncode != 0
    (log,) = (tmp_path / "logs").glob("filter_*_reads/lib.log")
    assert "is the disk full?" in log.read_text()
    assert not list((tmp_path / "results/reads/lib").glob("*.fastq.gz"))
    run_snakemake(tmp_path, root, *arguments)
    for file in files:
        (tmp_path / file).write_bytes(b"")
    run_snakemake(tmp_path, root, *arguments)  # no reads: a file of 0 bytes is whole

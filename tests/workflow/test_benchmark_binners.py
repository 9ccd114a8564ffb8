"""The target benchmark_binners on tiny sets: depth that is drawn, and reads that are mapped."""

import csv
import json
import shutil

import numpy as np
import pytest
from running import link_example, run_snakemake

from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.simulate import evolve_genomes, reference_lineages
from workflow_lib.simulate.strains import mutate

PEERS_OFF = {"metabat2": None, "vamb": None, "semibin2": None}
SMALL = {"contig_sigma": 0.4, "mean_depth": 12, "min_bin_length": 20_000}


@pytest.fixture
def folder(tmp_path, root):
    rows = ["genome_id\tfasta"]
    for genome in evolve_genomes(reference_lineages(4), genome_length=60_000, seed=2):
        write_fasta(tmp_path / f"{genome.name}.fa.gz", [("s", genome.sequences[0])])
        rows.append(f"{genome.name}\t{genome.name}.fa.gz")
    (tmp_path / "genomes.tsv").write_text("\n".join(rows) + "\n")
    return link_example(tmp_path, root)


def settings(folder, **changes) -> tuple[str, ...]:
    benchmark = {"genomes": "genomes.tsv", "binners": PEERS_OFF, **SMALL, **changes}
    (folder / "settings.json").write_text(json.dumps({"benchmark": benchmark}))
    return "benchmark_binners", "--configfile", "settings.json"


def read_rows(path):
    with open(path) as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def tiny(name: str, **changes) -> dict:
    return {"name": name, "genomes": 4, "strains": 0, "libraries": 1, "contig_median": 3000, "reads": False, **changes}


def test_novabin_alone_on_drawn_depth(root, folder):
    target = settings(folder, sets=[tiny("one"), tiny("NA", genomes=5, strains=1, libraries=2)], seeds=[1, 2])
    run_snakemake(folder, root, *target)
    results = folder / "results/benchmark_binners"
    rows = read_rows(results / "binning.tsv")
    assert [(row["set"], row["seed"], row["binner"]) for row in rows] == [
        (name, seed, "novabin") for name in ("one", "NA") for seed in "12"
    ]
    assert {row["recoverable"] for row in rows} == {"4", "5"} and float(rows[0]["assigned"]) > 0.5
    assert all(float(row["seconds"]) > 0 and float(row["peak_mb"]) > 50 for row in rows)
    page = (results / "binning.md").read_text()
    assert "metabat2 was not run: benchmark.binners names no command" in page and "Medians over seeds 1, 2" in page
    assert "5 genomes, 1 of them strains with 97% to 99% identity" in page
    twins = [row for row in read_rows(results / "NA/seed_1/facts.tsv") if row["strain"] == "True"]
    assert len(twins) == 2 and all(float(row["ani"]) > 0.96 for row in twins)
    assert (results / "binning.svg").read_text().startswith("<?xml")
    assert "Nothing to be done" in run_snakemake(folder, root, *target).stdout


@pytest.mark.peers
@pytest.mark.skipif(
    not all(map(shutil.which, ("metabat2", "minimap2", "samtools"))),
    reason="metabat2, minimap2 or samtools is not on PATH",
)
def test_metabat2_beside_it_on_mapped_reads(root, folder):
    binners = {**PEERS_OFF, "metabat2": "metabat2"}
    run_snakemake(
        folder, root, *settings(folder, sets=[tiny("reads", reads=True, libraries=2)], seeds=[1], binners=binners)
    )
    results = folder / "results/benchmark_binners"
    rows = {row["binner"]: row for row in read_rows(results / "binning.tsv")}
    assert list(rows) == ["novabin", "metabat2"] and "--saveCls" in rows["metabat2"]["command"]
    assert not list((results / "reads/seed_1").glob("*.fastq.gz"))  # temporary
    depth = read_rows(results / "reads/seed_1/depth.tsv")
    mean = sum(float(row["library_1"]) * int(row["length"]) for row in depth) / sum(int(row["length"]) for row in depth)
    assert 4 < mean < 30  # 12 on average over genomes; of four genomes of log-normal abundance


@pytest.mark.peers
@pytest.mark.skipif(
    not all(map(shutil.which, ("megahit", "minimap2", "samtools"))),
    reason="megahit, minimap2 or samtools is not on PATH",
)
def test_contigs_that_are_assembled(root, folder):
    sets = [tiny("built", reads=True, assembled=True, libraries=2), tiny("cut")]
    run_snakemake(folder, root, *settings(folder, sets=sets, seeds=[1]))
    results = folder / "results/benchmark_binners"
    truth = read_rows(results / "built/seed_1/truth.tsv")
    assert truth[0]["contig"].startswith("k") and read_rows(results / "cut/seed_1/truth.tsv")[0]["contig"][0] != "k"
    assert len({row["genome"] for row in truth}) >= 3
    total = sum(int(row["length"]) for row in truth)
    assert 150_000 < total < 280_000  # of 240,000, of which the rarest may be lost
    given = [record.name for record in read_fasta(results / "built/seed_1/contigs.fa.gz")]
    assert given == [row["contig"] for row in truth if row["kept"] == "1"]
    assert {int(row["length"]) >= 1500 for row in truth if row["kept"] == "1"} == {True}
    assert not list((results / "built/seed_1").glob("assembly*"))  # temporary
    page = (results / "binning.md").read_text()
    assert "assembled by MEGAHIT from the reads of all libraries" in page and "contigs of median 3,000 bp" in page


def test_assembled_contigs_need_reads(root, folder):
    target = settings(folder, sets=[tiny("built", assembled=True)], seeds=[1])
    done = run_snakemake(folder, root, "-n", *target, check=False)
    expected = "benchmark.sets, item 1.reads: found False; expected one of True (contigs can only be assembled"
    assert done.returncode and expected in done.stdout


def test_what_cannot_be_run_is_said_before_anything_runs(root, folder):
    target = settings(
        folder, sets=[tiny("three", libraries=3)], seeds=[1], binners={**PEERS_OFF, "semibin2": "SemiBin2"}
    )
    done = run_snakemake(folder, root, "-n", *target)
    assert "semibin2" not in done.stdout
    target = settings(folder, genomes=None, sets=[tiny("one")], seeds=[1])
    done = run_snakemake(folder, root, "-n", *target, check=False)
    assert done.returncode and "benchmark.genomes is not set" in done.stdout
    target = settings(folder, sets=[tiny("one"), tiny("one")], seeds=[1])
    done = run_snakemake(folder, root, "-n", *target, check=False)
    assert done.returncode and "found a name twice" in done.stdout


def test_novabin_once_more_with_a_reference(root, folder):
    """The reference has a strain of every genome; the same genomes on both sides are refused."""
    genomes = [line.split("\t") for line in (folder / "genomes.tsv").read_text().splitlines()[1:]]
    rng, rows = np.random.default_rng(1), ["genome_id\tfasta"]
    for name, fasta in genomes:
        write_fasta(folder / f"ref_{fasta}", [("s", mutate(next(read_fasta(folder / fasta)).sequence, 0.01, rng))])
        rows.append(f"ref_{name}\tref_{fasta}")
    (folder / "reference.tsv").write_text("\n".join(rows) + "\n")
    changes = {"sets": [tiny("one")], "seeds": [1], "with_reference": True}
    run_snakemake(folder, root, *settings(folder, **changes), "--config", "reference=reference.tsv")
    results = folder / "results/benchmark_binners"
    rows = {row["binner"]: row for row in read_rows(results / "binning.tsv")}
    assert list(rows) == ["novabin", "novabin_reference"]
    assert int(rows["novabin_reference"]["recovered_90_5"]) >= int(rows["novabin"]["recovered_90_5"])
    log = (folder / "logs/run_binner/one.1.novabin_reference.log").read_text()
    assert "have a relative among 4 species" in log and "are surely of one of its species" in log
    assert "relative" not in (folder / "logs/run_binner/one.1.novabin.log").read_text()
    # By their names, or by their files.
    (folder / "other.tsv").write_text(
        "genome_id\tfasta\n" + "\n".join(f"other{i}\t{row[1]}" for i, row in enumerate(genomes))
    )
    for reference in ("genomes.tsv", "other.tsv"):
        target = settings(folder, **changes)
        done = run_snakemake(folder, root, *target, "--config", f"reference={reference}", check=False)
        assert done.returncode and "benchmark.genomes and reference have 4 genomes in common, such as" in done.stdout
    done = run_snakemake(folder, root, "-n", *settings(folder, **changes), "--config", "reference=null")
    assert "novabin_reference was not run: there is no reference" in done.stdout

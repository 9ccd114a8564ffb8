"""The workflow on real input: a gut metagenome with reads, an assembly with its truth, genomes against an index."""

import csv
import json
from pathlib import Path

import pytest
from running import run_snakemake

pytestmark = pytest.mark.shared


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def metric(folder: Path, sample: str, name: str, by: str = "bp", unbinned: str = "counted_kept") -> float:
    for row in rows(folder / f"results/evaluation/{sample}/metrics.tsv"):
        if (row["metric"], row["by"], row["unbinned"]) == (name, by, unbinned):
            return float(row["value"])
    raise KeyError(name)


@pytest.fixture(scope="module")
def metagenomes(tmp_path_factory, root, shared) -> Path:
    """One run over the two real metagenomes."""
    folder = tmp_path_factory.mktemp("metagenomes")
    gut, cpr = shared / "metagenomes/infant_gut_N5", shared / "metagenomes/cpr_pair"
    (folder / "samples.tsv").write_text(
        f"sample\tcontigs\ttruth\ngut\t{gut / 'scaffolds.fa.gz'}\t\n"
        f"cpr\t{cpr / 'assembly.fa.gz'}\t{cpr / 'gold_contig2genome.tsv'}\n"
    )
    (folder / "libraries.tsv").write_text(
        f"library\tgroup\treads_1\treads_2\nN5\tgut\t{gut / 'R1.fastq.gz'}\t{gut / 'R2.fastq.gz'}\n"
    )
    run_snakemake(folder, root, "--config", "samples=samples.tsv", "libraries=libraries.tsv", "reference=null")
    return folder


def test_gut_reads_reach_the_bins(metagenomes):
    fastp = json.loads((metagenomes / "results/reads/N5/fastp.json").read_text())
    assert fastp["summary"]["before_filtering"]["total_reads"] == 41_864  # 2 x 20,932 pairs in the files
    depth = [float(row["N5"]) for row in rows(metagenomes / "results/depth/gut/depth.tsv")]
    assert min(depth) > 0.5 and sorted(depth)[len(depth) // 2] > 3
    status = rows(metagenomes / "results/bins/gut/contigs.tsv")
    assert len(status) == 178
    # MaxBin2 puts all but one of these scaffolds into one bin.
    assert len(rows(metagenomes / "results/bins/gut/bins.tsv")) == 1
    assert sum(row["status"] == "binned" for row in status) >= 8


def test_two_cpr_genomes_come_apart(metagenomes):
    assert metric(metagenomes, "cpr", "bins_completeness_gt_50_contamination_lt_5") == 2
    assert metric(metagenomes, "cpr", "average_purity") > 0.98
    assert metric(metagenomes, "cpr", "average_completeness") > 0.7


def write_reference(path: Path, table: Path) -> None:
    """Write a table of the shared genomes as reference.tsv."""
    lines = ["genome_id\tfasta\ttaxonomy"]
    for row in rows(table):
        # Names stand for taxa; clusters of 95% ANI for species, which have no name in many genomes.
        ranks = {"d": row["domain"], "p": row["phylum"], "g": row["genus"], "s": row["ani95_cluster"]}
        lineage = ";".join(f"{prefix}__{ranks.get(prefix, '')}" for prefix in "dpcofgs")
        fasta = table.with_suffix("") / f"{row['genome_id']}.fa.gz"
        lines.append(f"{row['genome_id']}\t{fasta}\t{lineage}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def community(tmp_path_factory, root, shared) -> Path:
    """A CAMI-like community of 20 dev genomes with five libraries, binned and searched in an index of train."""
    folder = tmp_path_factory.mktemp("community")
    write_reference(folder / "dev.tsv", shared / "genomes/dev.tsv")
    write_reference(folder / "train.tsv", shared / "genomes/train.tsv")
    (folder / "community.yaml").write_text(
        "samples: dev.tsv\nlibraries: null\nreference: train.tsv\n"
        "simulate: {genomes: dev.tsv, n_genomes: 20, n_libraries: 5, read_pairs: false}\n"
    )
    # `simulate` needs no samples; a table must be there all the same.
    (folder / "samples.tsv").write_text(f"sample\tcontigs\nnone\t{folder / 'dev.tsv'}\n")
    run_snakemake(folder, root, "simulate", "--configfile", "community.yaml", "--config", "samples=samples.tsv")
    run_snakemake(
        folder, root, "--configfile", "results/simulation/config.yaml", "--config", "pathvars={results: results}"
    )
    return folder


def test_community_is_binned(community):
    assert metric(community, "simulated", "bins_completeness_gt_50_contamination_lt_10") >= 10
    assert metric(community, "simulated", "average_purity") > 0.85


def test_novelty_calls_of_bins_hold_their_rate(community):
    """Of the bins called novel at 10%, those of an indexed species are few; some of the novel ones are found."""
    truth = {row["genome"]: row["novelty"] for row in rows(community / "results/simulation/truth/genomes.tsv")}
    genome = {row["bin"]: row["genome"] for row in rows(community / "results/evaluation/simulated/bins.tsv")}
    calls = {row["query"]: row["call"] for row in rows(community / "results/novelty/simulated/bins.tsv")}
    novel = [truth[genome[name]] for name, call in calls.items() if call.startswith("novel")]
    wrong = sum(rank == "known" for rank in novel)
    print(f"bins called novel: {len(novel)}, of indexed species: {wrong}")
    assert novel
    assert wrong <= 0.1 * len(novel) + 2 * (0.1 * 0.9 * len(novel)) ** 0.5  # nominal rate and two standard errors

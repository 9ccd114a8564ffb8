"""Single-sample, multi-sample and co-assembly: which libraries are counted on which contigs, from real reads."""

import re
import shutil

import pytest
from running import link_example, run_snakemake

from workflow_lib.fasta import read_fasta, write_fasta

TOOLS = ("fastp", "minimap2", "samtools")
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)} on PATH"
)
SIMULATE = "simulate={n_genomes: 4, n_reference: 8, genome_length: 150000, n_libraries: 2, mean_depth: 4, seed: 3}"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, root):
    """A community with reads of two libraries; two assemblies of it with contigs cut at other places."""
    folder = link_example(tmp_path_factory.mktemp("modes"), root)
    run_snakemake(folder, root, "--config", SIMULATE, "--", "simulate")
    contigs = list(read_fasta(folder / "results/simulation/contigs.fa.gz"))
    for number, share in ((1, 0.4), (2, 0.7)):
        pieces = []
        for record in contigs:
            cut = int(share * len(record.sequence))
            pieces += [(f"{record.name}_a", record.sequence[:cut]), (f"{record.name}_b", record.sequence[cut:])]
        write_fasta(folder / f"assembly_{number}.fa.gz", pieces)
    return folder


def tables(folder, name: str, samples: list[tuple], groups: dict[int, str]) -> list[str]:
    """Write tables of `samples` (name, contigs, group), library i in groups[i]; return the arguments to run them."""
    (folder / f"{name}.samples.tsv").write_text(
        "sample\tcontigs\tgroup\n" + "".join("\t".join(row) + "\n" for row in samples)
    )
    rows = [
        f"library_{i}\t{group}\tresults/simulation/reads/library_{i}_R1.fastq.gz\t"
        f"results/simulation/reads/library_{i}_R2.fastq.gz\n"
        for i, group in groups.items()
    ]
    (folder / f"{name}.libraries.tsv").write_text("library\tgroup\treads_1\treads_2\n" + "".join(rows))
    return [
        "--config", f"samples={name}.samples.tsv", f"libraries={name}.libraries.tsv", "reference=null",
        f"pathvars={{results: {name}, logs: {name}/logs, benchmarks: {name}/benchmarks, resources: resources}}",
    ]  # fmt: skip


def planned_depths(folder, root, arguments: list[str]) -> set[tuple[str, str]]:
    """(sample, library) of the jobs that measure depth, from a dry run."""
    text = run_snakemake(folder, root, "-n", *arguments).stdout
    jobs = text.split("rule measure_depth:")[1:]
    wildcards = [re.search(r"wildcards: (.*)", job).group(1) for job in jobs]
    pairs = [dict(pair.split("=") for pair in text.split(", ")) for text in wildcards]
    return {(pair["sample"], pair["library"]) for pair in pairs}


def depth_libraries(results, sample: str) -> list[str]:
    header = (results / f"depth/{sample}/depth.tsv").read_text().split("\n")[0].split("\t")
    return header[2::2]


def n_bins(results, sample: str) -> int:
    return len((results / f"bins/{sample}/bins.tsv").read_text().splitlines()) - 1


def test_single_sample(simulated, root):
    samples = [("one", "assembly_1.fa.gz", "one"), ("two", "assembly_2.fa.gz", "two")]
    arguments = tables(simulated, "single", samples, {1: "one", 2: "two"})
    assert planned_depths(simulated, root, arguments) == {("one", "library_1"), ("two", "library_2")}


def test_co_assembly(simulated, root):
    samples = [("all", "results/simulation/contigs.fa.gz", "all")]
    arguments = tables(simulated, "co", samples, {1: "all", 2: "all"})
    assert planned_depths(simulated, root, arguments) == {("all", "library_1"), ("all", "library_2")}


def test_multi_sample(simulated, root):
    samples = [("one", "assembly_1.fa.gz", "all"), ("two", "assembly_2.fa.gz", "all")]
    arguments = tables(simulated, "multi", samples, {1: "all", 2: "all"})
    run_snakemake(simulated, root, *arguments, "--", "multi/genomes/clusters.tsv")
    results = simulated / "multi"
    for sample in ("one", "two"):
        assert depth_libraries(results, sample) == ["library_1", "library_2"]
        assert n_bins(results, sample) >= 1
    clusters = [row.split("\t") for row in (results / "genomes/clusters.tsv").read_text().splitlines()[1:]]
    sources = {row[0]: {other[3] for other in clusters if other[0] == row[0]} for row in clusters}
    assert any(of == {"one", "two"} for of in sources.values())  # a genome that both samples have is one cluster

"""Tell the genome of every contig that was assembled from the reads of a benchmark set."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.benchmark.assembly import label_assembly
    from workflow_lib.simulate.benchmark_set import BenchmarkSet

    chosen = BenchmarkSet(**snakemake.params.set)
    community = chosen.draw(snakemake.input.table, int(snakemake.wildcards.seed))
    files = snakemake.output
    label_assembly(snakemake.input.assembly, chosen, community, contigs=files.contigs, truth=files.truth)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

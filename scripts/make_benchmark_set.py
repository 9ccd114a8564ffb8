"""Draw a community of a benchmark set and write its contigs and truth."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.simulate.benchmark_set import BenchmarkSet, write_set

    chosen = BenchmarkSet(**snakemake.params.set)
    community = chosen.draw(snakemake.input.table, int(snakemake.wildcards.seed))
    write_set(chosen, community, contigs=snakemake.output.contigs, truth=snakemake.output.truth)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

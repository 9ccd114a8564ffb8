"""Draw the read pairs of one library of a benchmark set."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.simulate import write_read_pairs
    from workflow_lib.simulate.benchmark_set import BenchmarkSet

    seed, library = int(snakemake.wildcards.seed), int(snakemake.wildcards.number) - 1
    community = BenchmarkSet(**snakemake.params.set).draw(snakemake.input.table, seed)
    paths = (snakemake.output.reads_1, snakemake.output.reads_2)
    write_read_pairs(paths, community, library=library, seed=seed)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

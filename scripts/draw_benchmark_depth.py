"""Draw the depth of a benchmark set: the table that all binners get, and the halves that SemiBin2 learns from."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.simulate.benchmark_set import BenchmarkSet, write_drawn_depth

    chosen, seed = BenchmarkSet(**snakemake.params.set), int(snakemake.wildcards.seed)
    community = chosen.draw(snakemake.input.table, seed)
    halves = [f"{snakemake.output.halves}/{library}.tsv" for library in community.libraries]
    write_drawn_depth(chosen, community, depth=snakemake.output.depth, halves=halves, seed=seed)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

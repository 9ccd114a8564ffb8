"""Put the scores of all binners and sets on one page, with a plot and the genomes that are lost."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.benchmark.page import write_comparison

    params = snakemake.params
    write_comparison(
        Path(snakemake.output.text).parent,
        scores=snakemake.input.scores,
        genomes=snakemake.input.genomes,
        facts=snakemake.input.facts,
        sets=params.sets,
        min_bin_length=params.min_bin_length,
        not_run=params.not_run,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

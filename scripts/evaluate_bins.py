"""Evaluate a sample's bins against its truth: tables of measures, bins and genomes, and two plots."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.evaluate import evaluate_files
    from workflow_lib.evaluate.plots import plot_bin_quality, plot_ranked

    evaluation = evaluate_files(
        contig2bin=snakemake.input.contig2bin,
        truth=snakemake.input.truth,
        status=snakemake.input.status,
    )
    plot_bin_quality(evaluation.bins, snakemake.output.quality)
    plot_ranked(evaluation.bins, evaluation.genomes, snakemake.output.ranked)
    evaluation.write(
        metrics=snakemake.output.metrics,
        bins=snakemake.output.bins,
        genomes=snakemake.output.genomes,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

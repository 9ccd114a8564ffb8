"""Summarise a sample for the report: numbers, tables and the 2-D map of its contigs."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.report import SampleFiles, summarise_sample, write_summary

    files = SampleFiles(
        contigs=snakemake.input.contigs,
        bins=snakemake.input.bins,
        binning=snakemake.input.binning,
        embeddings=Path(snakemake.input.manifest).parent,
        novelty_contigs=snakemake.input.novelty_contigs or None,
        novelty_bins=snakemake.input.novelty_bins or None,
        metrics=snakemake.input.metrics or None,
        evaluation_bins=snakemake.input.evaluation_bins or None,
        quality=snakemake.input.quality or None,
        review_bins=snakemake.input.review_bins or None,
        review_merges=snakemake.input.review_merges or None,
        fastp=dict(zip(snakemake.params.short_read_libraries, snakemake.input.fastp, strict=True)),
    )
    summary = summarise_sample(
        snakemake.wildcards.sample,
        files,
        group=snakemake.params.group,
        libraries=snakemake.params.libraries,
        max_points=snakemake.params.max_points,
        seed=snakemake.params.seed,
    )
    write_summary(snakemake.output.summary, summary)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

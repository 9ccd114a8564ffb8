"""Cluster the bins of all samples, and of other folders, into genomes with a representative each."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.dereplicate.stage import dereplicate_bins

    files, params = snakemake.input, snakemake.params
    dereplicate_bins(
        dict(zip(params.samples, files.bins, strict=True)),
        snakemake.output.table,
        snakemake.output.fasta,
        folders=files.folders,
        qualities=dict(zip(params.samples, files.qualities, strict=True)) if files.qualities else {},
        folder_qualities=files.folder_qualities or None,
        min_ani=params.min_ani,
        min_aligned=params.min_aligned,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

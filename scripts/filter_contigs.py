"""Keep the contigs that are fit to be binned and give every input record a status."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.filter.contigs import filter_contigs

    filter_contigs(
        snakemake.input.contigs,
        snakemake.output.contigs,
        snakemake.output.status,
        min_length=snakemake.params.min_length,
        max_n_fraction=snakemake.params.max_n_fraction,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

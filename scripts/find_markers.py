"""Find the marker genes of a sample's contigs."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.markers.find import find_markers

    find_markers(
        snakemake.input.contigs,
        genes_table=snakemake.output.genes,
        families_table=snakemake.output.families,
        method=snakemake.params.method,
        hmm=snakemake.input.hmm or None,
        e_value=snakemake.params.e_value,
        threads=snakemake.threads,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

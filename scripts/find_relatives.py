"""Find the reference species that share most with each contig of a sample."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.relatives.find import find_relatives

    files = snakemake.input
    find_relatives(files.contigs, Path(files.sketch).parent, files.table, snakemake.output.table)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

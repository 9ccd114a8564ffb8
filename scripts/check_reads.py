"""Check that the read files of a library are whole FASTQ and count their reads."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.filter.reads import check_reads

    check_reads(list(snakemake.input.reads), snakemake.output.counts)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

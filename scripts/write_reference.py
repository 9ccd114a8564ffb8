"""Write the contigs that reads are mapped to: all of an assembly, with unique names."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.depth.reference import write_reference

    write_reference(snakemake.input.assembly, snakemake.output.reference)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

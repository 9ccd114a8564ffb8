"""Join the depth of a sample's libraries into one table."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.depth.table import merge_depth

    merge_depth(list(snakemake.input.libraries), snakemake.output.depth)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

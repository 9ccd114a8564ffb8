"""Rate the bins of other runs and programs by marker genes."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.bin_folders import name_folders
    from workflow_lib.markers.folders import rate_folders

    params = snakemake.params
    rate_folders(
        name_folders(snakemake.input.folders, params.samples),
        snakemake.output.table,
        method=params.method,
        hmm=snakemake.input.hmm or None,
        e_value=params.e_value,
        threads=snakemake.threads,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

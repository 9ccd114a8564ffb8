"""Write the report: all samples on one self-contained HTML page."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.report import write_report

    write_report(
        snakemake.output.page,
        snakemake.input.summaries,
        calibration=Path(snakemake.input.calibration).parent if snakemake.input.calibration else None,
        title=snakemake.params.title,
        configuration=snakemake.params.configuration,
        clusters=snakemake.input.clusters or None,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

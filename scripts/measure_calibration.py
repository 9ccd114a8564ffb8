"""Try the calibration on clades of the reference that it did not see."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.novelty import Settings
    from workflow_lib.novelty.honesty import measure_calibration
    from workflow_lib.tables import load_reference

    measure_calibration(
        Path(snakemake.input.index).parent,
        {genome.name: genome for genome in load_reference(snakemake.input.table, check_files=False).values()},
        Path(snakemake.output.rates).parent,
        settings=Settings(**snakemake.params.settings),
        seed=snakemake.params.seed,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

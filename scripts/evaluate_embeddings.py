"""Put the scores of all sets and embedders on one page, with tables and plots."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.scoreboard.page import write_scoreboard

    files = [Path(path) for path in snakemake.input.scores]
    write_scoreboard(
        Path(snakemake.output.page).parent,
        {(path.parts[-3], path.parts[-2]): path for path in files},
        {Path(path).parent.name: path for path in snakemake.input.facts},
        shots=snakemake.params.shots,
        not_run=snakemake.params.not_run,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""Score the vectors of a labelled set by all measures."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.scoreboard.stage import score_set, write_table
    from workflow_lib.scoreboard.vectors import SetVectors

    embedded = SetVectors.read(snakemake.input.vectors)
    seeds = range(1, snakemake.params.seeds + 1)
    write_table(snakemake.output.scores, score_set(embedded, shots=snakemake.params.shots, seeds=seeds))


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""Make a labelled set: sequences and species, as given or cut from genomes."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.scoreboard.stage import make_set, write_facts
    from workflow_lib.tables import SetSource

    source = SetSource(**snakemake.params.source)
    labelled = make_set(source)
    labelled.write(snakemake.output.sequences)
    write_facts(snakemake.output.facts, source, labelled)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""Sketch the k-mers of the reference genomes, for the identities of the novelty scores."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.novelty.sketch import sketch_genomes, write_sketch
    from workflow_lib.tables import load_reference

    genomes = load_reference(snakemake.input.table)
    write_sketch(Path(snakemake.output.manifest).parent, sketch_genomes(genomes.values(), scale=snakemake.params.scale))


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

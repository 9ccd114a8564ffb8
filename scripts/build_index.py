"""Build the index of the reference windows and calibrate it; the manifest comes last."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.index.reference import read_reference
    from workflow_lib.novelty.build import build_calibrated_index
    from workflow_lib.tables import load_reference

    genomes = load_reference(snakemake.input.table, check_files=False)
    windows, pieces = read_reference(Path(snakemake.input.manifest).parents[1])
    build_calibrated_index(
        windows,
        pieces,
        {genome.name: genome.taxonomy for genome in genomes.values()},
        Path(snakemake.output.manifest).parent,
        factory=snakemake.params.factory,
        neighbours=snakemake.params.neighbours,
        n_pieces=snakemake.params.pieces,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""Calibrate the index of the reference; the manifest comes last."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.index.reference import join_stores
    from workflow_lib.index.shards import open_shards
    from workflow_lib.novelty.build import calibrate_index
    from workflow_lib.novelty.sketch import read_sketch
    from workflow_lib.tables import load_reference

    params = snakemake.params
    pieces = join_stores(Path(path).parent for path in snakemake.input.pieces if Path(path).name == "manifest.json")
    calibrate_index(
        Path(snakemake.output.manifest).parent,
        open_shards(snakemake.input.windows),
        pieces,
        neighbours=params.neighbours,
        n_pieces=params.pieces,
        contamination=params.contamination,
        n_genomes=params.n_genomes,
        device=params.device if snakemake.resources.gpu else "cpu",
        sketch=read_sketch(Path(snakemake.input.sketch).parent),
        genomes=load_reference(snakemake.input.table, check_files=False),
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

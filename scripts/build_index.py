"""Build the index of the reference windows, or extend the one that is there."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.index.growth import IndexOptions, grow_index
    from workflow_lib.index.shards import open_shards
    from workflow_lib.tables import load_reference

    genomes = load_reference(snakemake.input.table, check_files=False)
    trained, growth, *parts = snakemake.input.parts or [None, None]
    grow_index(
        Path(snakemake.output.manifest).parent,
        open_shards(snakemake.input.windows),
        {genome.name: genome.taxonomy for genome in genomes.values()},
        IndexOptions(**snakemake.params.options, version=snakemake.params.version),
        trained=trained,
        growth=growth,
        parts=[part for part in parts if part.endswith(".faiss")],
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

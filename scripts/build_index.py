"""Build the index of the reference windows, or extend the one that is there."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.index.growth import IndexOptions, grow_index
    from workflow_lib.store import read_store
    from workflow_lib.tables import load_reference

    genomes = load_reference(snakemake.input.table, check_files=False)
    folders = [Path(path).parent for path in snakemake.input.windows if Path(path).name == "manifest.json"]
    trained, growth, *parts = snakemake.input.parts or [None, None]
    grow_index(
        Path(snakemake.output.manifest).parent,
        [read_store(folder, mmap=True) for folder in folders],
        {genome.name: genome.taxonomy for genome in genomes.values()},
        IndexOptions(**snakemake.params.options, version=snakemake.params.version),
        trained=trained,
        growth=growth,
        parts=parts,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

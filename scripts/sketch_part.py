"""Sketch the k-mers of a part of the reference genomes, for the identities of the novelty scores."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.novelty.sketch import sketch_genomes, write_sketch
    from workflow_lib.tables import load_reference

    genomes, params = load_reference(snakemake.input.table, check_files=False), snakemake.params
    sketch = sketch_genomes([genomes[name] for name in params.names], scale=params.scale)
    write_sketch(Path(snakemake.output.manifest).parent, sketch)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

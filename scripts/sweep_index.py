"""Put the configurations of the sweep side by side and recommend one."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    import pandas as pd

    from workflow_lib.sweep.data import read_sweep
    from workflow_lib.sweep.page import write_sweep
    from workflow_lib.tables import load_reference

    genomes = load_reference(snakemake.input.table, check_files=False)
    data = read_sweep(Path(snakemake.input.truth).parent, {genome.name: genome.taxonomy for genome in genomes.values()})
    measures = pd.concat([pd.read_csv(path, sep="\t") for path in snakemake.input.measures], ignore_index=True)
    write_sweep(
        Path(snakemake.output.table).parent,
        measures,
        data,
        recall=snakemake.params.recall,
        title="Kinds of index on this reference",
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

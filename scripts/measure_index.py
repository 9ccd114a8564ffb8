"""Measure one kind of index, or MMseqs2, on the data of the sweep."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.sweep.data import read_sweep
    from workflow_lib.sweep.measure import measure_factory, write_measures
    from workflow_lib.sweep.mmseqs import measure_mmseqs
    from workflow_lib.tables import load_reference

    genomes = load_reference(snakemake.input.table, check_files=False)
    folder, factory = Path(snakemake.input.truth).parent, snakemake.params.factory
    data = read_sweep(folder, {genome.name: genome.taxonomy for genome in genomes.values()})
    if factory == "MMseqs2":
        measures = measure_mmseqs(data, folder, threads=snakemake.threads)
    else:
        measures = measure_factory(data, factory)
    write_measures(snakemake.output.measures, measures)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""Score one binner on one benchmark set: one row of measures, and a row a genome."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    import json
    from pathlib import Path

    import pandas as pd

    from workflow_lib.benchmark.binners import read_clusters
    from workflow_lib.benchmark.scores import read_truth, score_binning
    from workflow_lib.scoreboard.stage import write_table

    wildcards = snakemake.wildcards
    key = {"set": wildcards.community, "seed": int(wildcards.seed), "binner": wildcards.binner}
    scores, genomes = score_binning(
        read_clusters(wildcards.binner, snakemake.input.clusters),
        read_truth(snakemake.input.truth),
        min_bin_length=snakemake.params.min_bin_length,
    )
    usage = json.loads(Path(snakemake.input.usage).read_text(encoding="utf-8"))
    write_table(snakemake.output.scores, pd.DataFrame([{**key, **scores, **usage}]))
    write_table(snakemake.output.genomes, genomes.assign(**key))


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

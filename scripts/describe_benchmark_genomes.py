"""Describe the genomes of a benchmark set by what may explain that a binner loses them."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.benchmark.facts import describe_genomes
    from workflow_lib.benchmark.scores import read_truth
    from workflow_lib.scoreboard.stage import write_table

    files, wildcards = snakemake.input, snakemake.wildcards
    facts = describe_genomes(files.contigs, files.depth, read_truth(files.truth))
    write_table(snakemake.output.facts, facts.assign(set=wildcards.community, seed=int(wildcards.seed)))


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

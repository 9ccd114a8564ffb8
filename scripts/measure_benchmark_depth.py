"""Measure the depth of a benchmark set in the alignments of all its libraries."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.depth.bam import measure_bam
    from workflow_lib.depth.table import write_depth
    from workflow_lib.fasta import read_fasta

    lengths = {record.name: len(record.sequence) for record in read_fasta(snakemake.input.contigs)}
    names = list(lengths)
    columns = {}
    for number, bam in enumerate(snakemake.input.bams, start=1):
        depth = measure_bam(bam, names, list(lengths.values()), threads=snakemake.threads, **snakemake.params.cut)
        columns[f"library_{number}"] = (depth.mean, depth.variance)
    write_depth(snakemake.output.depth, names, list(lengths.values()), columns)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

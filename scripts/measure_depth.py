"""Depth of one library on one sample's contigs, from alignments (BAM, CRAM) or from the user's depth table."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.bin.inputs import read_status
    from workflow_lib.depth.table import read_depth_table, write_depth
    from workflow_lib.filter.contigs import read_kept_contigs

    library, source = snakemake.wildcards.library, snakemake.input
    names, lengths = read_kept_contigs(source.status)
    if "depth" in source.keys():  # noqa: SIM118 -- snakemake's input is a list with names
        assembly = {row.contig for row in read_status(source.status)}
        columns = read_depth_table(
            source.depth, names, lengths, library=library, assembly=assembly, **snakemake.params.options
        )
    else:
        from workflow_lib.depth.bam import measure_bam

        depth = measure_bam(
            source.bam,
            names,
            lengths,
            assembly=source.get("assembly"),
            threads=snakemake.threads,
            **snakemake.params.options,
        )
        columns = {library: (depth.mean, depth.variance)}
    write_depth(snakemake.output.depth, names, lengths, columns)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

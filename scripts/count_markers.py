"""Count the marker genes of a sample's bins: completeness and contamination."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.contig2bin import read_bins
    from workflow_lib.markers.counts import read_counts, write_marker_quality

    files = snakemake.input
    contigs = Path(files.names).read_text(encoding="utf-8").split("\n")[:-1]
    markers = read_counts(files.genes, files.families, contigs)
    write_marker_quality(snakemake.output.bins, markers, contigs, read_bins(files.contig2bin))


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

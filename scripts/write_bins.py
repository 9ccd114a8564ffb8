"""Write the contigs of every bin to a FASTA file of its own."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.bin.fasta_files import write_bin_fasta

    write_bin_fasta(snakemake.output.fasta, snakemake.input.contigs, snakemake.input.contig2bin)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

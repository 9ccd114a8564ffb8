"""Group the novel bins of all samples into proposed taxa, and look them up in earlier runs."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.novelty.taxa import SampleFiles, propose_taxa

    given = snakemake.input
    files = zip(given.novelty, given.contig2bin, given.stores, given.fasta, strict=True)
    propose_taxa(
        {
            sample: SampleFiles(novelty, contig2bin, Path(store).parent, fasta)
            for sample, (novelty, contig2bin, store, fasta) in zip(snakemake.params.samples, files, strict=True)
        },
        Path(given.index).parent,
        archives=snakemake.params.archives,
        table=snakemake.output.table,
        archive_folder=Path(snakemake.output.archive).parent,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

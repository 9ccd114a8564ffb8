"""Call contigs and bins of a sample novel, known or neither."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.novelty import Settings, call_sample

    given, params = snakemake.input, snakemake.params
    call_sample(
        Path(given.store).parent,
        given.contig2bin,
        given.status,
        Path(given.index).parent,
        settings=Settings(**params.settings),
        sketch_folder=Path(given.sketch).parent,
        contigs_fasta=given.fasta,
        contigs_path=snakemake.output.contigs,
        bins_path=snakemake.output.bins,
        device=params.device if snakemake.resources.gpu else "cpu",
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""Bin the contigs of a sample: threshold, K-medoid, and the tables that tell of every contig and bin."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.bin.assign import BinningOptions
    from workflow_lib.bin.stage import BinInputs, BinOutputs, ThresholdOptions, bin_sample
    from workflow_lib.embed.registry import select_options

    files, params = snakemake.input, snakemake.params
    model = params.embedder["model"]
    embedder = {  # as scripts/embed_contigs.py has it
        "name_or_folder": Path(files.model).parent if files.model else model,
        "device": params.device if snakemake.resources.gpu else "cpu",
        "threads": snakemake.threads,
        **select_options(model, params.embedder),
    }
    bin_sample(
        snakemake.wildcards.sample,
        BinInputs(
            contigs=files.contigs,
            status=files.status,
            embeddings=Path(files.manifest).parent,
            pieces=files.pieces,
            depth=files.depth or None,
            marker_genes=files.marker_genes or None,
            marker_families=files.marker_families or None,
            relatives=files.relatives or None,
        ),
        BinOutputs(**dict(snakemake.output.items())),
        BinningOptions(**(params.binning | ({} if snakemake.resources.gpu else {"device": "cpu"}))),
        ThresholdOptions(**params.threshold, embedder=embedder),
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

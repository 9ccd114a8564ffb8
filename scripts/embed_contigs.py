"""Embed the contigs of a sample into its store."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.embed import embed_fasta
    from workflow_lib.embed.registry import load_configured

    params = snakemake.params
    folder = Path(snakemake.output.manifest).parent
    embedder = load_configured(
        params.embedder,
        model_file=snakemake.input.model,
        # A rule that asks for a GPU gets none under `--resources gpu=0`: the user's word for the CPU.
        device=params.device if snakemake.resources.gpu else "cpu",
        threads=snakemake.threads,
    )
    embed_fasta(
        embedder,
        snakemake.input.contigs,
        folder,
        shard_folder=folder.parent / ".shards",  # shared by all samples; not an output: its content is addressed by key
        shard_mbp=params.shard_mbp,
        n_pieces=params.n_pieces,
        min_piece=params.min_piece,
        cut_long=params.cut_long,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

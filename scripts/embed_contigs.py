"""Embed the contigs of a sample into its store."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.embed import embed_fasta, load_embedder
    from workflow_lib.embed.registry import select_options

    params = snakemake.params
    model = params.embedder["model"]
    folder = Path(snakemake.output.manifest).parent
    embedder = load_embedder(
        # A model that another rule fetched or trained lies beside that rule's last file.
        Path(snakemake.input.model).parent if snakemake.input.model else model,
        # A rule that asks for a GPU gets none under `--resources gpu=0`: the user's word for the CPU.
        device=params.device if snakemake.resources.gpu else "cpu",
        threads=snakemake.threads,
        **select_options(model, params.embedder),
    )
    embed_fasta(
        embedder,
        snakemake.input.contigs,
        folder,
        shard_folder=folder.parent / ".shards",  # shared by all samples; not an output: its content is addressed by key
        shard_mbp=params.shard_mbp,
        n_pieces=params.n_pieces,
        min_piece=params.min_piece,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

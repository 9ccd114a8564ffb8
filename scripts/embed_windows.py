"""Embed the windows of a part of the reference genomes."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.embed.registry import load_configured
    from workflow_lib.index.reference import embed_windows
    from workflow_lib.store import write_store
    from workflow_lib.tables import load_reference

    params = snakemake.params
    folder = Path(snakemake.output.manifest).parent
    embedder = load_configured(
        params.embedder,
        model_file=snakemake.input.model,
        # A rule that asks for a GPU gets none under `--resources gpu=0`: the user's word for the CPU.
        device=params.device if snakemake.resources.gpu else "cpu",
        threads=snakemake.threads,
    )
    genomes = load_reference(snakemake.input.table, check_files=False)
    windows = embed_windows(
        embedder,
        [genomes[name] for name in params.names],
        window=params.window,
        shard_folder=folder.parents[3] / "embeddings" / ".shards",  # as those of the samples: addressed by key
        shard_mbp=params.shard_mbp,
        version=params.version[0],
    )
    write_store(folder, windows)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

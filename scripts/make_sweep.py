"""Split the reference genomes, embed windows and queries, and search exactly."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.embed import load_embedder
    from workflow_lib.embed.registry import select_options
    from workflow_lib.sweep.data import make_sweep
    from workflow_lib.tables import load_reference

    params = snakemake.params
    model = params.embedder["model"]
    folder = Path(snakemake.output.truth).parent
    embedder = load_embedder(
        # A model that another rule fetched or trained lies beside that rule's last file.
        Path(snakemake.input.model).parent if snakemake.input.model else model,
        # A rule that asks for a GPU gets none under `--resources gpu=0`: the user's word for the CPU.
        device=params.device if snakemake.resources.gpu else "cpu",
        threads=snakemake.threads,
        **select_options(model, params.embedder),
    )
    make_sweep(
        embedder,
        list(load_reference(snakemake.input.table, check_files=False).values()),
        folder,
        shard_folder=folder.parent / "embeddings" / ".shards",  # as those of the samples: addressed by key
        **params.options,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

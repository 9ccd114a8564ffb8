"""Embed a labelled set with one embedder; TNF-VAE is trained on the set first."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.embed import load_embedder
    from workflow_lib.embed.registry import select_options
    from workflow_lib.scoreboard.labelled import read_set
    from workflow_lib.scoreboard.vectors import embed_set, train_and_load_vae

    params = snakemake.params
    labelled = read_set(snakemake.input.sequences)
    model = params.embedder["model"]
    options = select_options(model, params.embedder)
    if model == "tnf-vae":
        options.pop("weights", None)
        embedder = train_and_load_vae(labelled, threads=snakemake.threads, **options)
    else:
        device = params.device if snakemake.resources.gpu else "cpu"
        # A model of the hub lies where fetch_model put it, beside its record.
        place = Path(snakemake.input.model).parent if snakemake.input.model else model
        embedder = load_embedder(place, device=device, threads=snakemake.threads, **options)
    results = Path(snakemake.output.vectors).parents[3]
    embedded = embed_set(
        embedder,
        labelled,
        lengths=params.lengths,
        shard_folder=results / "embeddings" / ".shards",
        shard_mbp=params.shard_mbp,
    )
    embedded.write(snakemake.output.vectors)


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

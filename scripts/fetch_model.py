"""Download the embedding model from the Hugging Face hub, pinned to a commit."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.embed.hub import fetch_model

    params = snakemake.params
    fetch_model(
        params.model,
        Path(snakemake.output.record).parent,
        revision=params.revision,
        trust_remote_code=params.trust_remote_code,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""Train one TNF-VAE on the contigs of all samples."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.embed.tnf_vae import train_tnf_vae

    train_tnf_vae(
        snakemake.input.contigs,
        Path(snakemake.output.config).parent,
        threads=snakemake.threads,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

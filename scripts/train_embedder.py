"""Train an embedder on a table of genomes to tell species apart."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.train.embedder import train_embedder
    from workflow_lib.train.options import read_training

    options = snakemake.params.options
    folder = Path(snakemake.output.config).parent
    train_embedder(
        options["model"],
        snakemake.input.table,
        folder,
        **read_training(options, folder),
        # A rule that asks for a GPU gets none under `--resources gpu=0`: the user's word for the CPU.
        device=options["device"] if snakemake.resources.gpu else "cpu",
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

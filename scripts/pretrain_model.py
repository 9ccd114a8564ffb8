"""Pre-train a language model on a table of genomes."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.train.mlm_options import read_pretraining
    from workflow_lib.train.pretraining import pretrain_model

    options = snakemake.params.options
    pretrain_model(
        snakemake.input.table,
        Path(snakemake.output.config).parent,
        **read_pretraining(options),
        # A rule that asks for a GPU gets none under `--resources gpu=0`: the user's word for the CPU.
        device=options["device"] if snakemake.resources.gpu else "cpu",
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""Pre-train a language model on a table of genomes."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.train.loop import LoopSettings
    from workflow_lib.train.mlm_options import PretrainOptions
    from workflow_lib.train.pretraining import pretrain_model

    options = dict(snakemake.params.options)
    settings, method = (
        {name: options[name] for name in kind.__dataclass_fields__ if name in options}
        for kind in (LoopSettings, PretrainOptions)
    )
    pretrain_model(
        snakemake.input.table,
        Path(snakemake.output.config).parent,
        options=PretrainOptions(**method),
        settings=LoopSettings(**settings),
        held_out=options["held_out"],
        # A rule that asks for a GPU gets none under `--resources gpu=0`: the user's word for the CPU.
        device=options["device"] if snakemake.resources.gpu else "cpu",
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

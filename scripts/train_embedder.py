"""Train an embedder on a table of genomes to tell species apart."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.train.contrastive import ContrastiveOptions
    from workflow_lib.train.embedder import train_embedder
    from workflow_lib.train.loop import LoopSettings
    from workflow_lib.train.pairs import PairOptions

    options = dict(snakemake.params.options)
    pairs, settings, method = (
        {name: options[name] for name in kind.__dataclass_fields__ if name in options}
        for kind in (PairOptions, LoopSettings, ContrastiveOptions)
    )
    train_embedder(
        options["model"],
        snakemake.input.table,
        Path(snakemake.output.config).parent,
        options=ContrastiveOptions(pairs=PairOptions(**pairs), **method),
        settings=LoopSettings(**settings),
        held_out=options["held_out"],
        dropout=options["dropout"] if options["strategy"] == "dropout" else 0.0,
        recompute=options["recompute"],
        # A rule that asks for a GPU gets none under `--resources gpu=0`: the user's word for the CPU.
        device=options["device"] if snakemake.resources.gpu else "cpu",
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

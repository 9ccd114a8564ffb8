"""Train the index on a sample of the windows, and settle what each part adds to it."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.index.growth import IndexOptions, train_parts
    from workflow_lib.index.shards import open_shards

    train_parts(
        open_shards(snakemake.input.windows),
        Path(snakemake.output.trained).parents[1],
        IndexOptions(**snakemake.params.options, version=snakemake.params.version),
        trained=snakemake.output.trained,
        growth=snakemake.output.growth,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

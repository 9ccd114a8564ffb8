"""Fill a copy of the trained index with a part of the reference genomes."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.index.growth import fill_part
    from workflow_lib.index.shards import WindowShard

    fill_part(
        WindowShard(Path(snakemake.input.manifest).parent),
        int(snakemake.wildcards.part) - 1,
        trained=snakemake.input.trained,
        growth=snakemake.input.growth,
        part=snakemake.output.part,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""Merge the sketches of all parts of the reference into one."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.novelty.sketch import merge_sketches, read_sketch

    manifests = (Path(path) for path in snakemake.input.parts if Path(path).name == "manifest.json")
    merge_sketches(Path(snakemake.output.manifest).parent, [read_sketch(path.parent) for path in manifests])


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

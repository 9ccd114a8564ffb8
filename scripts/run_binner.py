"""Run one binner on one benchmark set and measure it; needs nothing but the standard library."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    import json
    import shlex
    import shutil
    import sys
    from dataclasses import asdict
    from pathlib import Path

    from workflow_lib.benchmark.binners import Task, run_binner
    from workflow_lib.files import atomic_open, atomic_path, scratch_folder

    files, params = snakemake.input, snakemake.params
    tables = Path(files.halves).glob("*.tsv") if "halves" in files.keys() else []  # noqa: SIM118 -- a list with names
    halves = [str(path) for path in sorted(tables, key=lambda path: (len(path.name), path.name))]
    bams = list(files.bams) if "bams" in files.keys() else []  # noqa: SIM118
    task = Task(
        contigs=files.contigs, depth=files.depth, halves=halves, bams=bams, threads=snakemake.threads,
        seed=int(snakemake.wildcards.seed), **params.task,
    )  # fmt: skip
    with scratch_folder(Path(snakemake.output.clusters).parent) as folder:
        program = params.program or shlex.quote(sys.executable)
        clusters, usage = run_binner(snakemake.wildcards.binner, program, task, folder, log=snakemake.log[0])
        with atomic_path(snakemake.output.clusters) as temporary:
            shutil.copyfile(clusters, temporary)
    with atomic_open(snakemake.output.usage) as handle:
        json.dump(asdict(usage), handle, indent=2)
        handle.write("\n")


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

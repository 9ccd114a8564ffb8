"""Time Snakemake's own share: a finished 1-sample run started again, and a dry run of many samples.

    python benchmarks/workflow_overhead.py [--samples 500]

Prints the machine, the commands and the seconds of each, and the peak memory of the child processes.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def snakemake(folder: Path, *arguments: str) -> float:
    """Run snakemake in `folder`; return its seconds. A failure ends the benchmark with the output shown."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return seconds


def write_project(folder: Path, n_samples: int) -> None:
    """Write tables of `n_samples` samples, each with its own contigs and a paired library."""
    data = folder / "data"
    data.mkdir()
    samples, libraries = ["sample\tcontigs\n"], ["library\tgroup\treads_1\treads_2\n"]
    for i in range(n_samples):
        for name in (f"s{i}.fa", f"s{i}_1.fq", f"s{i}_2.fq"):
            (data / name).write_text(">a\nACGT\n")
        samples.append(f"s{i}\tdata/s{i}.fa\n")
        libraries.append(f"l{i}\ts{i}\tdata/s{i}_1.fq\tdata/s{i}_2.fq\n")
    (folder / "samples.tsv").write_text("".join(samples))
    (folder / "libraries.tsv").write_text("".join(libraries))


def main() -> None:
    """Run both measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=500)
    n_samples = parser.parse_args().samples
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tests").symlink_to(ROOT / "tests")  # the example's tables name files below tests/
        (folder / "config").symlink_to(ROOT / "config")
        first = snakemake(folder, "--cores", "2")
        print(f"example, everything to do: {first:.1f} s (snakemake --cores 2)")
        print(f"example, nothing to do: {snakemake(folder, '--cores', '2'):.1f} s (the same command again)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_project(folder, n_samples)
        tables = ["samples=samples.tsv", "libraries=libraries.tsv", "reference=null"]
        seconds = snakemake(folder, "--dry-run", "--quiet", "--cores", "2", "--config", *tables)
        print(f"dry run of {n_samples} samples: {seconds:.1f} s (snakemake --dry-run --quiet --cores 2)")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of the largest child process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()

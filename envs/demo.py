"""The demo: simulate a community, run the workflow on it, and say where the results are (`make demo`)."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import find_tools

ROOT = Path(__file__).resolve().parent.parent
DEMO = Path("demo")  # below ROOT; the simulated tables hold paths that begin with it


def snakemake(*arguments: str, results: Path, options: str) -> None:
    """Run Snakemake in the root of the repository with its folders below `DEMO`; raise if it fails."""
    pathvars = {"results": results, "logs": DEMO / "logs", "benchmarks": DEMO / "benchmarks"}
    folders = ", ".join(f"{name}: {folder.as_posix()}" for name, folder in pathvars.items())
    command = [sys.executable, "-m", "snakemake", "--cores", os.environ.get("CORES", "all"), *arguments]
    command += ["--scheduler", "greedy", "--rerun-incomplete", "--show-failed-logs", *options.split()]
    command += ["--quiet", "host", "rules", "reason", "--config", f"pathvars={{{folders}}}"]
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table with a header."""
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def summarise(results: Path) -> str:
    """What came out, in numbers, and the absolute paths of the results."""
    lines = []
    for folder in sorted((results / "bins").iterdir()):
        sample = folder.name
        novelty = results / "novelty" / sample
        statuses = Counter(row["status"] for row in read_rows(folder / "contigs.tsv"))
        calls = Counter(row["call"] or "no call" for row in read_rows(novelty / "bins.tsv"))
        lines += [
            f"Sample {sample}: {len(read_rows(folder / 'bins.tsv'))} bins, "
            f"{statuses['binned']} of {statuses.total()} contigs binned",
            "Calls of the bins: " + (", ".join(f"{n} {call}" for call, n in calls.most_common()) or "none"),
            f"  bins     {folder / 'fasta'}",
            f"  table    {folder / 'bins.tsv'}",
            f"  novelty  {novelty / 'bins.tsv'}",
        ]
    return "\n".join([*lines, f"  report   {results / 'report' / 'report.html'}"])


def main() -> int:
    """Run the demo; 0 on success, 1 with a message where tools are missing or the workflow failed."""
    started = time.monotonic()
    try:
        options = find_tools.provide()
        snakemake("simulate", results=DEMO, options=options)
        config = (DEMO / "simulation" / "config.yaml").as_posix()
        snakemake("--configfile", config, results=DEMO / "results", options=options)
    except find_tools.ToolsError as error:
        print(f"novabin demo: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"novabin demo: the workflow failed (exit {error.returncode}); see the lines above.", file=sys.stderr)
        return 1
    print(f"\nnovabin demo: done in {time.monotonic() - started:.0f} s")
    print(summarise(ROOT / DEMO / "results"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Running the real workflow in folders of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def run_snakemake(folder: Path, root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run `snakemake` on the repository's Snakefile in `folder`; with `check`, a failure shows its output."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), "--cores", "2", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-6000:]}")
    return done


def start_and_kill(folder: Path, root: Path, *arguments: str, checkpoint: str) -> None:
    """Start `snakemake` and kill it, with all its jobs, behind a training's first checkpoint."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), *arguments]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            deadline = time.monotonic() + 240
            while not (folder / checkpoint).exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert (folder / checkpoint).exists()


def read_losses(path: Path, *, until: int) -> list[float]:
    """Losses of a training's history.tsv up to a step."""
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    rows = [dict(zip(header, row, strict=True)) for row in rows]
    return [float(row["loss"]) for row in rows if row["loss"] and int(row["step"]) <= until]


def link_example(folder: Path, root: Path) -> Path:
    """Make the example's tables and data reachable from `folder`, as they are from a clone's root."""
    for name in ("tests", "config"):
        (folder / name).symlink_to(root / name)
    return folder

"""Running the real workflow in folders of their own."""

from __future__ import annotations

import os
import subprocess
import sys
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


def link_example(folder: Path, root: Path) -> Path:
    """Make the example's tables and data reachable from `folder`, as they are from a clone's root."""
    for name in ("tests", "config"):
        (folder / name).symlink_to(root / name)
    return folder

"""Dry runs of the profiles as a user starts them, from a copy of the repository without build products."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "rules", "scripts", "workflow_lib", "envs", "config", "profiles", "cluster", "tests/data")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What a fresh clone holds."""
    folder = tmp_path_factory.mktemp("clone")
    for part in PARTS:
        source, target = ROOT / part, folder / part
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target)
    return folder


def run(folder, *options):
    """Run `snakemake` with neither Slurm nor conda on PATH; what it says."""
    command = [sys.executable, "-m", "snakemake", *options]
    environment = dict(os.environ, PATH="/usr/bin:/bin", XDG_CACHE_HOME=str(folder / ".cache"))
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr[-3000:] + answer.stdout[-3000:]
    return answer.stdout + answer.stderr


@pytest.mark.parametrize("options", [("--cores", "8"), ("--profile", "profiles/local"), ("--profile", "cluster")])
def test_dry_run_from_a_fresh_clone(clone, options):
    output = run(clone, "-n", *options)
    assert "bin_contigs" in output
    assert "This was a dry-run" in output


def test_a_folder_is_unlocked_as_the_readme_says(clone):
    assert "Unlocked working directory" in run(clone, "--unlock")


def test_cluster_link_points_into_the_repository():
    assert (ROOT / "cluster").is_symlink()
    assert (ROOT / "cluster").readlink() == Path("profiles/cluster")


def test_no_default_profile_is_shipped():
    # Snakemake would mix it into every other profile, whole keys at a time.
    assert not (ROOT / "profiles/default").exists()


def test_scheduler_words_stay_in_the_profiles():
    for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]:
        text = path.read_text()
        for word in ("slurm", "partition=", "gres=", "gpus=", "account="):
            assert word not in text, f"{path.name} says {word}"


def test_profiles_set_what_they_must():
    local = yaml.safe_load((ROOT / "profiles/local/profile.yaml").read_text())
    cluster = yaml.safe_load((ROOT / "profiles/cluster/profile.yaml").read_text())
    assert local["resources"]["gpu"] == 1
    assert local["scheduler"] == cluster["scheduler"] == "greedy"
    assert cluster["executor"] == "slurm"
    assert cluster["retries"] > 0

import os
import subprocess
import sys

import yaml

SMALL = {
    "pathvars": {"results": "out", "logs": "out/logs", "benchmarks": "out/benchmarks"},
    "simulate": {"n_genomes": 3, "n_reference": 4, "genome_length": 8000, "mean_depth": 2, "contig_median": 3000},
}


def snakemake(root, folder, *options):
    command = [sys.executable, "-m", "snakemake", "-s", f"{root}/Snakefile", "--cores", "2", *options]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_target_writes_a_data_set_that_the_workflow_accepts(root, tmp_path):
    for name in ("config", "tests"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    snakemake(root, tmp_path, "simulate", "--configfile", "small.yaml")
    made = tmp_path / "out" / "simulation"
    assert len(list((made / "reference").glob("*.fa.gz"))) == 4
    assert len(list((made / "reads").iterdir())) == 4
    assert "INFO" in (tmp_path / "out" / "logs" / "simulate_community.log").read_text()
    assert "Nothing to be done" in snakemake(root, tmp_path, "simulate", "--configfile", "small.yaml")
    # Tables, references and reads are checked while the workflow is loaded; results have a folder of their own.
    planned = snakemake(root, tmp_path, "simulate", "-n", "--configfile", "out/simulation/config.yaml")
    assert "out/simulation/run/simulation/config.yaml" in planned

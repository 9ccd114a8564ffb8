"""The targets about the index on the shipped reference: the sweep, and growing without calibration."""

import csv
import json

import yaml
from running import link_example, run_snakemake


def test_sweep_from_the_reference_to_a_recommendation_that_can_be_used(root, tmp_path):
    folder = link_example(tmp_path, root)
    (folder / "settings.yaml").write_text(json.dumps({"sweep": {"configurations": ["IVF*,Flat", "PQ*x4fs,RFlat"]}}))
    target = ("sweep_index", "--configfile", "settings.yaml")
    run_snakemake(folder, root, *target)
    with open(folder / "results/sweep/sweep.tsv") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert {row["asked"] for row in rows} == {"Flat", "IVF*,Flat", "PQ*x4fs,RFlat"}
    exact = next(row for row in rows if row["asked"] == "Flat")
    assert {exact[f"recall_1_{group}"] for group in ("known", "genus", "phylum")} == {"1"}
    assert {path.name for path in (folder / "results/sweep/plots").glob("*.svg")} == {
        "pareto.svg", "recall.svg", "distances.svg",
    }  # fmt: skip
    recommended = folder / "results/sweep/recommendation.yaml"
    assert set(yaml.safe_load(recommended.read_text())["index"]) >= {"factory", "nprobe"}
    run_snakemake(folder, root, "-n", "--configfile", str(recommended))
    assert "Nothing to be done" in run_snakemake(folder, root, *target).stdout


def test_the_index_grows_and_is_calibrated_when_calls_are_wanted(root, tmp_path):
    folder = link_example(tmp_path, root)
    header, first, *rows = [
        line for line in (folder / "config/reference.tsv").read_text().splitlines() if not line.startswith("#")
    ]
    # In several parts, which are merged on disk.
    reference, setting = folder / "grown.tsv", ("--config", "reference=grown.tsv", "index={shard_genomes: 30}")
    reference.write_text("\n".join([header, *rows]) + "\n")
    run_snakemake(folder, root, "extend_index", *setting)
    index = folder / "results/index/reference"
    before = json.loads((index / "index.json").read_text())
    assert not (index / "calibration.npz").exists()
    reference.write_text("\n".join([header, first, *rows]) + "\n")  # the new genome stands first
    run_snakemake(folder, root, "extend_index", *setting)
    after = json.loads((index / "index.json").read_text())
    assert after["n_genomes"] == before["n_genomes"] + 1
    assert after["trained_on"] == before["trained_on"]  # extended, not built anew
    assert first.split("\t")[0] in (index / "ids.tsv").read_text().splitlines()[-1]  # behind what was there


def test_a_gpu_is_asked_for_where_the_index_is_searched(root, tmp_path):
    folder = link_example(tmp_path, root)
    done = run_snakemake(folder, root, "-n", "--config", "index={device: cuda}", "--resources", "gpu=1")
    jobs = done.stdout.split("\nrule ")[1:]
    assert {job.split(":")[0] for job in jobs if "gpu=1" in job} == {"calibrate_index", "call_novelty"}


def test_without_a_reference_there_is_no_index_to_make(root, tmp_path):
    folder = link_example(tmp_path, root)
    for target in ("extend_index", "sweep_index"):
        done = run_snakemake(folder, root, target, "--config", "reference=null", check=False)
        assert done.returncode
        assert "reference is not set: name a table of reference genomes" in done.stdout

"""The target evaluate_embeddings on the shipped genomes and on a published-style table of sequences."""

import csv
import json

from running import link_example, run_snakemake

from workflow_lib.scoreboard import cut_pieces
from workflow_lib.tables import load_reference

SETTINGS = {"sets": "sets.tsv", "embedders": ["tnf-k", "dna2vec"], "shots": [1, 2], "lengths": [64], "seeds": 2}


def test_scoreboard_of_cut_and_given_sets(root, tmp_path, monkeypatch):
    folder = link_example(tmp_path, root)
    monkeypatch.chdir(folder)  # the example's tables hold paths from there
    cut_pieces(list(load_reference("config/reference.tsv").values()), length=500, pieces=12).write("given.tsv.gz")
    (folder / "settings.yaml").write_text(json.dumps({"scoreboard": SETTINGS}))
    (folder / "sets.tsv").write_text(
        "set\tsequences\tgenomes\tlength\tsigma\tpieces\ncut\t\tconfig/reference.tsv\t500\t\t12\ngiven\tgiven.tsv.gz\n"
    )
    target = ("evaluate_embeddings", "--configfile", "settings.yaml")
    run_snakemake(folder, root, *target)
    with open(folder / "results/scoreboard/scoreboard.tsv") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    # TNF is always there, for the gap is measured from it, and so is the model that the workflow embeds with.
    assert {(row["set"], row["embedder"]) for row in rows} == {
        (name, embedder) for name in ("cut", "given") for embedder in ("tnf", "tnf-k", "compact")
    }
    ari = {(r["set"], r["embedder"]): r["mean"] for r in rows if (r["measure"], r["variant"]) == ("ari", "plain")}
    assert ari["cut", "tnf"] == ari["given", "tnf"] and float(ari["cut", "tnf"]) > 0.05
    page = (folder / "results/scoreboard/scoreboard.html").read_text()
    assert "dna2vec was not run" in page
    assert {path.name for path in (folder / "results/scoreboard/plots").glob("*.svg")} == {"cut.svg", "given.svg"}
    assert "Nothing to be done" in run_snakemake(folder, root, *target).stdout


def test_faults_of_the_sets_are_shown_only_when_they_are_asked_for(root, tmp_path):
    folder = link_example(tmp_path, root)
    (folder / "sets.tsv").write_text("set\tlength\nwrong\tlong\n")
    setting = ("--config", "scoreboard={sets: sets.tsv}")
    done = run_snakemake(folder, root, "-n", "evaluate_embeddings", *setting, check=False)
    assert done.returncode and "sets.tsv, line 2: found 'neither'" in done.stdout
    assert "sets.tsv, line 2, column length: found 'long'; expected a whole number" in done.stdout
    run_snakemake(folder, root, "-n", *setting)


def test_an_embedder_that_cannot_be_is_told_before_any_job(root, tmp_path):
    folder = link_example(tmp_path, root)
    setting = ("--config", "scoreboard={embedders: [tnf, tnv]}")
    done = run_snakemake(folder, root, "-n", "evaluate_embeddings", *setting, check=False)
    assert done.returncode and "no embedder named 'tnv', and no such folder; available: tnf, tnf-k" in done.stdout
    assert "set an entry of scoreboard.embedders to one of these" in done.stdout
    missing = ("--config", "scoreboard={embedders: [dna2vec], dna2vec: none.txt}")
    done = run_snakemake(folder, root, "-n", "evaluate_embeddings", *missing, check=False)
    assert done.returncode and "none.txt: no such file or folder; dna2vec needs" in done.stdout
    run_snakemake(folder, root, "-n", *setting)

"""`snakemake pretrain`: a tiny ensemble model learns, a killed run goes on to the same weights, and it embeds."""

import json

import numpy as np
import yaml
from genome_tables import write_genomes
from running import read_losses, run_snakemake, start_and_kill

from workflow_lib.embed import load_embedder

PRETRAIN = {
    "genomes": "genomes.tsv", "held_out": 0.2, "tokenizer": "ensemble", "vocabulary_size": 40, "k": 3, "width": 32,
    "layers": 2, "heads": 2, "max_tokens": 64, "batch_size": 8, "steps": 60, "learning_rate": 0.01, "warmup_steps": 2,
    "checkpoint_steps": 10, "validation_steps": 30, "log_steps": 10,
}  # fmt: skip
FOLDER = "results/models/pretrained"
ONE_CORE = ("--cores", "1")  # so small a model gains nothing from two


def prepare(path, **changes):
    """Genomes and a configuration in a folder."""
    path.mkdir(exist_ok=True)
    write_genomes(path)
    (path / "samples.tsv").write_text("sample\tcontigs\nsmall\tgenome_0.fa.gz\n")
    content = {"samples": "samples.tsv", "libraries": None, "reference": None, "pretrain": {**PRETRAIN, **changes}}
    (path / "config").mkdir(exist_ok=True)
    (path / "config/config.yaml").write_text(yaml.safe_dump(content))
    return path


def test_it_learns_and_a_killed_run_goes_on_to_the_same_weights(root, tmp_path):
    folder, other = prepare(tmp_path / "whole"), prepare(tmp_path / "killed")
    run_snakemake(folder, root, *ONE_CORE, "pretrain")
    losses = read_losses(folder / FOLDER / "training/history.tsv", until=60)
    assert len(losses) == 6
    assert losses[-1] < 0.9 * losses[0]
    record = json.loads((folder / FOLDER / "training.json").read_text())
    assert record["last"]["held_out_loss"] < record["last"]["held_out_unigram_loss"]
    assert not {*record["genomes"]} & {*record["held_out"]}
    assert "Nothing to be done" in run_snakemake(folder, root, *ONE_CORE, "pretrain", "--dry-run").stdout
    embedder = load_embedder(folder / FOLDER)
    vectors = embedder.embed(["ACGTTGCAAC" * 30, "AACGGTCA" * 20])
    assert vectors.shape == (2, 32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)

    start_and_kill(other, root, *ONE_CORE, "pretrain", checkpoint=FOLDER + "/training/checkpoint.pt")
    assert not (other / FOLDER / "model.safetensors").exists()
    run_snakemake(other, root, *ONE_CORE, "pretrain", "--unlock")
    run_snakemake(other, root, *ONE_CORE, "pretrain", "--rerun-incomplete")
    assert "going on from step" in (other / "logs/pretrain_model.log").read_text()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "training/history.tsv", "training/history.svg"):
        assert (other / FOLDER / name).read_bytes() == (folder / FOLDER / name).read_bytes()
    assert load_embedder(other / FOLDER).fingerprint == embedder.fingerprint


def test_a_table_of_genomes_is_needed(root, tmp_path):
    done = run_snakemake(prepare(tmp_path, genomes=None), root, *ONE_CORE, "pretrain", check=False)
    assert done.returncode != 0
    assert "pretrain.genomes is not set" in done.stdout
    assert "Traceback (most recent" not in done.stdout

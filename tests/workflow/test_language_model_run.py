"""The workflow with models: the embedding, what makes it run again, one that cannot be fetched, one that is trained."""

import json

import pytest
import yaml
from running import run_snakemake
from tiny_models import random_sequence, write_bert

from workflow_lib.embed import load_embedder
from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.store import read_store

STORE = "results/embeddings/small/manifest.json"


@pytest.fixture
def folder(tmp_path):
    """A sample of four contigs, a tiny model, and a configuration that names both."""
    import numpy as np

    rng = np.random.default_rng(0)
    records = [(f"contig_{i}", random_sequence(rng, 3000).encode()) for i in range(4)]
    write_fasta(tmp_path / "contigs.fa.gz", records)
    (tmp_path / "samples.tsv").write_text("sample\tcontigs\nsmall\tcontigs.fa.gz\n")
    write_bert(tmp_path / "model")
    configure(tmp_path, model="model")
    return tmp_path


def configure(folder, *, reference=None, threshold=None, **embed):
    content = {"samples": "samples.tsv", "libraries": None, "reference": reference, "embed": embed}
    if threshold is not None:
        content["bin"] = {"threshold": threshold}
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(content))


def write_labelled(folder):
    """Sequences of two made-up species, for a percentile threshold."""
    records = read_fasta(folder / "contigs.fa.gz")
    rows = [f"{record.sequence[:1000].decode()}\ts{i % 2}" for i, record in enumerate(records)]
    (folder / "labelled.tsv").write_text("\n".join(["sequence\tlabel", *rows, ""]))


def planned(folder, root):
    return run_snakemake(folder, root, "--dry-run", STORE).stdout


def test_a_model_folder_is_used_and_an_exchanged_one_embeds_anew(folder, root):
    run_snakemake(folder, root, STORE)
    first = read_store(folder / "results/embeddings/small")
    assert first.manifest["embedder"] == "model"
    assert first.vectors.shape == (4, 32)
    assert "Nothing to be done" in planned(folder, root)
    write_bert(folder / "model", seed=1)
    assert "rule embed_contigs" in planned(folder, root)
    run_snakemake(folder, root, STORE)
    second = read_store(folder / "results/embeddings/small")
    assert second.manifest["fingerprint"] != first.manifest["fingerprint"]
    assert abs(second.vectors - first.vectors).max() > 1e-3
    assert len(list((folder / "results/embeddings/.shards").iterdir())) == 2
    configure(folder, model="model", pooling="max")
    assert "rule embed_contigs" in planned(folder, root)


@pytest.mark.parametrize("embed", [{"model": "compact"}, {"model": "model", "pooling": "max", "window": 400}])
def test_a_percentile_threshold_takes_the_embedder_of_the_contigs(folder, root, embed):
    write_labelled(folder)
    configure(folder, threshold={"method": "percentile", "labelled": "labelled.tsv"}, **embed)
    run_snakemake(folder, root, "results/bins/small/contig2bin.tsv")
    summary = json.loads((folder / "results/bins/small/binning.json").read_text())
    assert summary["threshold"]["method"] == "percentile"


def test_options_of_language_models_do_not_concern_others(folder, root):
    configure(folder, model="tnf-k")
    run_snakemake(folder, root, STORE)
    configure(folder, model="tnf-k", pooling="max", window=500, token_budget=99)
    assert "Nothing to be done" in planned(folder, root)


def test_a_model_that_cannot_be_fetched_says_so(folder, root, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(folder / "home"))
    configure(folder, model="dnabert-s")
    for target in ("fetch_model", STORE):
        done = run_snakemake(folder, root, target, check=False)
        assert done.returncode != 0
        assert "zhihan1996/DNABERT-S is no folder, is not on this machine, and cannot be downloaded" in done.stdout
        assert "no network" in done.stdout


def test_a_fetched_model_is_taken_from_its_folder(folder, root):
    record = {"model": "dnabert-s", "repository": "zhihan1996/DNABERT-S", "revision": None, "commit": "c" * 40}
    fetched = write_bert(folder / "resources/models/zhihan1996--DNABERT-S")
    (fetched / "source.json").write_text(json.dumps(record))
    configure(folder, model="dnabert-s")
    run_snakemake(folder, root, STORE, "--rerun-triggers", "mtime")
    manifest = read_store(folder / "results/embeddings/small").manifest
    assert manifest["embedder"] == "dnabert-s"
    assert manifest["source"] == record


@pytest.mark.parametrize(("arguments", "runs"), [((), False), (("--resources", "gpu=0"), True)])
def test_a_promised_gpu_that_is_missing_is_an_error(folder, root, arguments, runs):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    configure(folder, model="model", device="cuda")
    done = run_snakemake(folder, root, STORE, *arguments, check=False)
    assert (done.returncode == 0) is runs
    assert runs or "there is no GPU 0" in done.stdout


def test_one_tnf_vae_is_trained_on_all_samples_and_embeds_them_and_the_reference(folder, root):
    (folder / "samples.tsv").write_text("sample\tcontigs\nsmall\tcontigs.fa.gz\nagain\tcontigs.fa.gz\n")
    (folder / "reference.tsv").write_text("genome_id\tfasta\ttaxonomy\nknown\tcontigs.fa.gz\t\n")
    configure(folder, reference="reference.tsv", model="tnf-vae")
    windows = "results/index/reference/windows/1/manifest.json"
    stores = [f"results/embeddings/{sample}/manifest.json" for sample in ("small", "again")]
    run_snakemake(folder, root, "--notemp", *stores, windows)
    trained = load_embedder(folder / "results/models/tnf-vae")
    manifests = [json.loads((folder / path).read_text()) for path in (*stores, windows)]
    assert {manifest["fingerprint"] for manifest in manifests} == {trained.fingerprint}
    assert json.loads((folder / "results/models/tnf-vae/config.json").read_text())["n_sequences"] == 8
    configure(folder, reference="reference.tsv", model="tnf-vae", weights="results/models/tnf-vae")
    assert "rule train_tnf_vae" not in run_snakemake(folder, root, "--dry-run", "--forceall", *stores).stdout


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        ({"model": "dnabert_s"}, "no embedder named 'dnabert_s', and no such folder; available: tnf, "),
        ({"model": "dna2vec"}, "dna2vec needs a file of k-mer vectors"),
        ({"model": "dna2vec", "weights": "absent.w2v"}, "absent.w2v: no such file or folder; dna2vec needs a file of"),
        ({"model": "results"}, "results: no config.json: this is no model folder"),
    ],
)
def test_a_model_that_cannot_be_is_told_before_any_job_runs(folder, root, embed, message):
    (folder / "results").mkdir()
    configure(folder, **embed)
    done = run_snakemake(folder, root, "--dry-run", check=False)
    assert done.returncode != 0
    assert message in done.stdout
    assert "set embed." in done.stdout or "give a folder" in done.stdout

"""The folders that trainings write: nothing of another model stays, nothing is lost, and others can read them."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from genome_tables import write_genomes
from tiny_models import write_dnabert2, write_hyenadna

from workflow_lib.embed import load_embedder
from workflow_lib.embed.tokenization import train_tokenizer
from workflow_lib.errors import InputError
from workflow_lib.train import processes
from workflow_lib.train.contrastive import ContrastiveOptions
from workflow_lib.train.embedder import train_embedder
from workflow_lib.train.loop import LoopSettings
from workflow_lib.train.mlm_options import PretrainOptions
from workflow_lib.train.pairs import PairOptions
from workflow_lib.train.pretraining import pretrain_model

PAIRS = PairOptions(batch_size=4, length_median=200, length_sigma=0.1, min_length=100, max_length=300)
OPTIONS = ContrastiveOptions(pairs=PAIRS, steps=2, head=8, validation_pieces=2)
SETTINGS = LoopSettings()
TINY = {"k": 3, "width": 32, "layers": 1, "heads": 2, "max_tokens": 32, "batch_size": 4, "steps": 2}
WEIGHTS = (
    "model-00001-of-00002.safetensors", "pytorch_model.bin.index.json", "pytorch_model-1.bin", "pytorch_model.bin",
)  # fmt: skip
OTHERS = ("vocab.txt", "vocab.json", "special_tokens_map.json", "source.json", ".0123456789ab.tmp.model.safetensors")
SEQUENCE = "ACGTTGCAAC" * 30


def train(model, table, folder, **changes):
    dropout = changes.pop("dropout", 0.0)
    train_embedder(
        model, table, folder, options=replace(OPTIONS, **changes), settings=SETTINGS, held_out=0.2, dropout=dropout
    )


def pretrain(table, folder, **changes):
    options = PretrainOptions(**{"tokenizer": "overlapping-kmer", **TINY, **changes})
    pretrain_model(table, folder, options=options, settings=SETTINGS, held_out=0.2)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_genomes(tmp_path_factory.mktemp("genomes"), n_species=12)


@pytest.fixture(scope="module")
def sources(table, tmp_path_factory):
    """What can be trained, and what is pre-trained (None), by name."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        "dnabert2": write_dnabert2(folder / "a"), "hyenadna": write_hyenadna(folder / "b"), "compact": "compact",
        "pretrained": None,
    }  # fmt: skip


def make(model, table, folder):
    train(model, table, folder) if model else pretrain(table, folder)


def clutter(folder):
    """What other models, downloads and killed writers leave, and a file of the user's."""
    train_tokenizer("overlapping-kmer", [], folder=folder, k=3)
    for name in (*WEIGHTS, *OTHERS, "notes.md"):
        (folder / name).write_text("{}")


@pytest.mark.parametrize("name", ["dnabert2", "hyenadna", "compact", "pretrained"])
def test_nothing_of_another_model_stays(table, sources, tmp_path, name):
    alone, after = tmp_path / "alone", tmp_path / "after"
    make(sources[name], table, alone)
    clutter(after)
    make(sources[name], table, after)
    assert sorted(path.name for path in after.iterdir()) == sorted([*(p.name for p in alone.iterdir()), "notes.md"])
    vectors = [load_embedder(folder).embed([SEQUENCE]) for folder in (alone, after)]
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize("name", ["dnabert2", "compact", "pretrained"])
def test_every_file_can_be_read_by_those_who_may(table, sources, tmp_path, name):
    before = os.umask(0o022)
    try:
        make(sources[name], table, tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert {"model.safetensors", "checkpoint.pt"} <= set(modes)
    assert set(modes.values()) == {0o644}, modes


def test_a_model_is_not_trained_in_its_own_folder(table, tmp_path):
    folder = write_dnabert2(tmp_path / "model")
    (tmp_path / "link").symlink_to(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for model in (folder, tmp_path / "link"):
        with pytest.raises(InputError, match=r"it would be lost\n.*copy or move the folder.*set train\.model"):
            train(model, table, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_refused_pretraining_leaves_the_model_as_it_was(table, tmp_path):
    pretrain(table, tmp_path)
    checkpoint = tmp_path / "training/checkpoint.pt"
    torch.save({**torch.load(checkpoint, weights_only=True), "step": 1}, checkpoint)  # as one that is not finished
    names = ("tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors")
    before, vector = [(tmp_path / name).read_bytes() for name in names], load_embedder(tmp_path).embed([SEQUENCE])
    with pytest.raises(
        InputError, match=r"another training: token ids differ; tokenizer 'overlapping-kmer', now 'bpe'"
    ):
        pretrain(table, tmp_path, tokenizer="bpe", vocabulary_size=20)
    assert [(tmp_path / name).read_bytes() for name in names] == before
    np.testing.assert_array_equal(load_embedder(tmp_path).embed([SEQUENCE]), vector)


def test_options_can_be_changed_when_a_training_is_done(table, sources, tmp_path, caplog):
    caplog.set_level("INFO")
    train(sources["dnabert2"], table, tmp_path / "trained")
    train(sources["dnabert2"], table, tmp_path / "trained", temperature=0.1)
    assert "temperature 0.05, now 0.1; that one is finished" in caplog.text
    train(sources["hyenadna"], table, tmp_path / "trained", steps=0)
    one, other = (load_embedder(path).embed([SEQUENCE]) for path in (tmp_path / "trained", sources["hyenadna"]))
    np.testing.assert_array_equal(one, other)
    pretrain(table, tmp_path / "pretrained")
    pretrain(table, tmp_path / "pretrained", tokenizer="bpe", vocabulary_size=20, width=16)
    assert load_embedder(tmp_path / "pretrained").dim == 16


def test_dropout_of_nothing_is_refused(table, sources, tmp_path):
    dropout = {"pairs": replace(PAIRS, strategy="dropout")}
    with pytest.raises(InputError, match=r"dropout of 0: both views .* same\n.*train\.dropout above 0"):
        train(sources["dnabert2"], table, tmp_path, **dropout)
    for share in (0.0, 0.1):
        with pytest.raises(InputError, match=r"compact has no dropout\n.*train\.strategy"):
            train("compact", table, tmp_path, dropout=share, **dropout)
    train(sources["dnabert2"], table, tmp_path, dropout=0.1, **dropout)


def make_in_a_group(model, table, folder):
    """As under torchrun, where every process calls the function of the library."""
    torch.set_num_threads(1)
    make(model, table, folder)
    assert (folder / "training.json").is_file(), f"process {processes.rank()} is too early"


@pytest.mark.parametrize("name", ["compact", "pretrained"])
def test_no_process_is_done_before_the_model_is_written(table, sources, tmp_path, name):
    processes.launch(make_in_a_group, sources[name], table, tmp_path, n=2)

"""Pre-training on a table of genomes, and what its folder is good for."""

import json

import pytest
import torch
from genome_tables import write_genomes
from safetensors.torch import load_file

from workflow_lib.embed import load_embedder
from workflow_lib.embed.ensemble_tokenizer import set_vocabulary
from workflow_lib.errors import InputError
from workflow_lib.train.contrastive import ContrastiveOptions
from workflow_lib.train.embedder import train_embedder
from workflow_lib.train.loop import LoopSettings
from workflow_lib.train.mlm_options import PretrainOptions
from workflow_lib.train.pairs import PairOptions
from workflow_lib.train.pretraining import pretrain_model
from workflow_lib.train.processes import launch

SETTINGS = LoopSettings(learning_rate=0.004, log_steps=2, validation_steps=4)


def pretrain(table, folder, **changes):
    tiny = {
        "tokenizer": "ensemble", "vocabulary_size": 20, "k": 3, "width": 32, "layers": 2, "heads": 2,
        "max_tokens": 64, "batch_size": 8, "steps": 4,
    }  # fmt: skip
    pretrain_model(table, folder, options=PretrainOptions(**tiny | changes), settings=SETTINGS, held_out=0.2)


def read_record(folder):
    return json.loads((folder / "training.json").read_text())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_genomes(tmp_path_factory.mktemp("genomes"), n_species=12)


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("pretrained")
    pretrain(table, path)
    return path


def test_record_tells_genomes_and_options(folder):
    record = read_record(folder)
    assert len(record["genomes"]) == 10
    assert len(record["held_out"]) == 2  # one genus
    assert record["options"]["tokenizer"] == "ensemble"
    assert record["settings"]["learning_rate"] == 0.004
    assert record["last"]["step"] == 4


def test_another_vocabulary_is_another_embedder(folder):
    embedders = []
    for vocabulary in ("kmer", "bpe"):
        set_vocabulary(folder, vocabulary)
        embedders.append(load_embedder(folder))
    one, other = (embedder.embed(["ACGTTGCAAC" * 30])[0] for embedder in embedders)
    assert abs(one - other).max() > 0.01
    assert embedders[0].fingerprint != embedders[1].fingerprint


def test_contrastive_training_goes_on_from_it(folder, table, tmp_path):
    pairs = PairOptions(batch_size=4, length_median=200, length_sigma=0.1, min_length=100, max_length=300)
    options = ContrastiveOptions(pairs=pairs, steps=2, head=8, validation_pieces=2)
    train_embedder(folder, table, tmp_path, options=options, settings=SETTINGS, held_out=0.2)
    assert load_embedder(tmp_path).embed(["ACGTTGCAAC" * 30]).shape == (1, 32)
    assert (tmp_path / "tokenizer_config.json").read_bytes() == (folder / "tokenizer_config.json").read_bytes()


def test_two_processes_share_a_batch(folder, table, tmp_path):
    launch(pretrain, table, tmp_path, n=2)
    assert (tmp_path / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    one, two = (load_file(path / "model.safetensors") for path in (folder, tmp_path))
    assert one.keys() == two.keys()
    assert all(torch.isfinite(tensor).all() for tensor in two.values())
    last = [read_record(path)["last"] for path in (folder, tmp_path)]
    assert last[1]["tokens"] == last[0]["tokens"] / 2  # of the first process
    assert last[1]["held_out_loss"] == pytest.approx(last[0]["held_out_loss"], rel=0.1)


def test_few_genomes_are_enough_but_not_one(tmp_path):
    pretrain(write_genomes(tmp_path, n_species=3), tmp_path / "model", tokenizer="nucleotide", steps=1)
    record = read_record(tmp_path / "model")
    assert min(len(record["genomes"]), len(record["held_out"])) == 1
    with pytest.raises(InputError, match="0 species to train on and 1 held out"):
        pretrain(write_genomes(tmp_path, n_species=1), tmp_path / "other")

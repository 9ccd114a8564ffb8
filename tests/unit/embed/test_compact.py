"""The compact model: its features, its shipped weights, folders that are not it."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from workflow_lib.embed import load_embedder
from workflow_lib.embed.compact import KMERS, N_FEATURES, SHIPPED, Compact, canonical_features
from workflow_lib.embed.registry import select_options
from workflow_lib.embed.small_model import write_small_model
from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement

CARD = SHIPPED.parent / "README.md"


def random_sequence(seed, length=3000, letters=b"ACGT"):
    rng = np.random.default_rng(seed)
    return rng.choice(np.frombuffer(letters, dtype=np.uint8), length).tobytes()


def slow_features(sequence: bytes) -> list[np.ndarray]:
    """The square roots of canonical k-mer frequencies, sorted within each k: the order of the columns is our own."""
    blocks = []
    for k in KMERS:
        words = [sequence[i : i + k] for i in range(len(sequence) - k + 1)]
        counts = Counter(min(word, reverse_complement(word)) for word in words if set(word) <= set(b"ACGT"))
        blocks.append(np.sort(np.sqrt(np.array(list(counts.values())) / counts.total())))
    return blocks


@pytest.mark.parametrize("letters", [b"ACGT", b"ACGTN", b"AT"])
def test_features_are_roots_of_canonical_frequencies(letters):
    sequence = random_sequence(1, letters=letters)
    (row,) = canonical_features([sequence])
    for block, expected in zip((row[:136], row[136:]), slow_features(sequence), strict=True):
        found = np.sort(block)
        np.testing.assert_allclose(found[-len(expected) :], expected, rtol=1e-6)
        assert not found[: -len(expected)].any()
    np.testing.assert_allclose([(row[:136] ** 2).sum(), (row[136:] ** 2).sum()], 1, rtol=1e-5)


def test_a_strand_and_its_opposite_are_the_same_bytes():
    sequence = random_sequence(2)
    forward, backward = Compact().embed([sequence, reverse_complement(sequence)])
    assert forward.tobytes() == backward.tobytes()


@pytest.mark.parametrize("sequence", ["ACGT", "ACGTNACGT", "NNNNN"])
def test_without_a_5_mer_the_row_is_zeros(sequence):
    assert not canonical_features([sequence]).any()
    assert not Compact().embed([sequence]).any()


def test_the_shipped_model_is_the_one_its_card_describes():
    weights = SHIPPED / "model.safetensors"
    assert weights.stat().st_size < 10_000_000
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in CARD.read_text(encoding="utf-8")
    config = json.loads((SHIPPED / "config.json").read_text(encoding="utf-8"))
    assert Compact().dim == config["dim"]


def test_a_folder_is_loaded_as_by_name(tmp_path):
    tensors = load_file(SHIPPED / "model.safetensors")
    config = json.loads((SHIPPED / "config.json").read_text(encoding="utf-8"))
    write_small_model(tmp_path, config, tensors)
    folder, named = load_embedder(tmp_path), load_embedder("compact")
    assert folder.fingerprint == named.fingerprint
    write_small_model(tmp_path, config, {**tensors, "mean": tensors["mean"] + 1})
    assert load_embedder(tmp_path).fingerprint != named.fingerprint


def test_options_of_other_embedders_do_not_concern_it(tmp_path):
    config = {"both_strands": True, "weights": None, "pooling": "mean"}
    assert select_options("compact", config) == {}
    write_small_model(tmp_path, {"model_type": "compact", "version": 1}, {})
    assert select_options(str(tmp_path), config) == {}


def damage_config(folder: Path):
    (folder / "config.json").write_text('{"model_type": "compact", "version": 99}')


def damage_shape(folder: Path):
    save_file({"mean": np.zeros(N_FEATURES), "projection": np.zeros((N_FEATURES - 1, 8))}, folder / "model.safetensors")


def damage_values(folder: Path):
    projection = np.full((N_FEATURES, 8), np.nan)
    save_file({"mean": np.zeros(N_FEATURES), "projection": projection}, folder / "model.safetensors")


def cut(folder: Path):
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])


def remove(folder: Path):
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_config, "version 99"),
        (damage_shape, r"tensor projection: found \(647, 8\), expected shape \(648, any\)"),
        (damage_values, "tensor projection has values that are not finite"),
        (cut, "not a safetensors file that can be read"),
        (remove, "not a safetensors file that can be read"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, damage, message):
    write_small_model(
        tmp_path,
        {"model_type": "compact", "version": 1},
        {"mean": np.zeros(N_FEATURES), "projection": np.ones((N_FEATURES, 8))},
    )
    assert load_embedder(tmp_path).dim == 8
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        load_embedder(tmp_path)


def test_it_runs_on_the_cpu_only():
    with pytest.raises(InputError, match="runs on the CPU only"):
        load_embedder("compact", device="cuda")

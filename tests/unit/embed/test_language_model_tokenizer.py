"""Tokenizers of model folders: the same ids as the published ones, nothing cut."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_models import (
    kmers,
    random_sequence,
    write_bpe,
    write_dnabert2,
    write_metaberta,
    write_nucleotide_transformer,
)

from workflow_lib.embed.model_tokenizer import bp_per_token, load_tokenizer
from workflow_lib.errors import InputError

TEXTS = ["ACGTACGTACGTACG", "ACGTNACGTACGTACNNNAC", "A", "ACGTNACGTAC", "N", "TTTNNTTT"]


def test_a_tokenizer_json_neither_cuts_nor_pads(tmp_path):
    write_bpe(tmp_path)
    tokenizer = load_tokenizer(tmp_path, "bert")
    text = random_sequence(np.random.default_rng(1), 5000).encode()
    long, short = tokenizer.encode([text, text[:50]])
    assert len(long) > 1000 > len(short)
    assert long[0] == short[0] == 1
    assert long[-1] == short[-1] == 2
    assert np.array_equal(long, tokenizer.encode([text])[0])
    assert tokenizer.has_cls
    assert tokenizer.n_special == 2
    assert bp_per_token(tokenizer) == pytest.approx(5000 / (len(long) - 2), rel=0.1)


def test_nucleotide_transformer_k_mers_are_those_of_transformers(tmp_path):
    from transformers import AutoTokenizer

    write_nucleotide_transformer(tmp_path, k=6)
    published = AutoTokenizer.from_pretrained(str(tmp_path))
    texts = [*TEXTS, random_sequence(np.random.default_rng(0), 3000, "ACGTACGTACGTN")]
    found = load_tokenizer(tmp_path, "esm").encode([text.encode() for text in texts])
    assert [ids.tolist() for ids in found] == published(texts)["input_ids"]
    assert bp_per_token(load_tokenizer(tmp_path, "esm")) == 6


def test_metaberta_reads_overlapping_k_mers_without_n(tmp_path):
    write_metaberta(tmp_path, k=3)
    tokenizer = load_tokenizer(tmp_path, "big_bird")
    ids = {kmer: identity for identity, kmer in enumerate(kmers(3), start=5)}
    for text, found in zip(TEXTS, tokenizer.encode([text.encode() for text in TEXTS]), strict=True):
        expected = [ids[text[i : i + 3]] for i in range(len(text) - 2) if "N" not in text[i : i + 3]]
        assert found.tolist() == expected
    assert (tokenizer.has_cls, tokenizer.max_tokens, tokenizer.n_special) == (False, 512, 0)
    assert bp_per_token(tokenizer) == pytest.approx(1, abs=1e-3)


def test_hyenadna_reads_characters(tmp_path):
    found = load_tokenizer(tmp_path, "hyenadna").encode([b"ACGTN", b"T"])
    assert [ids.tolist() for ids in found] == [[7, 8, 9, 10, 11, 1], [10, 1]]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match=r"found no tokenizer.*\n.*tokenizer.json"):
        load_tokenizer(tmp_path, "bert")


def test_a_damaged_tokenizer_is_refused(tmp_path):
    write_bpe(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text()[:1000])
    with pytest.raises(InputError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(tmp_path, "bert")


def test_a_tokenizer_that_is_code_is_not_run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    settings = {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    marker = tmp_path / "was_run"
    (tmp_path / "code.py").write_text(f"open({str(marker)!r}, 'w')")
    with pytest.raises(InputError, match="trust_remote_code"):
        load_tokenizer(tmp_path, "bert")
    assert not marker.exists()


@pytest.mark.shared
def test_the_published_dnabert2_tokenizer(shared):
    tokenizer = load_tokenizer(shared / "tokenizers/dnabert2", "bert")
    text = random_sequence(np.random.default_rng(2), 20_000).encode()
    ids = tokenizer.encode([text])[0]
    assert len(ids) > 636, "the published file cuts at 636 tokens"
    assert (ids[0], ids[-1], ids.max() < 4096) == (1, 2, True)
    assert tokenizer.n_ids == 4096


@pytest.mark.parametrize(("n", "environment", "expected"), [(3, {}, 3), (3, {"RAYON_NUM_THREADS": "1"}, 1)])
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts the threads of a process of Linux")
def test_a_tokenizer_takes_as_many_threads_as_the_embedder(tmp_path, root, n, environment, expected):
    write_dnabert2(tmp_path)
    code = (
        "import os, sys; from workflow_lib.embed import load_embedder; "
        "model = load_embedder(sys.argv[1], threads=int(sys.argv[2])); before = len(os.listdir('/proc/self/task')); "
        "model._tokenizer.encode([b'ACGTTGCATG' * 50] * 40); print(len(os.listdir('/proc/self/task')) - before)"
    )
    outside = {key: value for key, value in os.environ.items() if key != "RAYON_NUM_THREADS"}
    arguments = [sys.executable, "-c", code, str(tmp_path), str(n)]
    found = subprocess.run(
        arguments, cwd=root, env=outside | environment, capture_output=True, text=True, check=True
    ).stdout
    assert int(found) == expected

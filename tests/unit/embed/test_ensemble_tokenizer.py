import json

import numpy as np
import pytest
from tiny_models import random_sequence

from workflow_lib.embed.ensemble_tokenizer import (
    EnsembleTokenizer,
    choose_for_task,
    choose_vocabulary,
    set_vocabulary,
    train_ensemble_tokenizer,
)
from workflow_lib.embed.model_tokenizer import load_tokenizer
from workflow_lib.embed.tokenization import train_tokenizer
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta

K = 3


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("fasta") / "genome.fa.gz"
    rng = np.random.default_rng(0)
    write_fasta(path, [(f"contig_{i}", random_sequence(rng, 3000).encode()) for i in range(5)])
    return path


@pytest.fixture
def tokenizer(fasta, tmp_path):
    return train_ensemble_tokenizer([fasta], folder=tmp_path / "tokenizer", vocabulary_size=150, k=K)


def test_ids_are_disjoint_and_complete(tokenizer):
    bpe, kmer = (set(tokenizer.token_ids[name].tolist()) for name in ("bpe", "kmer"))
    special = {tokenizer.id_of(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BPE]", "[K-MER]")}
    assert not bpe & kmer
    assert not special & (bpe | kmer)
    assert bpe | kmer | special == set(range(tokenizer.n_ids))
    assert len(kmer) == 4**K
    assert tokenizer.words("kmer") & tokenizer.words("bpe")  # the same letters, two ids


def test_each_vocabulary_behind_its_prompt(tokenizer):
    text = "acguNNTTGCATTACG"
    for name, prompt in (("bpe", "[BPE]"), ("kmer", "[K-MER]")):
        (ids,) = tokenizer.encode([text], vocabulary=name)
        assert ids.dtype == np.int32
        assert ids[:2].tolist() == [tokenizer.id_of("[CLS]"), tokenizer.id_of(prompt)]
        assert ids[-1] == tokenizer.id_of("[SEP]")
        assert np.isin(ids[2:-1], tokenizer.token_ids[name]).all()


def test_parts_encode_as_the_tokenizers_they_come_from(tokenizer, fasta, tmp_path):
    text = random_sequence(np.random.default_rng(1), 700) + "NNN" + random_sequence(np.random.default_rng(2), 300)
    bpe = train_tokenizer("bpe", [fasta], folder=tmp_path / "bpe", vocabulary_size=150)
    assert tokenizer.encode([text])[0][2:-1].tolist() == bpe.encode([text])[0][1:-1].tolist()
    kmer = train_tokenizer("overlapping-kmer", [fasta], folder=tmp_path / "kmer", k=K)
    spelled = [f"{K}-mer:{word}" for word in kmer.tokens(kmer.encode([text])[0][1:-1])]
    assert tokenizer.encode([text], vocabulary="kmer")[0][2:-1].tolist() == [tokenizer.id_of(w) for w in spelled]


def test_nothing_to_encode_is_empty(tokenizer):
    assert [len(ids) for ids in tokenizer.encode(["", "A"])] == [0, 4]
    assert [len(ids) for ids in tokenizer.encode(["", "AC", "NNNN", "ACG"], vocabulary="kmer")] == [0, 0, 0, 4]


def test_round_trip_and_the_loader_of_model_folders(tokenizer, tmp_path):
    again = load_tokenizer(tmp_path / "tokenizer", "bert")
    assert isinstance(again, EnsembleTokenizer)
    assert (again.n_ids, again.k, again.vocabulary, again.n_special) == (tokenizer.n_ids, K, "bpe", 3)
    for name in ("bpe", "kmer"):
        assert (
            again.encode(["ACGTTGCAAT"], vocabulary=name)[0] == tokenizer.encode(["ACGTTGCAAT"], vocabulary=name)[0]
        ).all()


def test_transformers_reads_the_file_as_bpe(tokenizer, tmp_path):
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path / "tokenizer")
    assert theirs("ACGTTGCANNAC").input_ids == tokenizer.encode(["ACGTTGCANNAC"])[0].tolist()


def test_same_seed_same_bytes(fasta, tmp_path):
    for name in ("one", "two"):
        train_ensemble_tokenizer([fasta], folder=tmp_path / name, vocabulary_size=60, k=2, max_mbp=0.005, seed=3)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_vocabulary_of_the_largest_overlap():
    vocabularies = {"bpe": {"ACGT", "TTT", "GAATTC"}, "kmer": {"AAAAAA", "GAATTC", "CCCCCC"}}
    assert choose_vocabulary(["GAATTC", "TTT", "ACGT", "CG"], vocabularies) == "bpe"
    assert choose_vocabulary(["GAATTC", "CCCCCC", "CG"], vocabularies) == "kmer"
    assert choose_vocabulary(["GAATTC"], vocabularies) == "bpe"  # the first of equal ones
    # Repeats of a token do not count.
    assert choose_vocabulary(["CCCCCC"] * 5 + ["TTT", "ACGT"], vocabularies) == "bpe"
    with pytest.raises(InputError, match="no tokens of the task"):
        choose_vocabulary([], vocabularies)


def test_folder_takes_the_vocabulary_of_a_task(tokenizer, fasta, tmp_path):
    folder = tmp_path / "tokenizer"
    assert choose_for_task(folder, [fasta]) == "bpe"  # the very sequences that its BPE was learnt on
    set_vocabulary(folder, "kmer")
    again = load_tokenizer(folder, "bert")
    assert again.encode(["ACGTT"])[0][1] == again.id_of("[K-MER]")
    with pytest.raises(InputError, match="'words', expected one of bpe, kmer"):
        set_vocabulary(folder, "words")


def test_bad_folders(tokenizer, fasta, tmp_path):
    with pytest.raises(InputError, match="ensemble of vocabularies"):
        EnsembleTokenizer(tmp_path / "missing")
    train_tokenizer("bpe", [fasta], folder=tmp_path / "bpe", vocabulary_size=50)
    with pytest.raises(InputError, match="ensemble of vocabularies"):
        EnsembleTokenizer(tmp_path / "bpe")
    path = tmp_path / "tokenizer" / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    for key, value, message in (("k", 4, "has 0 4-mers"), ("k", 99, "k 99"), ("vocabulary", "x", "'x'")):
        changed = {**settings, "dna_tokenization": {**settings["dna_tokenization"], key: value}}
        path.write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message):
            EnsembleTokenizer(path.parent)


@pytest.mark.parametrize(("options", "message"), [({"k": 9}, "k = 9"), ({"vocabulary_size": 8}, "vocabulary of 8")])
def test_bad_sizes(fasta, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        train_ensemble_tokenizer([fasta], folder=tmp_path, **options)

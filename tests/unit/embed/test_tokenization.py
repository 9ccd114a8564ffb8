"""Tokenizers for own models: every kind trained on FASTA, against slow Python and transformers, there and back."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from tiny_models import random_sequence, write_bert

from workflow_lib.embed import load_embedder
from workflow_lib.embed.model_tokenizer import load_tokenizer
from workflow_lib.embed.tokenization import KINDS, SPECIAL_TOKENS, DNATokenizer, space_kmers, train_tokenizer
from workflow_lib.embed.tokenizer_training import PIECE_BP, count_kmers, iterate_pieces, sample_pieces
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta

TEXTS = ["ACGTTGCANNACGTAACGATTTRYacgu", "A", "N", "NNACNN", "acgtacgtacgtac", "TTTTTTTTTTTTTTT"]
CLEAN = [re.sub("[^ACGT]", "N", text.upper().replace("U", "T")) for text in TEXTS]
K = 3
LEARNT = ("bpe", "unigram")


def biased_sequence(rng, length):
    """Random, with a few words again and again, so that there is something to learn."""
    words = ["ACGACGTT", "GGGCCC", "TATAAT", *"ACGT"]
    return "".join(rng.choice(words, length // 3, p=[0.1, 0.1, 0.1, *[0.175] * 4]))[:length]


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(4)
    return [biased_sequence(rng, 3500), biased_sequence(rng, 900) + "NNNNN" + "RYACGT", "N" * 1500, "", "AC"]


@pytest.fixture(scope="module")
def fasta(sequences, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenization") / "genomes.fa.gz"
    write_fasta(path, [(f"s{i}", sequence.encode()) for i, sequence in enumerate(sequences)])
    return path


def train(kind, fasta, folder, **options):
    options = {"vocabulary_size": 48 if kind in LEARNT else None, "k": K, **options}
    return train_tokenizer(kind, [fasta], folder=folder, **options)


@pytest.fixture(scope="module")
def tokenizers(fasta):
    return {kind: train(kind, fasta, fasta.parent / kind) for kind in KINDS}


@pytest.fixture(params=KINDS)
def tokenizer(request, tokenizers):
    return tokenizers[request.param]


def slow_tokens(kind, text):
    if kind == "nucleotide":
        return list(text)
    if kind == "overlapping-kmer":
        return [text[i : i + K] for i in range(len(text) - K + 1) if "N" not in text[i : i + K]]
    return re.findall(f"[ACGT]{{{K}}}|.", text)


def test_special_tokens_come_first_and_frame_each_text(tokenizer):
    assert tokenizer.tokens(range(5)) == list(SPECIAL_TOKENS)
    assert (tokenizer.has_cls, tokenizer.n_special, tokenizer.max_tokens) == (True, 2, None)
    for ids in tokenizer.encode(TEXTS):
        assert ids.dtype == np.int32
        if len(ids):
            assert (ids[0], ids[-1]) == (tokenizer.id_of("[CLS]"), tokenizer.id_of("[SEP]"))
            assert (ids[1:-1] >= len(SPECIAL_TOKENS)).all()
            assert ids.max() < tokenizer.n_ids
    assert [len(ids) for ids in tokenizer.encode(["", b""])] == [0, 0]
    assert tokenizer.encode([]) == []
    with pytest.raises(TypeError, match="put it into a list"):
        tokenizer.encode("ACGT")
    with pytest.raises(KeyError):
        tokenizer.id_of("not a token")


@pytest.mark.parametrize("kind", ["nucleotide", "kmer", "overlapping-kmer"])
def test_k_mers_are_those_of_slow_python(tokenizers, kind):
    texts = [*CLEAN, random_sequence(np.random.default_rng(0), 3000, "ACGTACGTACGTN")]
    for text, ids in zip(texts, tokenizers[kind].encode(texts), strict=True):
        assert tokenizers[kind].tokens(ids[1:-1]) == slow_tokens(kind, text)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "overlapping-kmer"])
def test_there_and_back(tokenizers, kind):
    texts = [*CLEAN, random_sequence(np.random.default_rng(0), 20_000, "ACGTACGTACGTN")]
    assert [tokenizers[kind].decode(ids) for ids in tokenizers[kind].encode(texts)] == texts


def test_overlapping_k_mers_cannot_be_joined(tokenizers):
    with pytest.raises(ValueError, match="cannot be joined"):
        tokenizers["overlapping-kmer"].decode([5, 6])


def test_case_rna_and_other_codes(tokenizer):
    for text, clean in zip(TEXTS, CLEAN, strict=True):
        expected = tokenizer.encode([clean])[0].tolist()
        for variant in (text, text.encode(), clean.lower(), clean.replace("T", "U"), clean.replace("N", "-")):
            assert tokenizer.encode([variant])[0].tolist() == expected


@pytest.mark.parametrize("kind", LEARNT)
def test_learnt_tokens_cover_the_repeated_words_and_no_n(tokenizers, kind):
    tokens = tokenizers[kind].tokens(range(5, tokenizers[kind].n_ids))
    assert 40 < tokenizers[kind].n_ids <= 48
    assert set("ACGTN") <= set(tokens)
    assert {"TATAAT", "GGGCCC"} & set(tokens)
    assert [token for token in tokens if "N" in token] == ["N"]
    text = biased_sequence(np.random.default_rng(9), 6000)
    assert len(tokenizers[kind].encode([text])[0]) < len(text) / 1.8


@pytest.mark.parametrize("loader", ["PreTrainedTokenizerFast", "AutoTokenizer"])
def test_transformers_reads_the_folder(tokenizers, fasta, tokenizer, loader):
    import transformers

    published = getattr(transformers, loader).from_pretrained(str(fasta.parent / tokenizer.kind))
    blanks = tokenizer.kind == "overlapping-kmer"
    for text, ids in zip(TEXTS, tokenizer.encode(TEXTS), strict=True):
        given = space_kmers(text, K) if blanks else text
        found = published(given)["input_ids"]
        assert (found if len(found) > 2 else []) == ids.tolist()
        if len(ids) and not blanks:
            assert published.decode(found, skip_special_tokens=True) == tokenizer.decode(ids)
    special = [published.pad_token, published.unk_token, published.cls_token, published.sep_token, published.mask_token]
    assert special == list(SPECIAL_TOKENS)
    assert published("ACG [MASK] ACG" if blanks else "ACG[MASK]ACG")["input_ids"].count(4) == 1
    padded = published(["ACG", "ACG CGT" if blanks else "ACGTTGCANACG"], padding=True)
    assert len({len(ids) for ids in padded["input_ids"]}) == 1


def test_the_engine_takes_the_folder(fasta, tokenizer, tmp_path):
    """The tokenizer beside a model: overlapping k-mers too are read as DNA."""
    loaded = load_tokenizer(fasta.parent / tokenizer.kind, "bert")
    assert isinstance(loaded, DNATokenizer)
    write_bert(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((fasta.parent / tokenizer.kind / name).read_bytes())
    vectors = load_embedder(tmp_path).embed(["ACGTTGCATG" * 30, "TTGACCA" * 30])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_input_and_seed_give_the_same_bytes(kind, fasta, tmp_path, tokenizers):
    train(kind, fasta, tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (fasta.parent / kind / name).read_bytes()


def test_counts_are_those_of_slow_python(fasta, sequences, monkeypatch):
    slow = Counter(text[i : i + K] for text in sequences for i in range(len(text) - K + 1))
    expected = [slow[a + b + c] for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    assert count_kmers([fasta], K).tolist() == expected
    assert count_kmers([fasta, fasta], K).tolist() == [2 * count for count in expected]
    monkeypatch.setattr("workflow_lib.embed.tokenizer_training._COUNT_BLOCK", 100)
    assert count_kmers([fasta], K).tolist() == expected


@pytest.mark.parametrize(("kind", "n_other"), [("kmer", 10), ("overlapping-kmer", 5)])
def test_a_smaller_vocabulary_keeps_the_most_frequent_k_mers(kind, n_other, fasta, sequences, tmp_path):
    tokenizer = train(kind, fasta, tmp_path, vocabulary_size=n_other + 7)
    slow = Counter(text[i : i + K] for text in sequences for i in range(len(text) - K + 1))
    frequent = sorted((kmer for kmer in slow if set(kmer) <= set("ACGT")), key=lambda kmer: (-slow[kmer], kmer))
    assert tokenizer.tokens(range(n_other, tokenizer.n_ids)) == frequent[:7]
    rare = frequent[-1]
    assert tokenizer.tokens(tokenizer.encode([frequent[0] + "N" + rare])[0])[-2] == "[UNK]"


def test_all_k_mers_need_no_file(tmp_path):
    tokenizer = train_tokenizer("overlapping-kmer", [], folder=tmp_path)
    assert tokenizer.n_ids == 5 + 4**6
    assert (tokenizer.kind, tokenizer.k) == ("overlapping-kmer", 6)


def test_pieces_hold_every_base_once(fasta, sequences):
    pieces = list(iterate_pieces([fasta]))
    assert "".join(pieces) == re.sub("[^ACGT]", "N", "".join(sequences))
    assert max(map(len, pieces)) == PIECE_BP


def test_a_sample_is_even_bounded_and_seeded(tmp_path):
    rng = np.random.default_rng(0)
    write_fasta(tmp_path / "a.fa.gz", [("a", random_sequence(rng, 60 * PIECE_BP).encode()), ("n", b"N" * 5000)])
    every = sample_pieces([tmp_path / "a.fa.gz"], max_mbp=1, seed=0)
    assert len(every) == 60
    drawn = Counter()
    for seed in range(300):
        sample = sample_pieces([tmp_path / "a.fa.gz"], max_mbp=0.01, seed=seed)
        assert len(set(sample)) == 10
        drawn.update(sample)
    # 300 draws at 1 in 6: mean 50, standard deviation 6.5; five of them.
    assert set(drawn) == set(every)
    assert all(abs(count - 50) < 32 for count in drawn.values())
    again = sample_pieces([tmp_path / "a.fa.gz"], max_mbp=0.01, seed=299)
    assert again == sample


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("wordpiece", {}, r"found the tokenization 'wordpiece', expected one of nucleotide, kmer, overlapping-kmer"),
        ("kmer", {"k": 0}, "found k = 0 for kmer, expected 1 to 8"),
        ("overlapping-kmer", {"k": 9}, "found k = 9 for overlapping-kmer, expected 1 to 8"),
        ("bpe", {"vocabulary_size": 10}, "found a vocabulary of 10 tokens, expected more than 10"),
        ("kmer", {"vocabulary_size": 10}, "found a vocabulary of 10 tokens, expected more than 10"),
        ("overlapping-kmer", {"vocabulary_size": 5}, "found a vocabulary of 5 tokens, expected more than 5"),
    ],
)
def test_what_cannot_be_is_refused(kind, options, message, fasta, tmp_path):
    with pytest.raises(InputError, match=message):
        train(kind, fasta, tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("kind", "options"), [("bpe", {}), ("unigram", {}), ("kmer", {"vocabulary_size": 40})])
@pytest.mark.parametrize("sequences", [[], [b""], [b"NNNNNNNN"]], ids=["none", "empty", "N"])
def test_files_without_bases_are_refused(tmp_path, kind, options, sequences):
    write_fasta(tmp_path / "n.fa.gz", [("n", sequence) for sequence in sequences])
    with pytest.raises(InputError, match=r"found no .* FASTA files.*\n.*give files with sequences"):
        train(kind, tmp_path / "n.fa.gz", tmp_path / "new", **options)


@pytest.mark.parametrize("kind", LEARNT)
def test_little_to_learn_from_gives_a_small_vocabulary(tmp_path, kind):
    write_fasta(tmp_path / "a.fa.gz", [("a", b"ACGTACGTTACGTA")])
    tokenizer = train(kind, tmp_path / "a.fa.gz", tmp_path, vocabulary_size=4096)
    assert 10 <= tokenizer.n_ids < 60
    assert tokenizer.decode(tokenizer.encode(["ACGTNNGGATC"])[0]) == "ACGTNNGGATC"


def test_one_path_in_place_of_a_list_is_refused(fasta, tmp_path):
    with pytest.raises(TypeError, match="put it into a list"):
        train_tokenizer("bpe", fasta, folder=tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path, fasta, tokenizers):
    with pytest.raises(InputError, match=r"does not say the kind of tokenization.*\n.*train_tokenizer"):
        DNATokenizer(tmp_path)
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text("{}")
    with pytest.raises(InputError, match="does not say the kind"):
        DNATokenizer(tmp_path)
    settings.write_text(json.dumps({"dna_tokenization": {"kind": "bpe", "k": None}}))
    with pytest.raises(InputError, match=r"not a tokenizer.json that can be read"):
        DNATokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"truncated')
    with pytest.raises(InputError, match=r"not a tokenizer.json that can be read"):
        DNATokenizer(tmp_path)

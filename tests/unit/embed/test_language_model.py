"""Language models as embedders: windows, pooling, strands, and the same vector in any batch."""

import threading

import numpy as np
import pytest
import torch
from tiny_models import (
    random_sequence,
    write_bert,
    write_dnabert2,
    write_hyenadna,
    write_metaberta,
    write_nucleotide_transformer,
)

from workflow_lib.embed import load_embedder
from workflow_lib.embed.windows import Window, cut_windows
from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement

TOLERANCE = 1e-5  # float32 sums of other shapes; measured 1e-7
WRITERS = {
    "bert": write_bert,
    "dnabert2": write_dnabert2,
    "hyenadna": write_hyenadna,
    "nt": write_nucleotide_transformer,
    "nt-v2": lambda folder: write_nucleotide_transformer(folder, version=2),
    "metaberta": write_metaberta,
}


@pytest.fixture(scope="module", params=WRITERS)
def folder(request, tmp_path_factory):
    return WRITERS[request.param](tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(1)
    return [random_sequence(rng, length) for length in (2000, 20, 300, 95, 5000, 300, 64, 65, 41, 130, 1000)]


def plain_vectors(embedder, texts):
    """One window after the other, no batch, no padding: what the embedder is compared with."""
    worker = embedder._workers[0]
    with torch.inference_mode():
        for ids in embedder._tokenizer.encode(texts):
            ids = torch.from_numpy(ids.astype(np.int64))[None]
            yield worker.encoder(ids, torch.ones_like(ids, dtype=torch.bool), [ids.shape[1]])[0].double().numpy()


def test_the_vector_is_the_weighted_mean_of_plain_window_vectors(folder, sequences):
    embedder = load_embedder(folder, window=90, overlap=13)
    for sequence, vector in zip(sequences, embedder.embed(sequences), strict=True):
        texts = cut_windows(sequence.encode(), 90, 13)
        total = sum(len(t) * h.mean(0) for t, h in zip(texts, plain_vectors(embedder, texts), strict=True))
        np.testing.assert_allclose(vector, total / np.linalg.norm(total), atol=TOLERANCE)


@pytest.mark.parametrize("budget", [1, 100, 1000, None])
def test_a_vector_does_not_depend_on_its_batch(folder, sequences, budget):
    expected = load_embedder(folder).embed(sequences)
    embedder = load_embedder(folder, token_budget=budget)
    together = embedder.embed(sequences)
    alone = np.vstack([embedder.embed([sequence]) for sequence in sequences])
    backwards = embedder.embed(sequences[::-1])[::-1]
    for vectors in (together, alone, backwards):
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=TOLERANCE)
    assert len(np.unique(expected.round(4), axis=0)) == len(sequences)


def test_nothing_is_cut_off(folder):
    rng = np.random.default_rng(2)
    sequence = random_sequence(rng, 3000)
    embedder = load_embedder(folder)
    whole = embedder.embed([sequence])[0]
    for position in (10, 1500, 2990):
        other = sequence[:position] + "ACGTTGCAGT" + sequence[position + 10 :]
        assert np.abs(embedder.embed([other])[0] - whole).max() > 1e-6


def test_windows_longer_than_the_model_can_read_are_halved(tmp_path):
    write_bert(tmp_path, max_position_embeddings=32)
    embedder = load_embedder(tmp_path, window=5000)
    rng = np.random.default_rng(3)
    assert embedder.window < 200
    text = random_sequence(rng, 2000).encode()
    windows, tokens = embedder._encode([Window(0, text), Window(1, b"ACGT" * 6)])
    assert b"".join(window.text for window in windows if window.row == 0) == text
    assert max(map(len, tokens)) <= embedder.max_tokens == 32
    assert len(windows) > 20
    assert np.linalg.norm(embedder.embed([text + b"ACN" * 300])) == pytest.approx(1)


def test_gaps_are_split_and_not_embedded(bert):
    rng = np.random.default_rng(4)
    left, right = random_sequence(rng, 200), random_sequence(rng, 100)
    embedder = load_embedder(bert)
    scaffold, *parts = embedder.embed([f"{left}{'N' * 500}{right}", left, right])
    sums = [
        len(t) * h.mean(0)
        for t, h in zip((left, right), plain_vectors(embedder, [left.encode(), right.encode()]), strict=True)
    ]
    expected = sum(sums) / np.linalg.norm(sum(sums))
    np.testing.assert_allclose(scaffold, expected, atol=TOLERANCE)
    assert not np.allclose(parts[0], parts[1], atol=1e-3)


def test_both_strands_are_averaged(bert, sequences):
    embedder = load_embedder(bert, both_strands=True)
    opposite = [reverse_complement(sequence.encode()) for sequence in sequences]
    np.testing.assert_allclose(embedder.embed(opposite), embedder.embed(sequences), rtol=0, atol=TOLERANCE)
    single = load_embedder(bert)
    short = [sequence for sequence in sequences if len(sequence) <= 300]
    assert np.abs(single.embed(short) - embedder.embed(short)).max() > 1e-3


@pytest.mark.parametrize("pooling", ["cls", "max"])
def test_other_poolings(bert, pooling):
    rng = np.random.default_rng(5)
    texts = [random_sequence(rng, length).encode() for length in (100, 60)]
    embedder = load_embedder(bert, pooling=pooling)
    for vector, hidden in zip(embedder.embed(texts), plain_vectors(embedder, texts), strict=True):
        expected = hidden[0] if pooling == "cls" else hidden.max(0)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=TOLERANCE)


def test_cls_pooling_needs_such_a_token(tmp_path):
    with pytest.raises(InputError, match="no token that stands for the whole sequence"):
        load_embedder(write_metaberta(tmp_path), pooling="cls")


@pytest.mark.parametrize("sequence", ["", "A", "ACGT", "N" * 5000, "RYSWKMBDHV" * 50])
def test_nothing_to_embed_is_a_row_of_zeros(bert, sequence):
    vectors = load_embedder(bert).embed(["ACGTTGCAAC" * 10, sequence])
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-6)
    assert not vectors[1].any()


def test_a_long_contig_is_embedded_whole(bert):
    rng = np.random.default_rng(6)
    embedder = load_embedder(bert)
    piece = random_sequence(rng, embedder.window)
    # 200 windows of the same text: the mean of them is the vector of one.
    np.testing.assert_allclose(embedder.embed([piece * 200]), embedder.embed([piece]), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 5}, "window is 5 bp"),
        ({"overlap": 10_000}, "overlap is 10000 bp"),
        ({"pooling": "median"}, "no pooling 'median'"),
        ({"dtype": "float16"}, "no dtype 'float16'"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"colour": 1}, "no option colour; it has: both_strands"),
    ],
)
def test_options_that_do_not_fit_are_refused(bert, options, message):
    with pytest.raises(InputError, match=message):
        load_embedder(bert, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(bert):
    with pytest.raises(InputError, match=r"no GPU 0(.|\n)*embed\.device: cpu"):
        load_embedder(bert, device="cuda")


def test_bfloat16_is_close_and_has_another_fingerprint(bert, sequences):
    exact, rough = load_embedder(bert), load_embedder(bert, dtype="bfloat16")
    assert exact.fingerprint != rough.fingerprint
    cosine = (exact.embed(sequences) * rough.embed(sequences)).sum(1)
    assert cosine.min() > 0.999


@pytest.mark.gpu
def test_gpu_vectors_do_not_depend_on_their_batch(folder, sequences):
    embedder = load_embedder(folder, device="cuda")
    together = embedder.embed(sequences)
    alone = np.vstack([embedder.embed([sequence]) for sequence in sequences])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-3)
    exact = load_embedder(folder, device="cuda", dtype="float32").embed(sequences)
    np.testing.assert_allclose(exact, load_embedder(folder).embed(sequences), rtol=0, atol=1e-4)
    assert (together * exact).sum(1).min() > 0.99


def test_the_next_block_is_tokenized_while_one_is_embedded(bert, sequences, monkeypatch):
    monkeypatch.setattr("workflow_lib.embed.language_model._BLOCK_BP", 3000)
    embedder = load_embedder(bert)
    expected = embedder.embed(sequences)
    encode, run = embedder._tokenizer.encode, embedder._workers[0].run
    n_tokenized, more = 0, threading.Condition()
    waited = []

    def counting_encode(texts):
        nonlocal n_tokenized
        with more:
            n_tokenized += 1
            more.notify_all()
        return encode(texts)

    def waiting_run(queue, tokens):
        if not waited:
            with more:
                waited.append(more.wait_for(lambda: n_tokenized > 1, timeout=30))
        return run(queue, tokens)

    monkeypatch.setattr(embedder._tokenizer, "encode", counting_encode)
    monkeypatch.setattr(embedder._workers[0], "run", waiting_run)
    np.testing.assert_allclose(embedder.embed(sequences), expected, atol=TOLERANCE)
    assert waited == [True]

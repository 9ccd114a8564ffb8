"""Masked-language-model training: batches, the model and its folder, and that it learns."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import random_sequence

from workflow_lib.embed import load_embedder
from workflow_lib.embed.dnabert2 import DNABERT2
from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement, write_fasta
from workflow_lib.train.mlm import MaskedLMTask
from workflow_lib.train.mlm_data import BatchMaker, PieceSampler, make_vocabularies
from workflow_lib.train.mlm_masking import IGNORED
from workflow_lib.train.mlm_model import save_model
from workflow_lib.train.mlm_options import TOKENIZERS, PretrainOptions, make_tokenizer

UNIT_BP, CPU = 20, torch.device("cpu")


def options(tokenizer="kmer", **changes):
    size = {"bpe": 20, "unigram": 40, "ensemble": 20}.get(tokenizer)  # or a token is many repeats long
    tiny = {"k": 3, "width": 32, "layers": 2, "heads": 4, "max_tokens": 48, "batch_size": 16, "steps": 200}
    return PretrainOptions(tokenizer=tokenizer, **{**tiny, "vocabulary_size": size, **changes})


@pytest.fixture(scope="module")
def genomes(tmp_path_factory):
    """A genome that repeats 20 bp, the language: as a file, and as segments to learn from and held out."""
    path = tmp_path_factory.mktemp("genomes") / "genome.fa.gz"
    sequence = random_sequence(np.random.default_rng(0), UNIT_BP).encode() * 500
    write_fasta(path, [("genome", sequence)])
    return path, [sequence], [sequence]


@pytest.fixture(scope="module", params=TOKENIZERS)
def made(request, genomes, tmp_path_factory):
    """(options, tokenizer, its folder) of every kind."""
    chosen = options(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    return chosen, make_tokenizer(chosen, genomes[:1], folder), folder


def make_batches(tokenizer, sampler, **changes):
    settings = {"rows": 9, "max_tokens": 40, "share": 0.15, **changes}
    return BatchMaker(sampler, make_vocabularies(tokenizer), **settings)


def test_batches_of_every_tokenizer(made, genomes):
    _, tokenizer, _ = made
    maker = make_batches(tokenizer, PieceSampler(genomes[1]))
    batch, again = (maker.make(np.random.default_rng(1)) for _ in range(2))
    assert all((one == two).all() for one, two in zip(batch, again, strict=True))
    assert batch.inputs.shape == batch.mask.shape == batch.labels.shape
    assert batch.inputs.shape[0] == 9
    assert batch.inputs.shape[1] <= 40
    assert batch.mask.mean() > 0.95  # rows are cut, not padded
    special = [tokenizer.id_of(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")]
    asked = batch.labels != IGNORED
    assert not asked[~batch.mask].any()
    assert not np.isin(batch.labels[asked], [*special, tokenizer.id_of("[MASK]")]).any()
    assert (batch.inputs[:, 0] == tokenizer.id_of("[CLS]")).all()
    last = batch.mask.sum(axis=1) - 1
    assert (batch.inputs[np.arange(9), last] == tokenizer.id_of("[SEP]")).all()
    assert batch.inputs.max() < tokenizer.n_ids


def test_ensemble_rows_keep_to_their_vocabulary(genomes, tmp_path):
    tokenizer = make_tokenizer(options("ensemble"), genomes[:1], tmp_path)
    batch = make_batches(tokenizer, PieceSampler(genomes[1]), rows=40).make(np.random.default_rng(2))
    prompts = {tokenizer.id_of("[BPE]"): "bpe", tokenizer.id_of("[K-MER]"): "kmer"}
    names = [prompts[prompt] for prompt in batch.inputs[:, 1]]
    assert sorted(set(names)) == ["bpe", "kmer"]
    assert names.count("bpe") == 20
    for name, inputs, labels, mask in zip(names, batch.inputs, batch.labels, batch.mask, strict=True):
        allowed = [*tokenizer.token_ids[name], tokenizer.id_of("[MASK]")]
        assert np.isin(inputs[mask][2:-1], allowed).all()
        assert np.isin(labels[labels != IGNORED], tokenizer.token_ids[name]).all()


def test_pieces_come_from_both_strands():
    rng = np.random.default_rng(3)
    segments = [random_sequence(rng, length).encode() for length in (300, 100)]
    sampler = PieceSampler(segments)
    assert sampler.n_bp == 400
    forward = reverse = 0
    for piece in sampler.draw(200, 120, rng):
        assert len(piece) in (100, 120)
        forward += any(piece in segment for segment in segments)
        reverse += any(reverse_complement(piece) in segment for segment in segments)
    assert forward + reverse == 200
    assert min(forward, reverse) > 60


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_learns_a_repetitive_language(kind, genomes, tmp_path):
    chosen = options(kind, seed=1)
    task = MaskedLMTask(*genomes[1:], make_tokenizer(chosen, genomes[:1], tmp_path), chosen)
    optimiser = torch.optim.AdamW(task.module.parameters(), lr=4e-3)
    before = task.validate(CPU)
    for step in range(task.n_steps):
        loss, logs = task.loss(step, torch.Generator(), CPU)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = task.validate(CPU)
    assert logs["tokens"] > 0.9 * chosen.batch_size * chosen.max_tokens
    assert before["loss"] > before["unigram_loss"] - 0.1  # nothing is known yet
    assert after["loss"] < 0.8 * after["unigram_loss"]
    assert after["accuracy"] > before["accuracy"] + 0.1
    assert after["perplexity"] == pytest.approx(np.exp(after["loss"]))


def test_batches_are_decided_by_step_and_seed_in_any_order(genomes, tmp_path):
    tokenizer = make_tokenizer(options(), genomes[:1], tmp_path)
    tasks = [MaskedLMTask(*genomes[1:], tokenizer, options(seed=seed)) for seed in (1, 1, 2)]
    walked = [tasks[0].loss(step, torch.Generator(), CPU)[0].item() for step in range(4)]
    assert tasks[1].loss(3, torch.Generator(), CPU)[0].item() == walked[3]  # as after a checkpoint
    assert tasks[0].loss(1, torch.Generator(), CPU)[0].item() == walked[1]
    assert tasks[0].identity == tasks[1].identity
    assert tasks[0].identity == {**tasks[2].identity, "seed": 1}
    assert tasks[0].identity != tasks[2].identity
    other = MaskedLMTask([genomes[1][0][1:]], genomes[2], tokenizer, options())
    assert {name for name, value in other.identity.items() if value != tasks[0].identity[name]} == {"genomes"}
    assert (tasks[0].make_batch(3).inputs != tasks[2].make_batch(3).inputs).any()


def test_folder_is_an_embedder_under_published_names(made, genomes):
    chosen, tokenizer, folder = made
    task = MaskedLMTask(*genomes[1:], tokenizer, chosen)
    save_model(task.module, folder)
    names = set(load_file(folder / "model.safetensors"))
    head = {"transform.dense.weight", "transform.dense.bias", "transform.LayerNorm.weight", "decoder.bias"}
    assert {f"cls.predictions.{name}" for name in head} <= names
    assert "bert.encoder.layer.1.attention.self.Wqkv.weight" in names

    task.module.eval()
    ids = torch.tensor([tokenizer.encode(["ACGTTGCAATGGC"])[0].tolist()])
    with torch.no_grad():
        expected = task.module.bert(ids)
        assert torch.equal(DNABERT2.from_pretrained(folder)(ids), expected)
    vectors = load_embedder(folder).embed(["ACGTTGCAATGGCACGTTGCAATGGC", "T" * 60, "N" * 30])
    assert vectors.shape == (3, chosen.width)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0])


def test_decoder_is_tied_and_a_pad_row_changes_nothing(genomes, tmp_path):
    chosen = options()
    module = MaskedLMTask(*genomes[1:], make_tokenizer(chosen, genomes[:1], tmp_path), chosen).module.eval()
    assert module.cls["predictions"]["decoder"].weight is module.bert.embeddings["word_embeddings"].weight
    ids = torch.arange(5, 17)[None]
    labels = torch.full_like(ids, IGNORED)
    labels[0, 4] = 7
    mask = torch.ones_like(ids, dtype=torch.bool)
    padded = [torch.nn.functional.pad(x, (0, 4), value=v) for x, v in ((ids, 0), (mask, False), (labels, IGNORED))]
    with torch.no_grad():
        torch.testing.assert_close(module(*padded), module(ids, mask, labels), atol=1e-5, rtol=0)  # float32 sums


def test_rows_are_shared_out_whole(genomes, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")  # as torch's launcher sets it
    tokenizer = make_tokenizer(options(), genomes[:1], tmp_path)
    with pytest.raises(InputError, match=r"batches of 16 rows for 3 devices.*\n.*pretrain\.batch_size to 18"):
        MaskedLMTask(*genomes[1:], tokenizer, options())
    assert len(MaskedLMTask(*genomes[1:], tokenizer, options(batch_size=18)).make_batch(0).inputs) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": "words"}, "'words', expected one of nucleotide"),
        ({"masked": 1.0}, "share of 1.0"),
        ({"max_tokens": 4}, "4 tokens a row"),
        ({"tokenizer": "overlapping-kmer", "span": 2}, "span of 2, expected at least k = 3"),
        ({"tokenizer": "ensemble", "batch_size": 1}, "batch of 1 rows"),
        ({"heads": 5}, r"width of 32 for 5 heads, expected a multiple of them\n.*pretrain\.heads"),
    ],
)
def test_bad_options(genomes, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        chosen = options(**changes)
        MaskedLMTask(*genomes[1:], make_tokenizer(chosen, genomes[:1], tmp_path), chosen)


def test_nothing_to_learn_from(genomes, tmp_path):
    tokenizer = make_tokenizer(options(), genomes[:1], tmp_path)
    with pytest.raises(InputError, match="no sequences to train on"):
        MaskedLMTask([], genomes[2], tokenizer, options())


@pytest.mark.gpu
def test_learns_in_bfloat16_on_a_gpu(genomes, tmp_path):
    chosen = options("ensemble", heads=2)  # compiled attention wants 16 columns a head
    task = MaskedLMTask(*genomes[1:], make_tokenizer(chosen, genomes[:1], tmp_path), chosen)
    device = torch.device("cuda")
    optimiser = torch.optim.AdamW(task.module.to(device).parameters(), lr=4e-3)
    for step in range(task.n_steps):
        with torch.autocast("cuda", torch.bfloat16):
            loss, _ = task.loss(step, torch.Generator(), device)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = task.validate(device)
    assert after["loss"] < 0.8 * after["unigram_loss"]

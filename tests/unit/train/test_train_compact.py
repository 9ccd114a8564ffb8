"""Training of the compact model: the discriminant, and that it learns."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from workflow_lib.embed import load_embedder
from workflow_lib.embed.compact import N_FEATURES
from workflow_lib.errors import InputError
from workflow_lib.tables import Genome
from workflow_lib.train.compact import (
    LONGEST,
    SHORTEST,
    Moments,
    TrainableCompact,
    learn_discriminant,
    tile_segments,
)
from workflow_lib.train.contrastive import ContrastiveOptions, ContrastiveTask
from workflow_lib.train.embedder import train_embedder
from workflow_lib.train.genomes import TrainingGenome, load_genomes
from workflow_lib.train.loop import LoopSettings, train
from workflow_lib.train.pairs import PairOptions

CONTEXTS = 16  # an order-2 Markov chain


def draw_sequence(chain: np.ndarray, length: int, rng: np.random.Generator) -> str:
    """A sequence of a Markov chain, (16, 4) probabilities of a base after two others."""
    cumulative = chain.cumsum(axis=1)
    state, bases = 0, []
    for value in rng.random(length):
        base = min(int(np.searchsorted(cumulative[state], value)), 3)
        bases.append("ACGT"[base])
        state = state % 4 * 4 + base
    return "".join(bases)


def tilt(chain: np.ndarray, logits: np.ndarray) -> np.ndarray:
    tilted = chain * np.exp(logits)
    return tilted / tilted.sum(axis=1, keepdims=True)


def write_species(folder, numbers, *, n_regions=12, length=3000) -> list[Genome]:
    """Genomes whose regions differ as much within a species as species differ, but in a direction that all share."""
    shared = np.random.default_rng(0)
    even = np.full((CONTEXTS, 4), 0.25)
    nuisance = shared.standard_normal((CONTEXTS, 4))
    genomes = []
    for number in numbers:
        rng = np.random.default_rng([1, number])
        own = tilt(even, 0.25 * rng.standard_normal((CONTEXTS, 4)))
        regions = [draw_sequence(tilt(own, rng.normal(0, 0.5) * nuisance), length, rng) for _ in range(n_regions)]
        path = folder / f"{number}.fa"
        path.write_text("".join(f">{i}\n{region}\n" for i, region in enumerate(regions)))
        genomes.append(Genome(f"g{number}", str(path), {"species": f"s{number}"}))
    return genomes


def agreement(embedder, genomes: list[TrainingGenome]) -> float:
    labels = [i for i, genome in enumerate(genomes) for _ in genome.segments]
    vectors = embedder.embed([segment for genome in genomes for segment in genome.segments])
    clusters = KMeans(len(genomes), n_init=5, random_state=0).fit_predict(vectors)
    return adjusted_rand_score(labels, clusters)


def load(tmp_path, numbers, **options) -> list[TrainingGenome]:
    return load_genomes(write_species(tmp_path, numbers, **options), min_length=500)


def test_it_learns_to_tell_species_that_it_has_never_seen(tmp_path):
    trainable = TrainableCompact(*learn_discriminant(load(tmp_path, range(24)), dim=16))
    trainable.save(tmp_path / "model")
    unseen = load(tmp_path, range(100, 108))
    assert agreement(load_embedder(tmp_path / "model"), unseen) > agreement(load_embedder("tnf"), unseen) + 0.2


def test_contrastive_training_improves_a_random_projection(tmp_path):
    genomes = load(tmp_path, range(24))
    mean, projection = learn_discriminant(genomes, dim=16)
    projection = np.random.default_rng(1).standard_normal(projection.shape).astype(np.float32)
    trainable = TrainableCompact(mean, projection)
    trainable.save(tmp_path / "first")
    pairs = PairOptions(batch_size=24, length_median=2000, max_length=3000)
    options = ContrastiveOptions(pairs=pairs, steps=60, mixing="none", head=0, temperature=0.2)
    settings = LoopSettings(learning_rate=0.1, warmup_steps=0, weight_decay=0.0, log_steps=20)
    task = ContrastiveTask(trainable, genomes, [], options)
    _, losses = train(task, settings, folder=tmp_path / "training").series("loss")
    trainable.save(tmp_path / "trained")
    assert losses[-1] < 0.9 * losses[0]
    unseen = load(tmp_path, range(100, 108))
    first, trained = (agreement(load_embedder(tmp_path / name), unseen) for name in ("first", "trained"))
    assert trained > first + 0.1


def train_on(genomes, folder, *, dies_at=None):
    """Mean and projection of a training of six steps from the discriminant."""
    pairs = PairOptions(batch_size=4, length_median=2000, max_length=3000)
    task = ContrastiveTask(
        TrainableCompact.learn(genomes), genomes, [], ContrastiveOptions(pairs=pairs, steps=6, head=8)
    )
    loss = task.loss

    def die(step, *arguments):
        if step == dies_at:
            raise KeyboardInterrupt
        return loss(step, *arguments)

    task.loss = die
    train(task, LoopSettings(learning_rate=0.01, checkpoint_steps=2), folder=folder)
    layer = task.module.encoder[0]
    return layer.mean.numpy(), layer.weight.detach().numpy()


@pytest.fixture
def killed(tmp_path):
    """Genomes, and the folder of a training on them that died in its fifth step."""
    genomes = load(tmp_path, range(6))
    with pytest.raises(KeyboardInterrupt):
        train_on(genomes, tmp_path / "killed", dies_at=4)
    return genomes, tmp_path / "killed"


def test_a_killed_training_goes_on_where_the_discriminant_has_other_last_digits(killed, tmp_path, monkeypatch):
    genomes, folder = killed
    unbroken = train_on(genomes, tmp_path / "unbroken")

    def learn_elsewhere(*arguments, **options):  # as another type of CPU rounds
        return tuple(np.nextafter(array, np.float32(9)) for array in learn_discriminant(*arguments, **options))

    monkeypatch.setattr("workflow_lib.train.compact.learn_discriminant", learn_elsewhere)
    for resumed, expected in zip(train_on(genomes, folder), unbroken, strict=True):
        np.testing.assert_array_equal(resumed, expected)  # all that was computed came from the checkpoint


def test_a_checkpoint_of_other_genomes_is_refused(killed):
    genomes, folder = killed
    with pytest.raises(InputError, match="another training: genomes differ\n"):
        train_on(genomes[1:], folder)


def test_a_checkpoint_that_tells_the_first_weights_by_their_bytes_is_refused(killed):
    genomes, folder = killed
    path = folder / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    content["identity"]["first weights"] = "0" * 64
    torch.save(content, path)
    told = r"first weights told by a hash, now \{'kind': 'linear discriminant'.*\}\n.*delete"
    with pytest.raises(InputError, match=told):
        train_on(genomes, folder)


def make_moments(seed=3):
    rng = np.random.default_rng(seed)
    rows = {
        f"s{i}": (rng.random(N_FEATURES) + 0.3 * rng.random((20 + i, N_FEATURES))).astype(np.float32) for i in range(6)
    }
    moments = Moments()
    for name, row in rows.items():
        moments.add(name, row[:5])
        moments.add(name, row[5:])
    return moments, rows


def test_the_projection_solves_the_generalised_eigenvalue_problem():
    moments, rows = make_moments()
    mean, projection = moments.discriminant(dim=96, shrinkage=0.3, prior=3.0)
    means = np.array([row.mean(axis=0, dtype=float) for row in rows.values()])
    centred = np.concatenate([row - row.mean(axis=0, dtype=float) for row in rows.values()])
    within = centred.T @ centred / (len(centred) - len(rows))
    within += 0.3 * within.diagonal().mean() * np.eye(N_FEATURES)
    between = (means - means.mean(axis=0)).T @ (means - means.mean(axis=0)) / len(means)
    values, vectors = eigh(between, within)
    expected = vectors[:, ::-1][:, :5] / np.sqrt(values[::-1][:5] + 3)
    np.testing.assert_allclose(mean, means.mean(axis=0), atol=1e-9)
    assert projection.shape == (N_FEATURES, 5)  # of six species
    signs = np.sign((projection * expected).sum(axis=0))
    np.testing.assert_allclose(projection * signs, expected, atol=1e-6 * np.abs(expected).max())


def test_rows_with_nothing_to_count_are_left_out():
    moments, _ = make_moments()
    counts = dict(moments.counts)
    moments.add("s0", np.zeros((3, N_FEATURES), dtype=np.float32))
    assert moments.counts == counts


@pytest.mark.parametrize("length", [0, SHORTEST - 1, SHORTEST, 30_000, 100_000])
def test_pieces_cover_a_sequence_but_a_short_rest(length):
    sequence = np.random.default_rng(length).choice(np.frombuffer(b"ACGT", np.uint8), length).tobytes()
    pieces = list(tile_segments([sequence], np.random.default_rng(5)))
    assert sequence.startswith(b"".join(pieces))
    assert length - sum(map(len, pieces)) < SHORTEST
    assert all(SHORTEST <= len(piece) <= LONGEST for piece in pieces)


def test_the_same_bytes_at_any_number_of_threads(tmp_path):
    genomes = load(tmp_path, range(4))
    one, two, other = (
        learn_discriminant(genomes, seed=seed, threads=threads) for seed, threads in ((7, 1), (7, 2), (8, 1))
    )
    assert [array.tobytes() for array in one] == [array.tobytes() for array in two]
    assert not np.allclose(one[0], other[0])


def test_one_species_is_too_few(tmp_path):
    genomes = [dataclasses.replace(genome, species="one") for genome in load(tmp_path, range(2))]
    with pytest.raises(InputError, match=r"1 species with .* needs two species"):
        learn_discriminant(genomes)


def test_all_species_with_one_piece_are_too_few(tmp_path):
    genomes = [
        dataclasses.replace(genome, segments=genome.segments[:1]) for genome in load(tmp_path, range(3), length=1600)
    ]
    with pytest.raises(InputError, match="3 species with 3 pieces"):
        learn_discriminant(genomes)


def train_discriminant(genomes: list[Genome], folder) -> tuple[list[str], bytes]:
    """Names of the genomes in training.json, and the weights."""
    rows = [f"{genome.name}\t{genome.fasta}\ts__{genome.taxonomy['species']}" for genome in genomes]
    folder.mkdir()
    table = folder / "genomes.tsv"
    table.write_text("\n".join(["genome_id\tfasta\ttaxonomy", *rows]) + "\n")
    options = ContrastiveOptions(steps=0)
    train_embedder("compact", table, folder / "model", options=options, settings=LoopSettings(), held_out=0)
    record = json.loads((folder / "model/training.json").read_text())
    return record["genomes"], (folder / "model/model.safetensors").read_bytes()


def test_genomes_in_fragments_are_told_and_not_listed(tmp_path, caplog):
    whole = write_species(tmp_path, range(3), n_regions=2)
    fragments = write_species(tmp_path, range(3, 6), length=SHORTEST - 1)
    alone = train_discriminant(whole, tmp_path / "whole")
    assert "no stretch" not in caplog.text
    assert train_discriminant([*whole, *fragments], tmp_path / "all") == alone
    assert alone[0] == ["g0", "g1", "g2"]
    told = "3 genomes have no stretch of 1500 bp, the shortest piece of compact, and are not trained on: g3, g4, g5"
    assert told in caplog.text
    for n_left in range(2):
        with pytest.raises(InputError, match=rf"{n_left} species with {2 * n_left} pieces; .* needs two species"):
            train_discriminant([*whole[:n_left], *fragments], tmp_path / f"{n_left}")

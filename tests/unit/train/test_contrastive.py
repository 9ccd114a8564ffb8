"""Contrastive training: mixing at every layer, both phases, validation, and that every kind of model learns."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from genome_tables import write_genomes
from tiny_models import random_sequence, write_bert, write_dnabert2, write_hyenadna, write_tnf_vae

from workflow_lib.embed import load_embedder
from workflow_lib.embed.compact import SHIPPED
from workflow_lib.errors import InputError, ToolError
from workflow_lib.tables import load_reference
from workflow_lib.train import losses
from workflow_lib.train.contrastive import ContrastiveModel, ContrastiveOptions, ContrastiveTask, Mixing
from workflow_lib.train.embedder import train_embedder
from workflow_lib.train.genomes import load_genomes, split_by_genus
from workflow_lib.train.loop import LoopSettings, train
from workflow_lib.train.pairs import PairOptions
from workflow_lib.train.sources import check_source
from workflow_lib.train.trainable import TrainableFeatures, TrainableLanguageModel

CPU = torch.device("cpu")
PAIRS = PairOptions(batch_size=8, length_median=250, length_sigma=0.2, min_length=150, max_length=400)
OPTIONS = ContrastiveOptions(pairs=PAIRS, steps=24, simclr_share=0.5, head=16, validation_pieces=4)
SETTINGS = LoopSettings(
    learning_rate=1e-3, schedule="constant", checkpoint_steps=5, validation_steps=12, log_steps=6, warmup_steps=2
)
KINDS = {"dnabert2": write_dnabert2, "hyenadna": write_hyenadna}


def features_model():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(256, 32), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(32, 24))]
    return TrainableFeatures(layers, load_embedder("tnf").embed, dim=24)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_genomes(tmp_path_factory.mktemp("genomes"))


@pytest.fixture(scope="module")
def genomes(table):
    loaded = load_genomes(load_reference(table).values(), min_length=PAIRS.min_length)
    return split_by_genus(loaded, held_out=0.2, seed=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: write(tmp_path_factory.mktemp(kind) / "model") for kind, write in KINDS.items()}


@pytest.fixture(params=[*KINDS, "features"])
def trainable(request, folders):
    return features_model() if request.param == "features" else TrainableLanguageModel(folders[request.param])


def sequences(lengths=(180, 240, 120, 240)):
    rng = np.random.default_rng(1)
    return [random_sequence(rng, length).encode() for length in lengths]


def test_layers_in_steps_are_the_model(trainable):
    batch = trainable.encode(sequences())
    hidden = trainable.begin(batch)
    whole = trainable.run(hidden, batch.mask, 0, trainable.n_layers)
    for layer in range(trainable.n_layers):
        hidden = trainable.run(hidden, batch.mask, layer, layer + 1)
    torch.testing.assert_close(hidden[batch.mask], whole[batch.mask])
    if isinstance(trainable, TrainableLanguageModel):
        expected = trainable.module(batch.values, batch.mask)
        torch.testing.assert_close(whole[batch.mask], expected[batch.mask])


def test_vectors_are_those_of_the_embedder(folders):
    for folder in folders.values():
        model = ContrastiveModel(TrainableLanguageModel(folder), head=0, seed=1).eval()
        with torch.no_grad():
            vectors = model(model.trainable.encode(sequences())).numpy()
        np.testing.assert_allclose(vectors, load_embedder(folder).embed(sequences()), atol=1e-5)  # float32


def test_mixing_at_every_layer(trainable):
    model = ContrastiveModel(trainable, head=8, seed=1).eval()
    same, other = trainable.encode(sequences((200,) * 4)), trainable.encode(sequences((240, 100, 240, 240)))
    permutation = torch.tensor([1, 2, 3, 0])
    with torch.no_grad():
        plain = model(same)
        for layer in range(trainable.n_layers):
            torch.testing.assert_close(model(same, Mixing(layer, torch.arange(4), 0.3)), plain)  # with itself
            swap = torch.tensor([1, 0, 3, 2])
            mixed = model(same, Mixing(layer, swap, 0.5))
            torch.testing.assert_close(mixed, mixed[swap])  # half and half is the same from both sides
            assert abs(mixed - plain).max() > 1e-3
            # An anchor of which nothing is left is its partner, as far as the shorter of both goes.
            replaced = model.embed(other, Mixing(layer, permutation, 0.0))
            mask = other.mask & other.mask[permutation]
            hidden = trainable.run(trainable.begin(other), other.mask, 0, layer)[permutation]
            hidden = trainable.run(hidden * mask.unsqueeze(2), mask, layer, trainable.n_layers)
            expected = torch.stack([rows[kept].mean(0) for rows, kept in zip(hidden, mask, strict=True)])
            torch.testing.assert_close(replaced, expected)


def test_phases(genomes, trainable):
    task = ContrastiveTask(trainable, *genomes, OPTIONS)
    model = task.module
    first, second = task._take(3)
    with torch.no_grad():
        expected = losses.weighted_simclr(model(first), model(second), 0.05)
        assert float(task.loss(3, torch.Generator(), CPU)[0]) == pytest.approx(float(expected))
        for mixing, loss in (("manifold", losses.mi_mix), ("input", losses.i_mix)):
            mixed = ContrastiveTask(trainable, *genomes, replace(OPTIONS, mixing=mixing, simclr_share=0.0))
            layer, (permutation,), lam = mixed._draw_mixing(3)
            z1 = mixed.module(first, Mixing(layer, permutation, lam))
            expected = loss(z1, mixed.module(second), permutation, lam, 0.05)
            assert float(mixed.loss(3, torch.Generator(), CPU)[0]) == pytest.approx(float(expected))
    layers = {task._draw_mixing(step)[0] for step in range(40)}
    assert layers == set(range(trainable.n_layers))
    assert replace(OPTIONS, mixing="none").first_mixed_step == OPTIONS.steps


def test_steps_decide_batches_in_any_order(genomes):
    one, other = (ContrastiveTask(features_model(), *genomes, OPTIONS) for _ in range(2))
    walked = [one.loss(step, torch.Generator(), CPU)[0].item() for step in (0, 1, 2, 14)]
    assert other.loss(14, torch.Generator(), CPU)[0].item() == walked[-1]  # as after a checkpoint
    assert other.loss(1, torch.Generator(), CPU)[0].item() == walked[1]
    assert one.identity == other.identity


def test_the_identity_names_all_that_decides_a_training(genomes, folders):
    def differences(trainable, *parts_and_options):
        other = ContrastiveTask(trainable, *parts_and_options).identity
        return {name for name in first | other if first.get(name) != other.get(name)}

    first = ContrastiveTask(features_model(), *genomes, OPTIONS).identity
    assert differences(features_model(), *genomes, OPTIONS) == set()
    assert differences(features_model(), *genomes, replace(OPTIONS, seed=2)) == {"seed"}
    mutated = replace(OPTIONS, pairs=replace(PAIRS, strategy="mutate"))
    assert differences(features_model(), *genomes, mutated) == {"strategy"}
    assert differences(features_model(), genomes[0][1:], genomes[1], OPTIONS) == {"genomes"}
    assert differences(features_model(), genomes[0], [], OPTIONS) == {"held-out genomes"}
    changed = features_model()
    changed.module[0].weight.data += 1
    changed = TrainableFeatures(changed.module, changed._features, dim=24)
    assert differences(changed, *genomes, OPTIONS) == {"first weights"}
    first = ContrastiveTask(TrainableLanguageModel(folders["dnabert2"]), *genomes, OPTIONS).identity
    dropped = TrainableLanguageModel(folders["dnabert2"], dropout=0.1)
    assert differences(dropped, *genomes, OPTIONS) == {"dropout"}
    assert "files of the model" in differences(TrainableLanguageModel(folders["hyenadna"]), *genomes, OPTIONS)


def test_without_held_out_genomes_the_log_tells_of_no_validation(genomes, tmp_path, caplog):
    caplog.set_level("INFO")
    for parts, told in (((genomes[0], []), False), (genomes, True)):
        caplog.clear()
        task = ContrastiveTask(features_model(), *parts, replace(OPTIONS, steps=0))
        train(task, SETTINGS, folder=tmp_path / str(told))
        assert ("step 0 of 0, held out: loss" in caplog.text) is told
        assert ("held out:" in caplog.text) is told


def test_every_process_gets_as_many_rows(genomes, monkeypatch, caplog):
    def share(batch_size, n_processes):
        monkeypatch.setenv("WORLD_SIZE", str(n_processes))  # as torch's launcher sets it
        pairs = replace(PAIRS, batch_size=batch_size)
        task = ContrastiveTask(features_model(), *genomes, replace(OPTIONS, pairs=pairs))
        rows = {len(view.values) for view in task._make(0)}
        assert rows == {task._share}
        return task._share

    assert share(8, 2) == 4
    assert share(20, 1) == 20
    assert "pairs only" not in caplog.text
    assert share(48, 3) == 6  # of 20 species
    assert "batches of 18 pairs only, not of 48 (train.batch_size): there are 20 species, and 3 devices" in caplog.text
    with pytest.raises(InputError, match=r"batches of 9 rows for 2 devices.*\n.*train\.batch_size to 10"):
        share(9, 2)
    with pytest.raises(InputError, match=r"batches of 2 pairs .* for 2 devices.*\n.*train\.batch_size"):
        share(2, 2)  # nothing would be mixed
    with pytest.raises(InputError, match="22 pairs and 20 species for 11 devices"):
        share(22, 11)


def first_and_last(history):
    """Mean training loss of the first and the last third of the rows."""
    loss = history.series("loss")[1]
    n = len(loss) // 3
    return np.mean(loss[:n]), np.mean(loss[-n:])


def test_every_kind_of_model_learns(genomes, trainable, tmp_path):
    options = replace(OPTIONS, steps=36, simclr_share=1.0)
    history = train(ContrastiveTask(trainable, *genomes, options), SETTINGS, folder=tmp_path)
    first, last = first_and_last(history)
    assert last < 0.95 * first
    assert history.series("held_out_ari")[1][-1] > 0.5
    assert len(set(history.series("held_out_ari_tnf")[1])) == 1


@pytest.mark.parametrize(
    ("strategy", "mixing"),
    [("same_genome", "manifold"), ("mutate", "none"), ("double_strand", "input")],
)
def test_every_strategy_and_mixing_learns(genomes, tmp_path, strategy, mixing):
    pairs = replace(PAIRS, strategy=strategy)
    options = replace(OPTIONS, pairs=pairs, steps=36, mixing=mixing, simclr_share=0.0)
    history = train(ContrastiveTask(features_model(), *genomes, options), SETTINGS, folder=tmp_path)
    first, last = first_and_last(history)
    assert last < 0.95 * first
    held_out = history.series("held_out_loss")[1]
    assert held_out[-1] < held_out[0]


def test_dropout_tells_views_apart_in_training_only(folders, genomes):
    trainable = TrainableLanguageModel(folders["dnabert2"], dropout=0.1)
    model = ContrastiveModel(trainable, head=0, seed=1)
    batch = trainable.encode(sequences())
    assert not torch.equal(model.train()(batch), model(batch))
    assert torch.equal(model.eval()(batch), model(batch))


def test_dropout_follows_the_seed(folders, genomes, tmp_path):
    options = replace(OPTIONS, steps=4, pairs=replace(PAIRS, strategy="dropout"))
    weights = []
    for folder in "ab":
        torch.rand(1 + len(weights))  # whatever was drawn before
        trainable = TrainableLanguageModel(folders["dnabert2"], dropout=0.1)
        train(ContrastiveTask(trainable, *genomes, options), SETTINGS, folder=tmp_path / folder)
        weights.append(trainable.module.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(*(w.values() for w in weights), strict=True))


def test_recomputing_changes_no_gradient(folders):
    for folder in folders.values():
        gradients = []
        for recompute in (False, True):
            torch.manual_seed(0)
            trainable = TrainableLanguageModel(folder, recompute=recompute, dropout=0.1)
            model = ContrastiveModel(trainable, head=4, seed=1).train()
            model(trainable.encode(sequences()), Mixing(1, torch.tensor([1, 2, 3, 0]), 0.3))[:, 0].sum().backward()
            gradients.append([parameter.grad for parameter in trainable.module.parameters()])
        for one, other in zip(*gradients, strict=True):
            assert one is other is None or torch.equal(one, other)


def test_a_trained_folder_is_an_embedder(table, folders, tmp_path):
    settings = replace(SETTINGS, learning_rate=0.01)
    for kind, folder in folders.items():
        done = tmp_path / kind
        train_embedder(folder, table, done, options=replace(OPTIONS, steps=4), settings=settings, held_out=0.2)
        before, after = (load_embedder(path).embed(sequences()) for path in (folder, done))
        assert after.shape == before.shape
        assert abs(after - before).max() > 1e-3
        record = json.loads((done / "training.json").read_text())
        assert len(record["genomes"]) + len(record["held_out"]) == 24
        assert record["options"]["pairs"]["batch_size"] == 8
        assert record["last"]["step"] == 4
        assert sorted(path.name for path in (done / "training").iterdir()) == [
            "checkpoint.pt", "history.svg", "history.tsv",
        ]  # fmt: skip


def test_a_limit_of_tokens_cuts(folders):
    batch = TrainableLanguageModel(folders["hyenadna"]).encode(sequences((900, 100)))
    assert batch.mask.sum(1).tolist() == [512, 101]
    assert batch.values[0, -1] == batch.values[1, 100]  # what ends a sequence


def two_processes(folder, table, steps):
    """Loss of every step of a training that is shared."""
    torch.set_num_threads(1)
    loaded = load_genomes(load_reference(table).values(), min_length=PAIRS.min_length)
    options = replace(OPTIONS, steps=steps, simclr_share=1.0)
    task = ContrastiveTask(features_model(), *split_by_genus(loaded, held_out=0.2, seed=1), options)
    return train(task, replace(SETTINGS, log_steps=1), folder=folder).series("loss")[1]


def test_processes_share_the_rows_of_a_batch(table, tmp_path):
    from workflow_lib.train.processes import launch

    alone = two_processes(tmp_path / "one", table, 6)
    assert launch(two_processes, tmp_path / "two", table, 6, n=2) == pytest.approx(alone, rel=1e-4)  # order of sums
    with pytest.raises(ToolError, match=r"process [01] of 2 failed.*none\.tsv"):
        launch(two_processes, tmp_path / "none", tmp_path / "none.tsv", 6, n=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixing": "both"}, "manifold, input, none"),
        ({"simclr_share": 1.5}, "0 to 1"),
        ({"temperature": 0.0}, "above 0"),
        ({"mix_alpha": 0.0}, "above 0"),
    ],
)
def test_bad_options(changes, message):
    with pytest.raises(InputError, match=message):
        ContrastiveOptions(**changes)


def test_models_that_cannot_be_trained(tmp_path):
    write_bert(tmp_path)
    with pytest.raises(InputError, match="type bert, which cannot be trained here"):
        TrainableLanguageModel(tmp_path)


def test_models_that_can_be_trained_are_told_without_loading_them(folders, tmp_path):
    for model in ("compact", "dnabert-2", "hyenadna", "owner/name", *folders.values()):
        check_source(str(model), tmp_path / "trained")
    write_tnf_vae(tmp_path / "vae")
    (tmp_path / "empty").mkdir()
    for model, message in (
        ("nt", "nt cannot be trained here"),
        ("tnf", "nothing to train by the name 'tnf'"),
        (tmp_path / "missing", "no such folder"),
        (tmp_path / "empty", "no config.json"),
        (tmp_path / "vae", "type tnf-vae, which cannot be trained here"),
        (SHIPPED, "a trained compact model, which is not trained further"),
    ):
        with pytest.raises(InputError, match=message):
            check_source(str(model), tmp_path / "trained")


@pytest.mark.gpu
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("kind", list(KINDS))
def test_learns_in_bfloat16_on_a_gpu(genomes, folders, tmp_path, kind, recompute):
    trainable = TrainableLanguageModel(folders[kind], recompute=recompute)
    history = train(ContrastiveTask(trainable, *genomes, OPTIONS), SETTINGS, folder=tmp_path, device="cuda")
    held_out = history.series("held_out_loss")[1]
    assert held_out[-1] < held_out[0]

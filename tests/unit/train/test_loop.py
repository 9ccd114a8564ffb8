"""The training loop: it learns, is killed and goes on, refuses what is not its own, and shares work among processes."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_task import SETTINGS, SmallTask, train_in

from workflow_lib.errors import InputError
from workflow_lib.train import processes
from workflow_lib.train.history import History
from workflow_lib.train.loop import LoopSettings, learning_rate, train

FILES = ("history.tsv", "history.svg")


def same(one, two):
    return all((one[name] == two[name]).all() for name in one)


def close(one, two):
    return all(np.allclose(one[name], two[name], atol=1e-5) for name in one)  # sums of float32 in another order


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return train_in(folder), folder


def test_learns_and_says_so(unbroken):
    _, folder = unbroken
    lines = [line.split("\t") for line in (folder / "history.tsv").read_text().splitlines()]
    expected = ["step", "learning_rate", "loss", "gradient_norm", "noise", "held_out_loss", "held_out_accuracy"]
    assert lines[0] == expected
    steps = [int(line[0]) for line in lines[1:]]
    assert steps == sorted({0, *range(3, 31, 3), 10, 20, 30})
    losses = [float(line[2]) for line in lines[1:] if line[2]]
    assert losses[-1] < 0.5 * losses[0]
    held_out = {int(line[0]): float(line[6]) for line in lines[1:] if line[6]}
    assert set(held_out) == {0, 10, 20, 30}
    assert held_out[30] > held_out[0]
    svg = (folder / "history.svg").read_text()
    assert "held out" in svg
    assert "accuracy" in svg


@pytest.mark.parametrize("dies_at", [2, 4, 11, 29])
def test_a_killed_training_goes_on_to_the_same_bytes(unbroken, tmp_path, dies_at):
    with pytest.raises(KeyboardInterrupt):
        train_in(tmp_path, dies_at=dies_at)
    assert same(train_in(tmp_path), unbroken[0])
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (unbroken[1] / name).read_bytes()
    assert same(train_in(tmp_path, dies_at=0), unbroken[0])  # nothing is left to do


def test_a_process_that_is_killed_leaves_a_whole_checkpoint(unbroken, tmp_path):
    code = f"from small_task import train_in; train_in({str(tmp_path)!r}, hangs_at=14)"
    here = Path(__file__)
    paths = f"import sys; sys.path[:0] = [{str(here.parent)!r}, {str(here.parents[3])!r}]; "
    with subprocess.Popen([sys.executable, "-c", paths + code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(signal.SIGKILL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", *sorted(FILES)]
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert checkpoint["step"] == 12
    assert {name for states in checkpoint["random"] for name in states} == {"generator", "torch", "cuda"}
    assert same(train_in(tmp_path), unbroken[0])


def test_without_resume_a_training_starts_anew(unbroken, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_in(tmp_path, dies_at=11)
    assert same(train_in(tmp_path, resume=False), unbroken[0])


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_in(tmp_path, dies_at=11)
    other = r"another training: genomes differ; strategy 'mutate', now 'same_genome'; seed 1, now 2\n.*delete"
    with pytest.raises(InputError, match=other):
        train_in(tmp_path, genomes="1" * 64, strategy="same_genome", seed=2)
    with pytest.raises(
        InputError, match=r"another training: learning_rate 0\.05, now 0\.1; seed of the loop 2, now 3\n"
    ):
        train_in(tmp_path, settings=replace(SETTINGS, learning_rate=0.1, seed=3))
    train_in(tmp_path, settings=replace(SETTINGS, log_steps=7, checkpoint_steps=9))  # these decide nothing


def test_a_finished_checkpoint_of_another_training_is_in_nobodys_way(unbroken, tmp_path, caplog):
    caplog.set_level("INFO")
    train_in(tmp_path, strategy="same_genome")
    finished = (tmp_path / "checkpoint.pt").read_bytes()
    none = SmallTask()
    none.n_steps = 0
    train(none, SETTINGS, folder=tmp_path)  # writes no checkpoint
    assert same(none.module.state_dict(), SmallTask().module.state_dict())
    assert (tmp_path / "checkpoint.pt").read_bytes() == finished
    assert "steps 30, now 0; that one is finished, so this one starts anew" in caplog.text
    assert same(train_in(tmp_path), unbroken[0])
    assert (tmp_path / "history.tsv").read_bytes() == (unbroken[1] / "history.tsv").read_bytes()


def test_what_killed_trainings_left_is_removed(tmp_path):
    (tmp_path / ".0123456789ab.tmp.checkpoint.pt").write_bytes(b"half")
    (tmp_path / ".tmp.notes").write_text("not ours")
    train_in(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tmp.notes", "checkpoint.pt", *sorted(FILES)]


@pytest.mark.parametrize("damage", ["cut", "text", "words", "other", "parts"])
def test_a_damaged_checkpoint_is_told(tmp_path, damage):
    train_in(tmp_path)
    path = tmp_path / "checkpoint.pt"
    if damage == "other":
        torch.save({"weights": {}}, path)
    elif damage == "parts":
        torch.save({**torch.load(path, weights_only=True), "optimiser": {}}, path)
    else:
        texts = {"cut": path.read_bytes()[:1000], "text": b"no checkpoint", "words": b"hello world"}
        path.write_bytes(texts[damage])
    with pytest.raises(InputError, match="no checkpoint"):
        train_in(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    with pytest.raises(InputError, match="lower the learning rate"):
        train_in(tmp_path, noise=float("inf"))


def test_learning_rates():
    settings = LoopSettings(learning_rate=1.0, warmup_steps=4, schedule="linear")
    rates = [learning_rate(step, 14, settings) for step in range(14)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == pytest.approx([1 - i / 10 for i in range(10)])
    cosine = replace(settings, schedule="cosine")
    assert learning_rate(9, 14, cosine) == pytest.approx(0.5)
    assert {learning_rate(step, 14, replace(settings, schedule="constant")) for step in range(4, 14)} == {1.0}
    assert learning_rate(0, 5, LoopSettings(learning_rate=2.0)) == 2.0  # no warm-up


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "step"}, "constant, linear, cosine"),
        ({"precision": "float16"}, "auto, float32, bfloat16"),
        ({"log_steps": 0}, "0 log_steps"),
        ({"learning_rate": 0.0}, "above 0"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(InputError, match=message):
        LoopSettings(**changes)


def train_without_noise(folder):
    return train_in(folder, noise=0.0)  # each process would draw its own


def test_two_processes_are_one_of_twice_the_batch(tmp_path):
    alone = train_without_noise(tmp_path / "one")
    assert close(processes.launch(train_without_noise, tmp_path / "two", n=2), alone)
    path = tmp_path / "two/checkpoint.pt"
    torch.save({**torch.load(path, weights_only=True), "step": 29}, path)  # as one that is not finished
    with pytest.raises(InputError, match="number of processes 2, now 1"):
        train_without_noise(tmp_path / "two")


def gathered_gradient(rows):
    """Gradient of a function of all processes' rows by a weight that they share."""
    with processes.process_group(torch.device("cpu")):
        weight = torch.nn.Parameter(torch.arange(1.0, 4.0))
        own = torch.from_numpy(rows).chunk(processes.n_processes())[processes.rank()]
        z = processes.gather_rows(own * weight)
        (z @ z.T).softmax(1)[0, -1].backward()
        processes.average_gradients([weight])
        return weight.grad.numpy()


def test_rows_of_all_processes_make_one_loss():
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(processes.launch(gathered_gradient, rows, n=2), gathered_gradient(rows), atol=1e-6)


def test_means_are_over_the_steps_that_have_the_figure():
    history = History()
    for step in range(1, 8):
        figures = {"loss": step, "pair_similarity": 0.5} if step <= 3 else {"loss": step}
        history.add(learning_rate=step, **figures)
        if step == 5:
            history = History(**history.state())  # as from a checkpoint
    assert history.close(7) == {"step": 7, "learning_rate": 7, "loss": 4, "pair_similarity": 0.5}
    history.add(learning_rate=8, loss=3)
    assert history.close(8) == {"step": 8, "learning_rate": 8, "loss": 3}


@pytest.mark.gpu
def test_learns_on_a_gpu_in_bfloat16(tmp_path):
    task = SmallTask()
    history = train(task, SETTINGS, folder=tmp_path, device="cuda")
    losses = history.series("loss")[1]
    assert losses[-1] < 0.5 * losses[0]

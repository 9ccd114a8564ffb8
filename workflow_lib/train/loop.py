"""One training loop for every task: AdamW, warm-up and schedule, checkpoints that a killed run goes on from."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from workflow_lib.errors import InputError
from workflow_lib.files import remove_temporaries
from workflow_lib.train import processes
from workflow_lib.train.checkpoint import load_checkpoint, save_checkpoint
from workflow_lib.train.history import History
from workflow_lib.train.options import LoopSettings

logger = logging.getLogger(__name__)

HISTORY_NAME, CURVE_NAME = "history.tsv", "history.svg"


class Task(Protocol):
    """What is trained, on what.

    Attributes
    ----------
    module : with the weights to train.
    n_steps : batches of the whole training.
    identity : all that decides a batch or a loss, by a name for people: hashes of data and of first weights (or the
        recipe these are computed by), options by their names in the configuration. Plain values.
    """

    module: nn.Module
    n_steps: int
    identity: dict[str, object]

    def loss(self, step: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, dict[str, float]]:
        """Loss of the batch of a step (from 0), and figures to record beside it.

        Step and generator (on the CPU, one stream for the whole training) decide the batch; of several processes each
        gives the loss of its own share. Beside them it may draw from torch's own generators, and from no others: a
        checkpoint does not keep those. Called under autocast where the precision is bfloat16.
        """
        ...

    def validate(self, device: torch.device) -> dict[str, float]:
        """Figures on data that are not trained on; the first process alone is asked. Under autocast as `loss` is."""
        ...


def learning_rate(step: int, n_steps: int, settings: LoopSettings) -> float:
    """Learning rate of a step (from 0): a line up to `warmup_steps`, then the schedule."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    share = (step - settings.warmup_steps) / max(1, n_steps - settings.warmup_steps)
    factor = 1 - share if settings.schedule == "linear" else (1 + math.cos(math.pi * share)) / 2
    return settings.learning_rate * factor


def train(
    task: Task, settings: LoopSettings, *, folder: str | Path, device: torch.device | str = "cpu", resume: bool = True
) -> History:
    """Train a task's module in place, on one device or, under torch's launcher, on one a process.

    In `folder` it keeps checkpoint.pt (weights, optimiser, step, random states, identity), history.tsv and its plot
    history.svg. On CPUs of one type, with the same number of threads, a run that was killed and resumed ends with the
    same bytes as one that was not.

    Parameters
    ----------
    resume : go on from the checkpoint in `folder`, if there is one and it is not of another, finished training; else it
        is replaced.

    Raises
    ------
    InputError
        when the checkpoint is of an unfinished training of other data or settings, or damaged, or the loss is not
        finite.
    """
    folder = Path(folder)
    with processes.process_group(torch.device(device)) as own_device:
        return _Run(task, settings, folder, own_device).run(resume=resume)


class _Run:
    """The state of one training in one process."""

    def __init__(self, task: Task, settings: LoopSettings, folder: Path, device: torch.device) -> None:
        self.task, self.settings, self.folder, self.device = task, settings, folder, device
        self.module = task.module.to(device)
        processes.share_weights(self.module)
        self.parameters = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(_groups(self.parameters, settings), lr=settings.learning_rate)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.history, self.step = History(), 0
        self.is_first = processes.rank() == 0
        self.identity = {
            **task.identity, "steps": task.n_steps, "number of processes": processes.n_processes(), **settings.decisive,
        }  # fmt: skip

    def run(self, *, resume: bool) -> History:
        path = self.folder / "checkpoint.pt"
        if self.is_first:
            remove_temporaries(self.folder)
        if resume and path.is_file() and load_checkpoint(path, self):
            logger.info("going on from step %d of %d (%s)", self.step, self.task.n_steps, path)
        else:
            torch.manual_seed(self.settings.seed + processes.rank())  # dropout draws from torch's own generators
            self._validate()
        start, first = time.monotonic(), self.step
        self.module.train()
        for _ in self._steps():
            self._advance()
            at_end = self.step == self.task.n_steps
            if self.step % self.settings.validation_steps == 0 or at_end:
                self._validate()
            if self.step % self.settings.log_steps == 0 or at_end:
                self._log(first, time.monotonic() - start)
            if self.step % self.settings.checkpoint_steps == 0 or at_end:
                self._save(path)
        self._report()
        return self.history

    def _steps(self) -> Iterator[int]:
        from tqdm import tqdm

        steps = range(self.step, self.task.n_steps)
        return iter(tqdm(steps, unit="step", disable=not (self.is_first and sys.stderr.isatty())))

    def _advance(self) -> None:
        """One step of the optimiser."""
        rate = learning_rate(self.step, self.task.n_steps, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with _autocast(self.device, self.settings.precision):
            loss, figures = self.task.loss(self.step, self.generator, self.device)
        loss.backward()
        processes.average_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.clip or math.inf).item()
        value = loss.item()
        if not math.isfinite(value + norm):
            raise InputError(
                f"the loss of step {self.step} is {value}, its gradient {norm}",
                remedy="lower the learning rate, or train in float32",
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.history.add(loss=value, gradient_norm=norm, learning_rate=rate, **figures)

    def _validate(self) -> None:
        if self.is_first:
            self.module.eval()
            with _autocast(self.device, self.settings.precision):
                figures = self.task.validate(self.device)
            self.module.train()
            self.history.add_validation(self.step, figures)
            if figures:
                shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
                logger.info("step %d of %d, held out: %s", self.step, self.task.n_steps, shown)
        processes.wait_for_all()

    def _log(self, first: int, seconds: float) -> None:
        row = self.history.close(self.step)
        left = seconds / (self.step - first) * (self.task.n_steps - self.step)
        if self.is_first:
            logger.info(
                "step %d of %d: loss %.4f, learning rate %.3g, %.2f steps/s, %.0f s left",
                self.step, self.task.n_steps, row["loss"], row["learning_rate"],
                (self.step - first) / max(seconds, 1e-9), left,
            )  # fmt: skip

    def _save(self, path: Path) -> None:
        save_checkpoint(path, self)
        self._report()
        processes.wait_for_all()

    def _report(self) -> None:
        if self.is_first:
            self.history.write(self.folder / HISTORY_NAME)
            self.history.plot(self.folder / CURVE_NAME)


def _groups(parameters: list[nn.Parameter], settings: LoopSettings) -> list[dict]:
    """Parameters with and without decay: norms and biases do not shrink."""
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    if precision == "float32" or (precision == "auto" and device.type == "cpu"):
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)

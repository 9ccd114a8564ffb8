"""Checkpoints of a training: everything that decides how it goes on, in one file that is whole or absent."""

from __future__ import annotations

import logging
import pickle
import random
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_path
from workflow_lib.train import processes
from workflow_lib.train.history import History

logger = logging.getLogger(__name__)

_START_ANEW = "delete {path} to start anew, or go back to what it was made with"


class Run(Protocol):
    """A training under way.

    Attributes
    ----------
    identity : what must be the same for it to go on, by a name for people.
    """

    module: torch.nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    history: History
    step: int
    identity: dict[str, object]


def save_checkpoint(path: str | Path, run: Run) -> None:
    """Write the state of a training; all processes call it, the first one writes."""
    states = processes.gather_objects(_random_states(run.generator))
    if processes.rank() != 0:
        return
    content = {
        "identity": run.identity,
        "step": run.step,
        "weights": run.module.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "history": run.history.state(),
        "random": states,
    }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    logger.info("%s: step %d", path, run.step)


def load_checkpoint(path: str | Path, run: Run) -> None:
    """Put a training into the state of a checkpoint.

    Only tensors and plain values are read; program code in the file is never run.

    Raises
    ------
    InputError
        when the file is damaged, or its training had other data, options or processes; it names them.
    """
    content = _read(path)
    if differences := _compare(content["identity"], run.identity):
        raise InputError(
            "this checkpoint is of another training: " + "; ".join(differences),
            path=path,
            remedy=_START_ANEW.format(path=path),
        )
    run.module.load_state_dict(content["weights"])
    run.optimiser.load_state_dict(content["optimiser"])
    run.history = History(**content["history"])
    run.step = content["step"]
    _set_random_states(content["random"][processes.rank()], run.generator)


def _read(path: str | Path) -> dict:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"damaged or no checkpoint ({reason})", path=path, remedy=f"delete {path} to start anew"
        ) from error
    if not isinstance(content, dict) or "identity" not in content:
        raise InputError("no checkpoint of novabin", path=path, remedy=f"delete {path} to start anew")
    return content


def _compare(found: dict, expected: dict) -> list[str]:
    """What differs, in words; of fingerprints only the name."""
    differences = []
    for name, value in expected.items():
        if found.get(name) != value:
            is_digest = isinstance(value, str) and len(value) >= 32
            detail = " differ" if is_digest else f" {found.get(name)!r}, now {value!r}"
            differences.append(name + detail)
    return differences


def _random_states(generator: torch.Generator) -> dict:
    """States of every generator that a task may draw from, as tensors and plain values."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "generator": generator.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": (kind, keys.tolist(), *rest),
        "python": random.getstate(),
    }


def _set_random_states(states: dict, generator: torch.Generator) -> None:
    generator.set_state(states["generator"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    random.setstate(states["python"])

"""Checkpoints of a training: everything that decides how it goes on, in one file that is whole or absent."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

import torch

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_path
from workflow_lib.train import processes
from workflow_lib.train.history import History

logger = logging.getLogger(__name__)

_DELETE = "delete {path} to start anew"
_GO_BACK = _DELETE + ", or go back to what it was made with"

_HASH_LENGTH = 32  # letters from which on a value says nothing to people


class Run(Protocol):
    """A training under way.

    Attributes
    ----------
    identity : what must be the same for it to go on, by a name for people; `steps` among it, of the whole training.
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


def load_checkpoint(path: str | Path, run: Run) -> bool:
    """Put a training into the state of a checkpoint, if it is its own.

    Only tensors and plain values are read; program code in the file is never run.

    Returns
    -------
    False where it is of another training that is finished: nothing is lost when this one starts anew.

    Raises
    ------
    InputError
        when the file is damaged, or its training is not finished and had other data, options or processes; it names
        them.
    """
    content = _read(path)
    if differences := _compare(content["identity"], run.identity):
        found = "of another training: " + "; ".join(differences)
        if content["step"] != content["identity"].get("steps"):
            raise InputError(f"this checkpoint is {found}", path=path, remedy=_GO_BACK.format(path=path))
        logger.info("%s is %s; that one is finished, so this one starts anew", path, found)
        return False
    try:
        run.module.load_state_dict(content["weights"])
        run.optimiser.load_state_dict(content["optimiser"])
        run.history = History(**content["history"])
        run.step = content["step"]
        _set_random_states(content["random"][processes.rank()], run.generator)
    except Exception as error:
        raise _damaged(path, error) from error
    return True


def _read(path: str | Path) -> dict:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of other bytes makes the reader raise any
        raise _damaged(path, error) from error
    if not isinstance(content, dict) or not isinstance(content.get("identity"), dict) or "step" not in content:
        raise InputError("no checkpoint of novabin", path=path, remedy=_DELETE.format(path=path))
    return content


def _damaged(path: str | Path, error: Exception) -> InputError:
    reason = (str(error).strip().splitlines() or [""])[0]
    return InputError(
        f"damaged or no checkpoint ({type(error).__name__}: {reason})", path=path, remedy=_DELETE.format(path=path)
    )


def _compare(found: dict, expected: dict) -> list[str]:
    """What differs, in words; of hashes only the name."""
    differences = []
    for name in dict.fromkeys([*expected, *found]):
        before, now = found.get(name), expected.get(name)
        if before != now:
            values = [value for value in (before, now) if value is not None]
            all_hashes = all(map(_is_hash, values))
            differences.append(f"{name} differ" if all_hashes else f"{name} {_show(before)}, now {_show(now)}")
    return differences


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) >= _HASH_LENGTH


def _show(value: object) -> str:
    return "told by a hash" if _is_hash(value) else repr(value)


def _random_states(generator: torch.Generator) -> dict:
    """States of every generator that a task may draw from (`loop.Task.loss`), as tensors."""
    return {
        "generator": generator.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _set_random_states(states: dict, generator: torch.Generator) -> None:
    generator.set_state(states["generator"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])

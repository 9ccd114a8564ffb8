"""Batches of a training, each made while the model works on the one before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Prefetch(Generic[Batch]):
    """Gives the batch of a step and begins, in a thread, with that of the next.

    Steps may be asked for in any order.

    Parameters
    ----------
    make : step -> batch.
    n_steps : steps of the whole training.
    """

    def __init__(self, make: Callable[[int], Batch], n_steps: int) -> None:
        self._make, self._n_steps = make, n_steps
        self._thread = ThreadPoolExecutor(1)
        self._pending_step, self._pending = None, None

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        batch = self._pending.result() if self._pending_step == step else self._make(step)
        if step + 1 < self._n_steps:
            self._pending_step, self._pending = step + 1, self._thread.submit(self._make, step + 1)
        return batch

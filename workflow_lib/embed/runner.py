"""Run token sequences through encoders: batches under a token budget, on one or several devices."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from workflow_lib.embed.batching import BatchQueue, pad_batch
from workflow_lib.embed.pooling import pool
from workflow_lib.errors import InputError

if TYPE_CHECKING:
    import torch

    from workflow_lib.embed.encoders import Encoder

logger = logging.getLogger(__name__)

CPU_TOKEN_BUDGET = 8192  # activations of a few hundred MB at 117 M parameters; more is not faster
_WARM_UP_TOKENS = 16_384
_MAX_TOKEN_BUDGET = 262_144  # of a GPU that has memory for more: larger batches are not faster
_MEMORY_SHARE = 0.8  # of the free GPU memory that the budget may fill
_IN_FLIGHT = 2  # batches a GPU computes while the next one is made


def run_tokens(workers: Sequence[Worker], tokens: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pooled vectors of token sequences, shared out among the workers.

    Returns
    -------
    (indices int64 (b,), vectors float32 (b, dim)) pairs; each index of `tokens` once.
    """
    queue = BatchQueue([len(ids) for ids in tokens], workers[0].encoder.group)
    if len(workers) == 1:
        return list(workers[0].run(queue, tokens))
    with ThreadPoolExecutor(len(workers)) as pool_of_workers:
        results = pool_of_workers.map(lambda worker: list(worker.run(queue, tokens)), workers)
        return [result for worker_results in results for result in worker_results]


class Worker:
    """An encoder on its device, with the token budget that fits there.

    Parameters
    ----------
    token_budget : tokens of a batch, padding included; None: 8,192 on a CPU, measured by a first batch on a GPU. It is
        halved where memory runs out.
    """

    def __init__(self, encoder: Encoder, device: torch.device, *, pooling: str, token_budget: int | None) -> None:
        self.encoder, self.device, self.pooling = encoder, device, pooling
        if token_budget is None and device.type == "cpu":
            token_budget = CPU_TOKEN_BUDGET
        self.token_budget = token_budget

    def run(self, queue: BatchQueue, tokens: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (indices, vectors) of the batches that this worker takes from the queue."""
        if self.token_budget is None and tokens:
            self.token_budget = self._find_budget(tokens)
        in_flight: deque = deque()
        while (batch := queue.take(self.token_budget)) is not None:
            vectors = self._try([tokens[i] for i in batch])
            if vectors is None:
                yield from _drain(in_flight, keep=0)
                self._shrink(batch, queue)
                continue
            in_flight.append((batch, vectors))
            yield from _drain(in_flight, keep=_IN_FLIGHT if self.device.type == "cuda" else 0)
        yield from _drain(in_flight, keep=0)

    def _try(self, tokens: list[np.ndarray]) -> _Pending | None:
        """The batch's vectors, still on their way from the device; None where memory ran out."""
        import torch

        try:
            return self._launch(tokens)
        except torch.OutOfMemoryError:
            return None
        except RuntimeError as error:  # what torch's allocator of the CPU raises
            if "not enough memory" in str(error) or "can't allocate memory" in str(error):
                return None
            raise

    def _launch(self, tokens: list[np.ndarray]) -> _Pending:
        import torch

        ids, mask = (torch.from_numpy(array) for array in pad_batch(tokens, self.encoder.pad_id))
        on_gpu = self.device.type == "cuda"
        with torch.inference_mode():
            if on_gpu:
                ids, mask = (array.pin_memory().to(self.device, non_blocking=True) for array in (ids, mask))
            pooled = pool(self.encoder(ids, mask, [len(row) for row in tokens]), mask, self.pooling)
            if not on_gpu:
                return _Pending(pooled, None)
            host = torch.empty(pooled.shape, dtype=pooled.dtype, pin_memory=True)
            host.copy_(pooled, non_blocking=True)
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(self.device))
            return _Pending(host, event)

    def _shrink(self, batch: np.ndarray, queue: BatchQueue) -> None:
        """Put a batch back that ran out of memory, and halve the budget from what it had."""
        import torch

        size = len(batch) * int(queue.lengths[batch].max())
        if len(batch) == 1:
            raise InputError(
                f"one window of {size} tokens does not fit into the memory of {self.device}",
                remedy="set embed.window to half of what it is, or take a device with more memory",
            )
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.token_budget = max(1, min(self.token_budget, size) // 2)
        queue.give_back(batch)
        logger.warning(
            "%s ran out of memory at a batch of %d tokens; going on with %d", self.device, size, self.token_budget
        )

    def _find_budget(self, tokens: Sequence[np.ndarray]) -> int:
        """Measure the memory of one batch of the longest sequences and fill most of what is free."""
        import torch

        longest = max(tokens, key=len)
        n = max(1, _WARM_UP_TOKENS // len(longest))
        self._try([longest])  # loads kernels and their workspaces, which are not a batch's
        torch.cuda.synchronize(self.device)
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        if self._try([longest] * n) is None:
            torch.cuda.empty_cache()
            return max(1, n * len(longest) // 2)
        torch.cuda.synchronize(self.device)
        per_token = max(1, torch.cuda.max_memory_allocated(self.device) - before) / (n * len(longest))
        reserved = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = torch.cuda.mem_get_info(self.device)[0] + reserved
        budget = int(min(_MAX_TOKEN_BUDGET, _MEMORY_SHARE * free / per_token))
        logger.info(
            "%s: %.1f KiB a token, %.1f GiB free; batches of %d tokens",
            self.device, per_token / 2**10, free / 2**30, budget,
        )  # fmt: skip
        return max(1, budget)


class _Pending:
    """Vectors that a device is computing; `event` is set when they have arrived."""

    def __init__(self, vectors: torch.Tensor, event: torch.cuda.Event | None) -> None:
        self._vectors, self._event = vectors, event

    def result(self) -> np.ndarray:
        if self._event is not None:
            self._event.synchronize()
        return self._vectors.numpy()


def _drain(in_flight: deque, *, keep: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while len(in_flight) > keep:
        batch, vectors = in_flight.popleft()
        yield batch, vectors.result()

"""Batches of token sequences under a token budget, sorted by length so that little is padded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np


class BatchQueue:
    """Indices of token sequences, handed out in batches of similar length, the longest first; safe among threads.

    Parameters
    ----------
    lengths : tokens of each sequence.
    group : sequences are batched only with those for which it gives the same number (see `Encoder.group`).
    """

    def __init__(self, lengths: Sequence[int], group: Callable[[int], int]) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        groups = np.array([group(length) for length in lengths], dtype=np.int64)
        order = np.lexsort((-self.lengths, -groups))  # stable: by group, then by length, then as given
        edges = np.flatnonzero(np.diff(groups[order])) + 1
        self._runs = deque(run for run in np.split(order, edges) if len(run))
        self._lock = threading.Lock()

    def take(self, token_budget: int) -> np.ndarray | None:
        """The next batch, int64 (b,): at least one sequence, else b x (longest of them) <= budget; None at the end."""
        with self._lock:
            if not self._runs:
                return None
            run = self._runs.popleft()
            n = max(1, token_budget // max(1, int(self.lengths[run[0]])))
            if n < len(run):
                self._runs.appendleft(run[n:])
            return run[:n]

    def give_back(self, batch: np.ndarray) -> None:
        """Put a batch back that could not be computed; it is next."""
        with self._lock:
            self._runs.appendleft(batch)


def pad_batch(tokens: Sequence[np.ndarray], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Token sequences as one array, padded on the right.

    Returns
    -------
    ids : int64 (b, s), `pad_id` where a sequence has ended.
    mask : bool (b, s), true at tokens.
    """
    lengths = np.array([len(ids) for ids in tokens])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate(tokens)
    return ids, mask

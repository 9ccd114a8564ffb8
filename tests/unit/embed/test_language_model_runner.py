"""Batches under a token budget, several workers, and memory that runs out."""

import threading

import numpy as np
import pytest
import torch

from workflow_lib.embed.batching import BatchQueue, pad_batch
from workflow_lib.embed.runner import Worker, run_tokens
from workflow_lib.errors import InputError

CPU = torch.device("cpu")


class Table:
    """An encoder that looks vectors up, and has memory for so many tokens."""

    def __init__(self, capacity=10**9, error=torch.OutOfMemoryError):
        self.table = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        self.capacity, self.error, self.pad_id, self.sizes = capacity, error, 0, []

    def group(self, length):
        return 0

    def __call__(self, ids, mask, lengths):
        self.sizes.append(ids.numel())
        if ids.numel() > self.capacity:
            raise self.error("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")
        return self.table[ids]


def make_tokens(n=60, longest=40):
    rng = np.random.default_rng(0)
    return [rng.integers(1, 50, length).astype(np.int32) for length in rng.integers(1, longest + 1, n)]


def collect(results, n):
    vectors = np.full((n, 8), np.nan, dtype=np.float32)
    for indices, rows in results:
        assert np.isnan(vectors[indices]).all(), "an index came twice"
        vectors[indices] = rows
    return vectors


def expected_vectors(tokens):
    table = Table().table.numpy()
    return np.vstack([table[ids].mean(0) for ids in tokens])


@pytest.mark.parametrize("budget", [1, 64, 1000])
def test_batches_keep_to_the_budget_and_miss_nobody(budget):
    tokens = make_tokens()
    queue = BatchQueue([len(ids) for ids in tokens], lambda length: length // 20)
    seen, padded = [], 0
    while (batch := queue.take(budget)) is not None:
        lengths = queue.lengths[batch]
        assert len(batch) == 1 or len(batch) * lengths.max() <= budget
        assert len(set(lengths // 20)) == 1
        seen += batch.tolist()
        padded += len(batch) * lengths.max()
    assert sorted(seen) == list(range(len(tokens)))
    assert budget > 64 or padded < 1.1 * sum(map(len, tokens))


def test_padding():
    ids, mask = pad_batch([np.array([5, 6, 7], dtype=np.int32), np.array([8], dtype=np.int32)], 3)
    assert ids.tolist() == [[5, 6, 7], [8, 3, 3]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_no_sequences(device):
    assert run_tokens([Worker(Table(), torch.device(device), pooling="mean", token_budget=None)], []) == []


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_memory_that_runs_out_halves_the_batches(caplog, error):
    tokens = make_tokens()
    worker = Worker(Table(capacity=100, error=error), CPU, pooling="mean", token_budget=1000)
    vectors = collect(run_tokens([worker], tokens), len(tokens))
    np.testing.assert_allclose(vectors, expected_vectors(tokens), atol=1e-6)
    assert worker.token_budget <= 100
    assert "ran out of memory" in caplog.text
    assert max(worker.encoder.sizes) > 100
    n_calls = len(worker.encoder.sizes)
    run_tokens([worker], tokens)
    assert max(worker.encoder.sizes[n_calls:]) <= 100, "the budget that was found is kept"


def test_a_window_that_does_not_fit_alone_is_an_error():
    worker = Worker(Table(capacity=10), CPU, pooling="mean", token_budget=1000)
    with pytest.raises(InputError, match=r"one window of 40 tokens does not fit.*\n.*embed\.window"):
        run_tokens([worker], [np.arange(40, dtype=np.int32)])


def test_other_errors_of_a_model_are_not_taken_for_memory():
    worker = Worker(Table(), CPU, pooling="mean", token_budget=1000)
    with pytest.raises(IndexError):
        run_tokens([worker], [np.array([999], dtype=np.int32)])


def test_several_workers_share_the_work():
    tokens = make_tokens(300)
    both_here = threading.Barrier(2)

    class Waiting(Table):
        def __call__(self, ids, mask, lengths):
            if not self.sizes:
                both_here.wait(timeout=30)
            return super().__call__(ids, mask, lengths)

    workers = [Worker(Waiting(capacity), CPU, pooling="mean", token_budget=200) for capacity in (10**9, 90)]
    vectors = collect(run_tokens(workers, tokens), len(tokens))
    np.testing.assert_allclose(vectors, expected_vectors(tokens), atol=1e-6)
    assert all(worker.encoder.sizes for worker in workers)


@pytest.mark.gpu
def test_a_warm_up_finds_the_budget_of_a_gpu():
    device = torch.device("cuda", 0)
    encoder = Table()
    encoder.table = encoder.table.to(device)
    tokens = make_tokens(300)
    worker = Worker(encoder, device, pooling="mean", token_budget=None)
    vectors = collect(run_tokens([worker], tokens), len(tokens))
    np.testing.assert_allclose(vectors, expected_vectors(tokens), atol=1e-5)
    assert worker.token_budget > 1000

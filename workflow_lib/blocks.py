"""Blocks of linear algebra on several threads, with the same result at any number of them."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_AHEAD = 8  # blocks a thread that are computed before the first of them is asked for


@contextmanager
def block_pool() -> Iterator[Callable[[Callable, Iterable], Iterable]]:
    """Give a `map` that runs blocks on as many threads as BLAS was set to, with BLAS itself on one thread.

    BLAS cuts a product differently for each number of threads, and rounds it differently. Blocks whose shape does not
    depend on the threads give the same bytes on each. The `map` keeps the order and holds a few results a thread.
    """
    controller = _blas_controller(len(sys.modules))
    threads = max((pool["num_threads"] for pool in controller.info() if pool["user_api"] == "blas"), default=1)
    with controller.limit(limits=1, user_api="blas"):
        if threads == 1:
            yield map
        else:
            with ThreadPoolExecutor(threads) as pool:
                yield lambda function, blocks: map_in_order(pool, function, blocks, threads * _AHEAD)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run BLAS on one thread: it gives other bytes on each number of them."""
    with _blas_controller(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _blas_controller(n_modules: int) -> ThreadpoolController:
    """Of the BLAS libraries that are loaded, which takes milliseconds to find out: anew where more was imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def cut_blocks(n: int, most: int, *, parts: int = 16, least: int = 16) -> list[slice]:
    """Slices that cover n rows: `most` rows each, fewer where every thread would not get some; threads do not count."""
    size = min(most, max(least, -(-n // parts)))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def read_ahead(items: Iterable) -> Iterator:
    """Yield the items of an iterable; the next one is made in a thread of its own while one is worked on."""
    items, end = iter(items), object()
    with ThreadPoolExecutor(1) as reader:
        pending = reader.submit(next, items, end)
        while (item := pending.result()) is not end:
            pending = reader.submit(next, items, end)
            yield item


def map_in_order(pool: ThreadPoolExecutor, function: Callable, blocks: Iterable, ahead: int) -> Iterator:
    """As `pool.map`, which would hand in all blocks at once: at a million contigs that is a gigabyte of promises."""
    pending: deque[Future] = deque()
    for block in blocks:
        pending.append(pool.submit(function, block))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()

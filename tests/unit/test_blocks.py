"""Blocks on several threads: in order, and never many ahead of the one that is asked for."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from workflow_lib.blocks import block_pool


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_come_in_order_and_not_far_ahead(threads):
    started = []

    def work(block: int) -> int:
        started.append(block)
        return block * block

    with threadpool_limits(threads, "blas"), block_pool() as map_blocks:
        results = map_blocks(work, range(1000))
        for block in range(1000):
            assert next(results) == block * block
            assert len(started) <= block + 8 * threads + 2
        assert next(results, None) is None


def test_blas_has_one_thread_inside_and_its_own_again_after():
    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    assert np.ones(2) @ np.ones(2) == 2  # BLAS is loaded
    with threadpool_limits(2, "blas"):
        before = threads()
        with block_pool():
            assert set(threads()) == {1}
        assert threads() == before


def test_an_error_in_a_block_is_raised():
    with threadpool_limits(2, "blas"), block_pool() as map_blocks, pytest.raises(ZeroDivisionError):
        list(map_blocks(lambda block: 1 / block, [1, 0]))

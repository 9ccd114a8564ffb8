"""Batches that are made ahead: the same as made in turn, whatever is asked for."""

import threading

import pytest

from workflow_lib.train.prefetch import Prefetch


@pytest.mark.parametrize("steps", [[0, 1, 2, 3], [2, 3], [3, 0, 1], [1, 1, 0]])
def test_gives_the_batch_of_the_step_asked_for(steps):
    prefetch = Prefetch(lambda step: step * step, n_steps=4)
    assert [prefetch(step) for step in steps] == [step * step for step in steps]


def test_the_next_batch_is_made_in_a_thread_and_none_beyond_the_end():
    made = []
    prefetch = Prefetch(lambda step: made.append((step, threading.current_thread())), n_steps=2)
    prefetch(0)
    prefetch(1)
    assert [step for step, _ in made] == [0, 1]
    assert made[0][1] is threading.main_thread()
    assert made[1][1] is not threading.main_thread()


def test_a_fault_is_raised_at_its_step():
    def make(step):
        if step == 1:
            raise ValueError("no batch")
        return step

    prefetch = Prefetch(make, n_steps=3)
    assert prefetch(0) == 0
    with pytest.raises(ValueError, match="no batch"):
        prefetch(1)

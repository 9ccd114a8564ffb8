"""Neighbouring pieces of sequences: none shares a base with another."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def tile(n_bp: int, draw: Callable[[], int], waiting: list[int]) -> Iterator[tuple[int, int]]:
    """Start and stop of neighbouring pieces of a sequence, from its first base on.

    A length that does not fit at the end of a sequence is kept for the next one, so that ends do not make pieces
    shorter than they should be.

    Parameters
    ----------
    n_bp : of the sequence.
    draw : gives the length of a piece in bp, at least 1.
    waiting : lengths that did not fit so far, which come first; changed in place. One list for all sequences of a
        genome, empty at the first.
    """
    start = 0
    while True:
        room = n_bp - start
        length = next((length for length in waiting if length <= room), 0) if min(waiting, default=n_bp) <= room else 0
        if length:
            waiting.remove(length)
        else:
            length = draw()
            if start + length > n_bp:
                waiting.append(length)
                return
        yield start, start + length
        start += length

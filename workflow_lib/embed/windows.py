"""From sequences to the windows that a language model reads: clean letters, split at runs of N, cut to length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from workflow_lib.embed.base import as_bytes
from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement

MIN_N_RUN = 10  # N in a row that split a sequence: a gap of a scaffold, not an unread base
MIN_SEGMENT = 20  # bp; shorter stretches between gaps are not embedded: a handful of tokens says nothing
_GAP = re.compile(b"N{%d,}" % MIN_N_RUN)


def _clean_letters() -> bytes:
    table = bytearray(b"N" * 256)
    for base in b"ACGT":
        table[base] = table[base + 32] = base
    table[ord("U")] = table[ord("u")] = ord("T")
    return bytes(table)


_CLEAN = _clean_letters()


def clean_letters(sequence: bytes) -> bytes:
    """A sequence in upper case, U as T, every other letter (IUPAC codes too) as N."""
    return sequence.translate(_CLEAN)


class Window(NamedTuple):
    """A stretch of a sequence, as the model reads it: row of its sequence, upper-case A, C, G, T and single N."""

    row: int
    text: bytes


def split_segments(sequence: bytes) -> list[bytes]:
    """The stretches of a sequence that are embedded, in order.

    Upper case, U as T, every other letter (IUPAC codes too) as N; cut at runs of `MIN_N_RUN` or more N; N at the ends
    of a stretch removed; stretches below `MIN_SEGMENT` bp left out.
    """
    stretches = (stretch.strip(b"N") for stretch in _GAP.split(clean_letters(sequence)))
    return [stretch for stretch in stretches if len(stretch) >= MIN_SEGMENT]


def cut_windows(segment: bytes, window: int, overlap: int) -> list[bytes]:
    """The fewest windows of at most `window` bp that cover a segment, each sharing `overlap` bp with the next.

    Their lengths differ by at most one, so that no short rest is left at the end.
    """
    n = max(1, -(-(len(segment) - overlap) // (window - overlap)))
    if n == 1:
        return [segment]
    starts = [i * (len(segment) - overlap) // n for i in range(n + 1)]
    return [segment[start : stop + overlap] for start, stop in pairwise(starts)]


def make_windows(
    sequences: Sequence[str | bytes], *, window: int, overlap: int = 0, both_strands: bool = False
) -> Iterator[Window]:
    """Yield the windows of sequences, in order; with `both_strands` those of each reverse complement too.

    Both strands are cut from their own start, so that a sequence and its reverse complement have the same windows.
    """
    check_window(window, overlap)
    for row, sequence in enumerate(as_bytes(sequences)):
        for segment in split_segments(sequence):
            for strand in (segment, reverse_complement(segment)) if both_strands else (segment,):
                for text in cut_windows(strand, window, overlap):
                    yield Window(row, text)


def check_window(window: int, overlap: int) -> None:
    """Refuse windows below `MIN_SEGMENT` bp and an overlap that leaves no step."""
    if window < MIN_SEGMENT:
        raise InputError(f"window is {window} bp, expected at least {MIN_SEGMENT}", remedy="set embed.window")
    if not 0 <= overlap <= window // 2:
        raise InputError(
            f"overlap is {overlap} bp, expected 0 to half of the window of {window} bp", remedy="set embed.overlap"
        )

"""Windows: what a language model reads of a sequence."""

import numpy as np
import pytest
from tiny_models import random_sequence

from workflow_lib.embed.windows import MIN_N_RUN, MIN_SEGMENT, cut_windows, make_windows, split_segments
from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement


@pytest.mark.parametrize("length", [20, 99, 100, 101, 199, 200, 201, 1000, 12345])
@pytest.mark.parametrize("overlap", [0, 1, 30, 50])
def test_windows_cover_a_segment_once_and_evenly(length, overlap):
    segment = random_sequence(np.random.default_rng(length), length).encode()
    cut = cut_windows(segment, 100, overlap)
    assert cut[0] + b"".join(window[overlap:] for window in cut[1:]) == segment
    lengths = {len(window) for window in cut}
    assert max(lengths) <= 100
    assert max(lengths) - min(lengths) <= 1
    assert len(cut) == max(1, int(np.ceil((length - overlap) / (100 - overlap))))


def test_gaps_split_and_single_ambiguous_codes_stay():
    left, right = "ACGT" * 10, "TTGCA" * 8
    assert split_segments(f"NN{left}{'N' * MIN_N_RUN}{right}N".encode()) == [left.encode(), right.encode()]
    short_gap = "N" * (MIN_N_RUN - 1)
    assert split_segments(f"{left}{short_gap}{right}".encode()) == [f"{left}{short_gap}{right}".encode()]
    assert split_segments(f"{left.lower()}ryK{right.replace('T', 'u')}".encode()) == [f"{left}NNN{right}".encode()]


def test_short_rests_between_gaps_are_left_out():
    gap, kept = b"N" * 50, b"A" * MIN_SEGMENT
    assert split_segments(b"A" * (MIN_SEGMENT - 1) + gap + kept + gap + b"A") == [kept]
    for nothing in (b"", b"A", b"N" * 5000, b"RYSWKMBDHV" * 50, b"?*-\xe9"):
        assert split_segments(nothing) == []


def test_both_strands_have_the_same_windows_from_either_side():
    sequence = random_sequence(np.random.default_rng(1), 1111).encode() + b"N" * 20 + b"ACGTT" * 30
    options = {"window": 100, "overlap": 7, "both_strands": True}
    forward = sorted(make_windows([sequence], **options))
    backward = sorted(make_windows([reverse_complement(sequence)], **options))
    assert forward == backward
    assert len(forward) == 2 * len(list(make_windows([sequence], window=100, overlap=7)))


@pytest.mark.parametrize(("window", "overlap"), [(19, 0), (100, 51), (100, -1)])
def test_a_window_without_a_step_is_refused(window, overlap):
    with pytest.raises(InputError, match="expected"):
        list(make_windows(["ACGT" * 100], window=window, overlap=overlap))

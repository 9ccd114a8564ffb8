"""Cutting genomes into windows, and the table of the rows."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.index.windows import (
    RepeatedNames,
    WindowTable,
    _bounds,
    cut_windows,
    format_window,
    parse_window,
    read_ids,
    tabulate_windows,
    write_ids,
)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, []),
        (24, []),
        (25, [(0, 25)]),
        (99, [(0, 99)]),
        (100, [(0, 100)]),
        (149, [(0, 149)]),
        (150, [(0, 100), (100, 150)]),
        (310, [(0, 100), (100, 200), (200, 310)]),
    ],
)
def test_cutting(length, expected):
    assert cut_windows(length, 100) == expected


@pytest.mark.parametrize("window", [1, 2, 3, 7, 100])
def test_windows_cover_a_contig_without_overlap(window):
    for length in range(window, 5 * window + 3):
        windows = cut_windows(length, window)
        assert windows[0][0] == 0
        assert windows[-1][1] == length
        assert all(left[1] == right[0] for left, right in pairwise(windows))
        assert all(window / 2 <= end - start < 1.5 * window for start, end in windows)


def test_names_round_trip():
    assert parse_window(format_window("g.1", "gi|123|x", 5, 9)) == ("g.1", "gi|123|x", 5, 9)


def test_ids_round_trip(tmp_path):
    names = [format_window("b", "c1", 0, 10), format_window("b", "c|2", 10, 30), format_window("a", "c1", 0, 7)]
    table = tabulate_windows(names, {"a": {"phylum": "P", "species": "S s"}})
    write_ids(tmp_path / "ids.tsv", table)
    again = read_ids(tmp_path / "ids.tsv")
    assert list(again.lines()) == list(table.lines())
    assert again.genomes == ["b", "a"]
    assert again.lineages == [{}, {"phylum": "P", "species": "S s"}]
    assert again.genome_starts.tolist() == [0, 2]
    assert again.genome_bp.tolist() == [30, 7]
    assert again.digest() == table.digest()


def peak_bytes(call):
    tracemalloc.start()
    result = call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, result


def test_columns_are_not_copied_to_be_looked_at():
    n = 1 << 20
    codes = np.repeat(np.arange(4, dtype=np.int32), n // 4)
    contigs = RepeatedNames(np.frombuffer(b"c", dtype=np.uint8), np.array([0, 1]), np.zeros(n, dtype=np.int32))
    table = WindowTable(list("abcd"), [{}] * 4, codes, contigs, codes, codes)
    peak, starts = peak_bytes(lambda: table.genome_starts)
    assert starts.tolist() == [0, n // 4, n // 2, 3 * n // 4]
    assert peak < codes.nbytes / 4
    peak, _ = peak_bytes(lambda: table.genome_bp)
    assert peak < codes.nbytes / 4
    peak, bounds = peak_bytes(lambda: _bounds(codes))
    assert bounds.dtype == np.int64
    assert bounds.tolist()[-1] == codes.sum()
    assert peak < 1.1 * bounds.nbytes


def test_rows_of_a_genome_must_lie_together():
    with pytest.raises(InputError, match="do not lie together"):
        tabulate_windows([format_window(g, "c", 0, 1) for g in "aba"], {})


@pytest.mark.parametrize("text", ["row\tgenome\n", "row\tgenome\tcontig\tstart\tend\tlineage\n1\ta\tc\t0\t9\t\n"])
def test_a_damaged_table_names_its_line(tmp_path, text):
    (tmp_path / "ids.tsv").write_text(text)
    with pytest.raises(InputError, match=r"ids.tsv, line \d"):
        read_ids(tmp_path / "ids.tsv")

"""Rows of windows as text, a line a row, read and written by compiled loops: Python's take minutes for 10^8 lines."""

from __future__ import annotations

import numba
import numpy as np

_NEWLINE, _TAB, _BAR, _ZERO = ord("\n"), ord("\t"), ord("|"), ord("0")
_MOST_DIGITS = 18  # that an int64 holds for certain


@numba.njit(nogil=True, cache=True)
def scan_rows(
    text: np.ndarray, is_table: bool, first_row: int
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the fields of each line of uint8 `text`; what is behind the last line's end is passed over.

    Parameters
    ----------
    is_table : lines of ids.tsv (row, genome, contig, start, end, lineage), rows numbered from `first_row`; else names
        as of `format_window`, in which a contig may hold a bar.

    Returns
    -------
    n : lines that are as they should be; the line after them is not, where there are more.
    genome_runs, contig_runs : int32 (n,), numbers of the runs of lines with the same genome, and with the same contig.
    starts, ends : int64 (n,).
    genomes, contigs, lineages : int64 (runs, 2), where in the text the first line of each run has its name or lineage.
    """
    n = 0
    for byte in text:
        n += byte == _NEWLINE
    genome_runs, contig_runs = np.empty(n, np.int32), np.empty(n, np.int32)
    starts, ends = np.empty(n, np.int64), np.empty(n, np.int64)
    genomes, contigs, lineages = np.empty((n, 2), np.int64), np.empty((n, 2), np.int64), np.empty((n, 2), np.int64)
    n_genomes, n_contigs, begin, bounds = 0, 0, 0, np.empty(5, np.int64)
    row = 0
    while row < n:
        end = begin
        while text[end] != _NEWLINE:
            end += 1
        if is_table:
            if not _find_tabs(text, begin, end, bounds) or _parse_number(text, begin, bounds[0]) != first_row + row:
                break
            genome, lineage = (bounds[0] + 1, bounds[1]), (bounds[4] + 1, end)
            first, second, third, last = bounds[1], bounds[2], bounds[3], bounds[4]
        else:
            first, second, third = _find_bars(text, begin, end)
            if second <= first:
                break
            genome, lineage, last = (begin, first), (end, end), end
        starts[row], ends[row] = _parse_number(text, second + 1, third), _parse_number(text, third + 1, last)
        if starts[row] < 0 or ends[row] < 0:
            break
        is_new = row == 0 or not _same(text, genome[0], genome[1], genomes[n_genomes - 1])
        if is_new:
            genomes[n_genomes], lineages[n_genomes] = genome, lineage
            n_genomes += 1
        if is_new or not _same(text, first + 1, second, contigs[n_contigs - 1]):
            contigs[n_contigs] = first + 1, second
            n_contigs += 1
        genome_runs[row], contig_runs[row] = n_genomes - 1, n_contigs - 1
        begin, row = end + 1, row + 1
    return (
        row, genome_runs[:row], contig_runs[:row], starts[:row], ends[:row],
        genomes[:n_genomes], contigs[:n_contigs], lineages[:n_genomes],
    )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def _find_tabs(text: np.ndarray, begin: int, end: int, bounds: np.ndarray) -> bool:
    """Put the places of a line's tabs into int64 (5,) `bounds`; whether there are five."""
    found = 0
    for place in range(begin, end):
        if text[place] == _TAB:
            if found < len(bounds):
                bounds[found] = place
            found += 1
    return found == len(bounds)


@numba.njit(nogil=True, cache=True)
def _find_bars(text: np.ndarray, begin: int, end: int) -> tuple[int, int, int]:
    """First, last but one, and last bar of a name; of fewer than three the second is not behind the first."""
    first, third = begin, end - 1
    while first < end and text[first] != _BAR:
        first += 1
    while third > first and text[third] != _BAR:
        third -= 1
    second = third - 1
    while second > first and text[second] != _BAR:
        second -= 1
    return first, second, third


@numba.njit(nogil=True, cache=True)
def gather(text: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put int64 (u, 2) spans of a text one after the other: the new text, and int64 (u + 1,) bounds in it."""
    bounds = np.zeros(len(spans) + 1, np.int64)
    for number in range(len(spans)):
        bounds[number + 1] = bounds[number] + spans[number, 1] - spans[number, 0]
    gathered = np.empty(bounds[-1], np.uint8)
    for number in range(len(spans)):
        gathered[bounds[number] : bounds[number + 1]] = text[spans[number, 0] : spans[number, 1]]
    return gathered, bounds


@numba.njit(nogil=True, cache=True)
def format_rows(
    first_row: int, codes: np.ndarray, contig_codes: np.ndarray, starts: np.ndarray, ends: np.ndarray,
    genomes: tuple, contigs: tuple, lineages: tuple,
) -> np.ndarray:  # fmt: skip
    """Lines of ids.tsv as uint8; genomes, contigs, lineages: a text and the bounds of each code's part in it."""
    size = 0
    for row in range(len(codes)):
        for bounds, code in ((genomes[1], codes[row]), (contigs[1], contig_codes[row]), (lineages[1], codes[row])):
            size += bounds[code + 1] - bounds[code]
        size += 3 * (_MOST_DIGITS + 1) + 6
    lines, place = np.empty(size, np.uint8), 0
    for row in range(len(codes)):
        code, contig = codes[row], contig_codes[row]
        place = _put_number(lines, place, first_row + row, _TAB)
        place = _put_text(lines, place, genomes[0], genomes[1][code], genomes[1][code + 1], _TAB)
        place = _put_text(lines, place, contigs[0], contigs[1][contig], contigs[1][contig + 1], _TAB)
        place = _put_number(lines, place, starts[row], _TAB)
        place = _put_number(lines, place, ends[row], _TAB)
        place = _put_text(lines, place, lineages[0], lineages[1][code], lineages[1][code + 1], _NEWLINE)
    return lines[:place]


@numba.njit(nogil=True, cache=True)
def _same(text: np.ndarray, begin: int, end: int, span: np.ndarray) -> bool:
    if end - begin != span[1] - span[0]:
        return False
    for offset in range(end - begin):  # noqa: SIM110 (Numba)
        if text[begin + offset] != text[span[0] + offset]:
            return False
    return True


@numba.njit(nogil=True, cache=True)
def _parse_number(text: np.ndarray, begin: int, end: int) -> int:
    """A number written without a sign and without leading zeros; -1 for anything else."""
    if end <= begin or end - begin > _MOST_DIGITS or (text[begin] == _ZERO and end - begin > 1):
        return -1
    value = 0
    for place in range(begin, end):
        digit = int(text[place]) - _ZERO
        if digit < 0 or digit > 9:
            return -1
        value = 10 * value + digit
    return value


@numba.njit(nogil=True, cache=True)
def _put_number(lines: np.ndarray, place: int, value: int, behind: int) -> int:
    """Write a number of at least 0 and the byte behind it; where the next field begins."""
    last, rest = place, value // 10
    while rest:
        last, rest = last + 1, rest // 10
    rest = value
    for at in range(last, place - 1, -1):
        lines[at], rest = _ZERO + rest % 10, rest // 10
    lines[last + 1] = behind
    return last + 2


@numba.njit(nogil=True, cache=True)
def _put_text(lines: np.ndarray, place: int, text: np.ndarray, begin: int, end: int, behind: int) -> int:
    for at in range(begin, end):
        lines[place + at - begin] = text[at]
    lines[place + end - begin] = behind
    return place + end - begin + 1

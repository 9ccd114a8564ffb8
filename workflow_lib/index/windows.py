"""Windows of reference genomes: where they lie, what they are called, and the table that ties them to index rows."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.taxonomy import format_taxonomy, parse_taxonomy

MIN_REMAINDER = 0.5  # share of a window from which the rest of a contig is a window of its own
MIN_CONTIG = 0.25  # share of a window below which a whole contig is left out: its vector would be mostly noise
_COLUMNS = ("row", "genome", "contig", "start", "end", "lineage")
_HEADER = "\t".join(_COLUMNS)
_BLOCK_BYTES = 1 << 24  # of text that is read at a time
_BLOCK_ROWS = 1 << 16  # that are written at a time
_CHECKED_ROWS = 1 << 24
_INT32 = np.dtype(np.int32)


def cut_windows(length: int, window: int) -> list[tuple[int, int]]:
    """Cut a contig of `length` bp into non-overlapping windows of `window` bp.

    A rest of at least half a window is a window of its own; a shorter one is added to the last window. A contig shorter
    than a window is one window if it has at least a quarter of one, else it gives none.

    Returns
    -------
    (start, end) pairs in bp, 0-based, half-open; together they cover the contig or are none.
    """
    n_whole, rest = divmod(length, window)
    if n_whole == 0:
        return [(0, length)] if length and length >= MIN_CONTIG * window else []
    starts = [i * window for i in range(n_whole)]
    if rest >= MIN_REMAINDER * window:
        starts.append(n_whole * window)
    return list(zip(starts, [*starts[1:], length], strict=True))


def format_window(genome: str, contig: str, start: int, end: int) -> str:
    """Name of a window or piece, `genome|contig|start|end` (bp, 0-based, half-open)."""
    return f"{genome}|{contig}|{start}|{end}"


def parse_window(name: str) -> tuple[str, str, int, int]:
    """The parts of a name that `format_window` made; a contig's own `|` are kept (no genome name has one)."""
    genome, rest = name.split("|", 1)
    contig, start, end = rest.rsplit("|", 2)
    return genome, contig, int(start), int(end)


def name_genome(name: str) -> str:
    """The genome of a name that `format_window` made."""
    return name.split("|", 1)[0]


class RepeatedNames:
    """A column of names that change seldom, held as bytes: 4 bytes a row, and each run of equal names once.

    Attributes
    ----------
    text : uint8, the names one after the other. bounds : int64 (u + 1,), where each begins.
    codes : int32 (n,), row -> name.
    """

    def __init__(self, text: np.ndarray, bounds: np.ndarray, codes: np.ndarray) -> None:
        self.text, self.bounds, self.codes = text, bounds, codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> str:
        code = self.codes[row]
        return self.text[self.bounds[code] : self.bounds[code + 1]].tobytes().decode()

    def take(self, rows: np.ndarray) -> RepeatedNames:
        """The names of bool (n,) `rows`."""
        used = np.zeros(len(self.bounds) - 1, dtype=bool)
        used[self.codes[rows]] = True
        lengths = np.diff(self.bounds)
        numbers = (np.cumsum(used) - 1).astype(np.int32)
        return RepeatedNames(self.text[np.repeat(used, lengths)], _bounds(lengths[used]), numbers[self.codes[rows]])


@dataclass(frozen=True)
class WindowTable:
    """What the rows of an index are.

    Memory: 16 bytes a row, where no contig is longer than 2 Gbp, and 8 and its name for every contig.

    Attributes
    ----------
    genomes : G distinct genome names, in order of their first row.
    lineages : taxonomy of each genome, rank -> name.
    codes : int32 (n,), row -> position in `genomes`; ascending, so that the rows of a genome lie together.
    contigs : n contig names.
    starts, ends : int32 or int64 (n,), bp, 0-based, half-open.
    """

    genomes: list[str]
    lineages: list[dict[str, str]]
    codes: np.ndarray
    contigs: RepeatedNames
    starts: np.ndarray
    ends: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.codes)
        if not len(self.contigs) == len(self.starts) == len(self.ends) == n:
            raise InputError(f"{n} rows but {len(self.contigs)} contigs, {len(self.starts)} starts")
        if len(self.lineages) != len(self.genomes) or len(set(self.genomes)) != len(self.genomes):
            raise InputError(f"{len(self.genomes)} genomes, expected distinct names with a lineage each")
        if n and not self._is_in_order():
            raise InputError("the rows of a genome do not lie together, or a genome has no row")

    def __len__(self) -> int:
        return len(self.codes)

    def _is_in_order(self) -> bool:
        """Whether the codes are all of 0 ... G - 1, ascending."""
        if self.codes[0] != 0 or self.codes[-1] != len(self.genomes) - 1:
            return False
        blocks = (self.codes[first : first + _CHECKED_ROWS + 1] for first in range(0, len(self), _CHECKED_ROWS))
        return all(np.isin(np.diff(block), (0, 1)).all() for block in blocks)

    @property
    def genome_starts(self) -> np.ndarray:
        """First row of every genome, int64 (G,)."""
        # Numbers of another type would have all codes copied to it.
        return np.searchsorted(self.codes, np.arange(len(self.genomes), dtype=self.codes.dtype))

    @property
    def genome_bp(self) -> np.ndarray:
        """bp of the windows of every genome, int64 (G,)."""
        bounds = [*self.genome_starts.tolist(), len(self)]
        rows = (slice(first, end) for first, end in pairwise(bounds))
        # Summed apart: their differences would take as much memory as they do.
        found = (self.ends[own].sum(dtype=np.int64) - self.starts[own].sum(dtype=np.int64) for own in rows)
        return np.fromiter(found, dtype=np.int64, count=len(self.genomes))

    def lines(self) -> Iterator[str]:
        """The table's rows as tab-separated text, without the header."""
        for block in self._text_blocks():
            yield from block.decode().split("\n")[:-1]

    def digest(self) -> str:
        """Hex SHA-256 of the rows, without the last line's end; the identity of what the index finds."""
        digest = _RowDigest()
        for block in self._text_blocks():
            digest.add(block)
        return digest.hex()

    def _text_blocks(self) -> Iterator[bytes]:
        from workflow_lib.index.row_text import format_rows  # compiles; the Snakefile does without

        genomes, lineages = _join_text(self.genomes), _join_text(map(format_taxonomy, self.lineages))
        contigs = self.contigs.text, self.contigs.bounds
        for first in range(0, len(self), _BLOCK_ROWS):
            rows = slice(first, first + _BLOCK_ROWS)
            columns = self.codes[rows], self.contigs.codes[rows], self.starts[rows], self.ends[rows]
            yield format_rows(first, *columns, genomes, contigs, lineages).tobytes()


class _RowDigest:
    """SHA-256 of rows of text without the end of the last one; blocks end with a line's end."""

    def __init__(self) -> None:
        self._digest, self._end = hashlib.sha256(), b""

    def add(self, block: bytes) -> None:
        self._digest.update(self._end)
        self._digest.update(memoryview(block)[:-1])
        self._end = block[-1:]

    def hex(self) -> str:
        return self._digest.hexdigest()


def tabulate_windows(names: Iterable[str], taxonomy: dict[str, dict[str, str]]) -> WindowTable:
    """Make the table from window names, grouped by genome, and the taxonomy (genome -> rank -> name)."""
    return tabulate_text(["".join(f"{name}\n" for name in names).encode()], taxonomy)


def tabulate_text(blocks: Iterable[bytes], taxonomy: dict[str, dict[str, str]]) -> WindowTable:
    """As `tabulate_windows`, of names with a line's end behind each, in blocks of whole lines."""
    builder = _TableBuilder()
    for block in blocks:
        bad = builder.add_text(block, is_table=False)
        if bad is not None:
            raise InputError(f"window {bad!r}, expected a name 'genome|contig|start|end'")
    builder.check_runs()
    return builder.build([dict(taxonomy.get(genome, {})) for genome in builder.genomes])


class _Column:
    """An integer column that grows in place: what is added is held nowhere else."""

    def __init__(self, dtype: type = np.int32) -> None:
        self._values = array(np.dtype(dtype).char)

    def add(self, values: np.ndarray) -> None:
        """Append values; from the first one on that is too large the column is of int64."""
        if self._values.itemsize == _INT32.itemsize and values.max(initial=0) > np.iinfo(_INT32).max:
            self._values = array("q", self._values)
        self._values.frombytes(np.ascontiguousarray(values, dtype=self._values.typecode).data.cast("B"))

    def result(self) -> np.ndarray:
        return np.frombuffer(self._values, dtype=self._values.typecode)


class _TableBuilder:
    """Collects the columns of a table. Memory: the table, 4 bytes for every contig, and an eighth more."""

    def __init__(self) -> None:
        self.genomes, self.lineages = [], []
        self._codes, self._starts, self._ends = _Column(), _Column(), _Column()
        self._text, self._lengths, self._contigs, self._n_contigs = _Column(np.uint8), _Column(), _Column(), 0

    def __len__(self) -> int:
        return len(self._codes.result())

    def add_text(self, block: bytes, *, is_table: bool) -> str | None:
        """Take in the lines of a block; returns the first one that is none of a table, or lacks its end."""
        from workflow_lib.index.row_text import gather, scan_rows

        text = np.frombuffer(block, dtype=np.uint8)
        n, genome_runs, contig_runs, starts, ends, genomes, contigs, lineages = scan_rows(text, is_table, len(self))
        if n:
            names = [block[begin:end].decode() for begin, end in genomes]
            goes_on = bool(self.genomes) and names[0] == self.genomes[-1]
            first = len(self.genomes) - goes_on
            self.genomes += names[goes_on:]
            self.lineages += [block[begin:end].decode() for begin, end in lineages[goes_on:]]
            self._add_columns(genome_runs + first, RepeatedNames(*gather(text, contigs), contig_runs), starts, ends)
        is_whole = n == block.count(b"\n") and block[-1:] in (b"", b"\n")
        return None if is_whole else block.split(b"\n", n + 1)[n].decode(errors="replace")

    def check_runs(self) -> None:
        """Refuse lines in which a genome stands in several places."""
        if len(set(self.genomes)) < len(self.genomes):
            raise InputError("the rows of a genome do not lie together, or a genome has no row")

    def add_table(self, table: WindowTable) -> None:
        """Take in the rows of a table of other genomes."""
        self._add_columns(table.codes + np.int32(len(self.genomes)), table.contigs, table.starts, table.ends)
        self.genomes += table.genomes
        self.lineages += table.lineages

    def _add_columns(self, codes: np.ndarray, contigs: RepeatedNames, starts: np.ndarray, ends: np.ndarray) -> None:
        for column, values in ((self._codes, codes), (self._starts, starts), (self._ends, ends)):
            column.add(values)
        self._text.add(contigs.text)
        self._lengths.add(np.diff(contigs.bounds))
        self._contigs.add(contigs.codes.astype(np.int64) + self._n_contigs)
        self._n_contigs += len(contigs.bounds) - 1

    def build(self, lineages: list[dict[str, str]]) -> WindowTable:
        """The table; the builder is used up."""
        contigs = RepeatedNames(self._text.result(), _bounds(self._lengths.result()), self._contigs.result())
        columns = (column.result() for column in (self._starts, self._ends))
        return WindowTable(self.genomes, lineages, self._codes.result(), contigs, *columns)


def select_rows(table: WindowTable, rows: np.ndarray) -> WindowTable:
    """The rows of bool (n,) `rows`; genomes that are left with none drop out."""
    if rows.all():
        return table
    kept, codes = np.unique(table.codes[rows], return_inverse=True)
    return WindowTable(
        genomes=[table.genomes[code] for code in kept],
        lineages=[table.lineages[code] for code in kept],
        codes=codes.astype(np.int32),
        contigs=table.contigs.take(rows),
        starts=table.starts[rows],
        ends=table.ends[rows],
    )


def join_tables(tables: Iterable[WindowTable]) -> WindowTable:
    """The rows of several tables, one after the other; they share no genome.

    Memory: the result, and one table where they come from an iterator.
    """
    builder = _TableBuilder()
    for table in tables:
        builder.add_table(table)
    return builder.build(builder.lineages)


def write_ids(path: str | Path, table: WindowTable) -> str:
    """Write ids.tsv: row, genome, contig, start, end (bp, 0-based, half-open), lineage; returns the table's digest."""
    digest = _RowDigest()
    with atomic_open(path, "wb") as handle:
        handle.write(f"{_HEADER}\n".encode())
        for block in table._text_blocks():
            handle.write(block)
            digest.add(block)
    return digest.hex()


def read_ids(path: str | Path) -> WindowTable:
    """Read ids.tsv.

    Raises
    ------
    InputError
        with file and line, when the columns or row numbers are not those of an index.
    """
    return read_ids_and_digest(path)[0]


def read_ids_and_digest(path: str | Path) -> tuple[WindowTable, str]:
    """Read ids.tsv as `read_ids`, and what `WindowTable.digest` gives of its rows as they are written there."""
    builder, digest = _TableBuilder(), _RowDigest()
    with open(path, "rb") as handle:
        header = handle.readline()[:-1].decode(errors="replace")
        if header != _HEADER:
            raise InputError(f"header {header!r}, expected {_COLUMNS}", path=path, line=1)
        for block in read_line_blocks(handle):
            bad = builder.add_text(block, is_table=True)
            if bad is not None:
                message = f"found {bad!r}, expected row {len(builder)} with {len(_COLUMNS)} fields"
                raise InputError(message, path=path, line=len(builder) + 2)
            digest.add(block)
    builder.check_runs()
    return builder.build([parse_taxonomy(lineage) for lineage in builder.lineages]), digest.hex()


def read_line_blocks(handle: BinaryIO) -> Iterator[bytes]:
    """Blocks of whole lines; a last line without its end is a block without it."""
    rest = b""
    while block := handle.read(_BLOCK_BYTES):
        whole, end, last = block.rpartition(b"\n")
        if end:
            yield b"".join((rest, whole, end))
            rest = last
        else:
            rest += block
    if rest:
        yield rest


def _join_text(names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 text and int64 bounds of names."""
    encoded = [name.encode() for name in names]
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), _bounds(
        np.array([len(name) for name in encoded], dtype=np.int64)
    )


def _bounds(lengths: np.ndarray) -> np.ndarray:
    bounds = np.zeros(len(lengths) + 1, dtype=np.int64)
    bounds[1:] = lengths  # else they would be copied to int64
    np.cumsum(bounds[1:], out=bounds[1:])
    return bounds

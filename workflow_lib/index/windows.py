"""Windows of reference genomes: where they lie, what they are called, and the table that ties them to index rows."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.taxonomy import format_taxonomy, parse_taxonomy

MIN_REMAINDER = 0.5  # share of a window from which the rest of a contig is a window of its own
MIN_CONTIG = 0.25  # share of a window below which a whole contig is left out: its vector would be mostly noise
MAX_N_FRACTION = 0.5  # share of N above which a window is left out
_COLUMNS = ("row", "genome", "contig", "start", "end", "lineage")


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


def mostly_n(sequence: bytes) -> bool:
    """Whether more than half of a sequence is N (an empty one is)."""
    return not sequence or sequence.count(b"N") > MAX_N_FRACTION * len(sequence)


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


@dataclass(frozen=True)
class WindowTable:
    """What the rows of an index are.

    Attributes
    ----------
    genomes : G distinct genome names, in order of their first row.
    lineages : taxonomy of each genome, rank -> name.
    codes : int64 (n,), row -> position in `genomes`; ascending, so that the rows of a genome lie together.
    contigs : n contig names.
    starts, ends : int64 (n,), bp, 0-based, half-open.
    """

    genomes: list[str]
    lineages: list[dict[str, str]]
    codes: np.ndarray
    contigs: list[str]
    starts: np.ndarray
    ends: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.codes)
        if not len(self.contigs) == len(self.starts) == len(self.ends) == n:
            raise InputError(f"{n} rows but {len(self.contigs)} contigs, {len(self.starts)} starts")
        if len(self.lineages) != len(self.genomes) or len(set(self.genomes)) != len(self.genomes):
            raise InputError(f"{len(self.genomes)} genomes, expected distinct names with a lineage each")
        if n and ((np.diff(self.codes) < 0).any() or np.unique(self.codes).size != len(self.genomes)):
            raise InputError("the rows of a genome do not lie together, or a genome has no row")

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def genome_starts(self) -> np.ndarray:
        """First row of every genome, int64 (G,)."""
        return np.searchsorted(self.codes, np.arange(len(self.genomes)))

    def lines(self) -> Iterator[str]:
        """The table's rows as tab-separated text, without the header."""
        lineages = [format_taxonomy(lineage) for lineage in self.lineages]
        for row, (code, contig, start, end) in enumerate(
            zip(self.codes, self.contigs, self.starts, self.ends, strict=True)
        ):
            yield f"{row}\t{self.genomes[code]}\t{contig}\t{start}\t{end}\t{lineages[code]}"

    def digest(self) -> str:
        """Hex SHA-256 of the rows; the identity of what the index finds."""
        digest = hashlib.sha256()
        for row, line in enumerate(self.lines()):
            digest.update(f"{chr(10) if row else ''}{line}".encode())
        return digest.hexdigest()


def tabulate_windows(names: Iterable[str], taxonomy: dict[str, dict[str, str]]) -> WindowTable:
    """Make the table from window names, grouped by genome, and the taxonomy (genome -> rank -> name)."""
    return _tabulate(map(parse_window, names), taxonomy)


def _tabulate(rows: Iterable[tuple[str, str, int, int]], taxonomy: dict[str, dict[str, str]]) -> WindowTable:
    """The table of (genome, contig, start, end) rows; a contig's name is held once."""
    position: dict[str, int] = {}
    held: dict[str, str] = {}
    contigs: list[str] = []
    codes, starts, ends = array("q"), array("q"), array("q")
    for genome, contig, start, end in rows:
        codes.append(position.setdefault(genome, len(position)))
        contigs.append(held.setdefault(contig, contig))
        starts.append(start)
        ends.append(end)
    return WindowTable(
        genomes=list(position),
        lineages=[dict(taxonomy.get(genome, {})) for genome in position],
        codes=np.frombuffer(codes, dtype=np.int64),
        contigs=contigs,
        starts=np.frombuffer(starts, dtype=np.int64),
        ends=np.frombuffer(ends, dtype=np.int64),
    )


def select_rows(table: WindowTable, rows: np.ndarray) -> WindowTable:
    """The rows of bool (n,) `rows`; genomes that are left with none drop out."""
    kept, codes = np.unique(table.codes[rows], return_inverse=True)
    return WindowTable(
        genomes=[table.genomes[code] for code in kept],
        lineages=[table.lineages[code] for code in kept],
        codes=codes.astype(np.int64),
        contigs=[table.contigs[row] for row in np.flatnonzero(rows)],
        starts=table.starts[rows],
        ends=table.ends[rows],
    )


def join_tables(tables: list[WindowTable]) -> WindowTable:
    """The rows of several tables, one after the other; they share no genome."""
    firsts = np.cumsum([0, *(len(table.genomes) for table in tables)])
    return WindowTable(
        genomes=[genome for table in tables for genome in table.genomes],
        lineages=[lineage for table in tables for lineage in table.lineages],
        codes=np.concatenate([table.codes + first for table, first in zip(tables, firsts, strict=False)]),
        contigs=[contig for table in tables for contig in table.contigs],
        starts=np.concatenate([table.starts for table in tables]),
        ends=np.concatenate([table.ends for table in tables]),
    )


def write_ids(path: str | Path, table: WindowTable) -> None:
    """Write ids.tsv: row, genome, contig, start, end (bp, 0-based, half-open), lineage."""
    with atomic_open(path) as handle:
        handle.write("\t".join(_COLUMNS) + "\n")
        handle.writelines(f"{line}\n" for line in table.lines())


def read_ids(path: str | Path) -> WindowTable:
    """Read ids.tsv.

    Raises
    ------
    InputError
        with file and line, when the columns or row numbers are not those of an index.
    """
    taxonomy: dict[str, dict[str, str]] = {}

    def rows(handle: TextIO) -> Iterator[tuple[str, str, int, int]]:
        for row, line in enumerate(handle):
            fields = line[:-1].split("\t")
            if len(fields) != len(_COLUMNS) or fields[0] != str(row):
                message = f"found {line[:-1]!r}, expected row {row} with {len(_COLUMNS)} fields"
                raise InputError(message, path=path, line=row + 2)
            _, genome, contig, start, end, lineage = fields
            if genome not in taxonomy:
                taxonomy[genome] = parse_taxonomy(lineage)
            yield genome, contig, int(start), int(end)

    # Not the universal newlines: a carriage return may stand in a name.
    with open(path, encoding="utf-8", newline="\n") as handle:
        header = handle.readline()[:-1]
        if header != "\t".join(_COLUMNS):
            raise InputError(f"header {header!r}, expected {_COLUMNS}", path=path, line=1)
        return _tabulate(rows(handle), taxonomy)

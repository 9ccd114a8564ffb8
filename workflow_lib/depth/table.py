"""Depth tables: reading those of this project, MetaBAT and CoverM, writing and joining ours."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.depth import OF_ONE_ASSEMBLY
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_blocks
from workflow_lib.files import atomic_open
from workflow_lib.tables import DEPTH_TABLE_COLUMNS, VARIANCE_SUFFIX

_METABAT_KEYS = ("contigName", "contigLen", "totalAvgDepth")
_COVERM_KEY = "Contig"
_COVERM_MEAN, _COVERM_TRIMMED, _COVERM_VARIANCE = " Mean", " Trimmed Mean", " Variance"
# MetaBAT prints lengths with six significant digits: 1234567 becomes 1.23457e+06.
_LENGTH_TOLERANCE = 1e-5
_SHOWN = 5  # contigs that an error spells out
logger = logging.getLogger(__name__)

# Column name -> mean and variance of depth, float64 (n,); NaN where the variance is not known.
DepthColumns = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Layout:
    """Fields of a table: that of the length (None: nowhere), and (label, mean, variance or None) of each library."""

    length: int | None
    libraries: list[tuple[str, int, int | None]]


def read_depth_table(path: str | Path, names: list[str], lengths: list[int], *, library: str) -> DepthColumns:
    """Depth of the given contigs from a table of this project, of MetaBAT or of CoverM (plain or gzip).

    Understood are depth.tsv, the table of jgi_summarize_bam_contig_depths (with or without variances) and the
    contig tables of CoverM with `-m metabat`, `-m mean` and `-m mean variance`. Names count up to the first blank;
    contigs that are not asked for are left out.

    Parameters
    ----------
    names, lengths : contigs in the order wanted, bp.
    library : the name of the columns; with several libraries in the table they are `<library>.<column>`.

    Returns
    -------
    column name -> (mean, variance), float64 (n,); the variance is NaN where the table has none.

    Raises
    ------
    InputError
        with the line: another layout, a contig missing, twice or of another length, a value that is no depth.
    """
    lines = _read_lines(path)
    header = next(lines, (1, ""))[1].lstrip("\ufeff").split("\t")
    layout = _read_layout([column.strip() for column in header], path)
    rows = {name: row for row, name in enumerate(names)}
    first_lines: dict[str, int] = {}
    columns = {
        column: (np.full(len(names), np.nan), np.full(len(names), np.nan))
        for column in _name_columns(layout, library, path)
    }
    for line, text in lines:
        fields = text.split("\t")
        name = (fields[0].split() or [""])[0]
        row = rows.get(name)
        if row is not None:
            if len(fields) < len(header):
                raise InputError(f"{len(fields)} fields, expected {len(header)}", path=path, line=line)
            if first_lines.setdefault(name, line) != line:
                raise InputError(f"contig {name} has a row already, line {first_lines[name]}", path=path, line=line)
            _check_length(fields, layout, name, lengths[row], path, line)
            for (mean, variance), (_, m, v) in zip(columns.values(), layout.libraries, strict=True):
                mean[row] = _parse_depth(fields[m], header[m], path, line)
                if v is not None and fields[v].strip():
                    variance[row] = _parse_depth(fields[v], header[v], path, line)
    _check_complete(first_lines, names, path)
    logger.info("%s: depth of %s contigs, columns %s", path, f"{len(names):,}", ", ".join(columns))
    return columns


def _read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank, without its end."""
    pending, number = b"", 1
    for block in read_blocks(path):
        *whole, pending = (pending + block).split(b"\n")
        for line in whole:
            if line.strip():
                yield number, line.decode("utf-8", "replace").rstrip("\r")
            number += 1
    if pending.strip():
        yield number, pending.decode("utf-8", "replace").rstrip("\r")


def _read_layout(header: list[str], path: str | Path) -> _Layout:
    if header[0] == _COVERM_KEY:
        libraries = _coverm_libraries(header)
        layout = _Layout(None, libraries)
    elif header[0] in (DEPTH_TABLE_COLUMNS[0], _METABAT_KEYS[0]):
        keys = DEPTH_TABLE_COLUMNS + _METABAT_KEYS
        means = [name for name in header if name not in keys and not _is_variance(name, header)]
        length = next((i for i, name in enumerate(header) if name in (DEPTH_TABLE_COLUMNS[1], _METABAT_KEYS[1])), None)
        variances = {name: header.index(name + VARIANCE_SUFFIX) for name in means if name + VARIANCE_SUFFIX in header}
        layout = _Layout(length, [(name, header.index(name), variances.get(name)) for name in means])
    else:
        layout = _Layout(None, [])
    if not layout.libraries:
        tabs = "; columns are separated by tabs" if len(header) == 1 else ""
        raise InputError(
            f"the header {' | '.join(header[:6])!r} is of no depth table that is known{tabs}",
            path=path,
            line=1,
            remedy="give depth.tsv of this workflow, the table of jgi_summarize_bam_contig_depths, or one of `coverm "
            "contig -m metabat` or `-m mean variance`",
        )
    return layout


def _is_variance(name: str, header: list[str]) -> bool:
    return name.endswith(VARIANCE_SUFFIX) and name.removesuffix(VARIANCE_SUFFIX) in header


def _coverm_libraries(header: list[str]) -> list[tuple[str, int, int | None]]:
    """Libraries by their `<label> Mean` columns; trimmed means are another measure and are left out."""
    labels = [
        name.removesuffix(_COVERM_MEAN)
        for name in header
        if name.endswith(_COVERM_MEAN) and not name.endswith(_COVERM_TRIMMED)
    ]
    places = {name: i for i, name in enumerate(header)}
    return [(label, places[label + _COVERM_MEAN], places.get(label + _COVERM_VARIANCE)) for label in labels]


def _name_columns(layout: _Layout, library: str, path: str | Path) -> list[str]:
    labels = [label for label, _, _ in layout.libraries]
    if len(labels) == 1:
        return [library]
    columns = [f"{library}.{re.sub(r'[^A-Za-z0-9._-]+', '_', label.removesuffix('.bam'))}" for label in labels]
    if len(set(columns)) < len(columns):
        shown = ", ".join(labels)
        raise InputError(f"several columns have the same name: {shown}", path=path, line=1, remedy="rename them")
    return columns


def _check_length(fields: list[str], layout: _Layout, name: str, length: int, path: str | Path, line: int) -> None:
    if layout.length is None:
        return
    try:
        found = float(fields[layout.length])
    except ValueError:
        found = math.nan
    if not abs(found - length) <= _LENGTH_TOLERANCE * length:
        raise InputError(
            f"contig {name} is {fields[layout.length]} bp here and {length:,} bp in the assembly",
            path=path,
            line=line,
            remedy=f"give the depth table of this assembly; {OF_ONE_ASSEMBLY}",
        )


def _parse_depth(text: str, column: str, path: str | Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"found {text!r} in column {column}, expected a number of at least 0", path=path, line=line)
    return value


def _check_complete(found: dict[str, int], names: list[str], path: str | Path) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        shown = ", ".join(missing[:_SHOWN])
        raise InputError(
            f"{len(missing):,} of {len(names):,} contigs are not in this table, among them: {shown}",
            path=path,
            remedy="give the table of the contigs that the samples table names (a contig without reads has depth 0); "
            f"{OF_ONE_ASSEMBLY}",
        )


def write_depth(path: str | Path, names: list[str], lengths: list[int], columns: DepthColumns) -> None:
    """Write contig, length, and for each library its mean and variance; six digits, nothing for NaN; atomically."""
    header = [*DEPTH_TABLE_COLUMNS, *(name for column in columns for name in (column, column + VARIANCE_SUFFIX))]
    values = [array.tolist() for pair in columns.values() for array in pair]
    with atomic_open(path) as handle:
        handle.write("\t".join(header) + "\n")
        for row in zip(names, lengths, *values, strict=True):
            depths = ("" if math.isnan(value) else f"{value:.6g}" for value in row[2:])
            handle.write("\t".join((row[0], str(row[1]), *depths)) + "\n")


def merge_depth(tables: list[str], out: str | Path) -> None:
    """Join the depth tables of a sample's libraries, in this order; all must have the same contigs in the same order.

    Raises
    ------
    InputError
        when the contigs differ or two tables have a column of the same name.
    """
    with ExitStack() as stack, atomic_open(out) as handle:
        inputs = [stack.enter_context(open(table, encoding="utf-8", newline="\n")) for table in tables]
        n_rows = -1
        for number, lines in enumerate(_zip_lines(inputs, tables), start=1):
            parts = [line.rstrip("\n").split("\t") for line in lines]
            for table, part in zip(tables, parts, strict=True):
                if part[:2] != parts[0][:2]:
                    raise _differing(tables[0], table, number, f"{parts[0][:2]} and {part[:2]}")
            joined = [field for part in parts for field in part[2:]]
            if number == 1:
                _check_unique(joined, tables)
            handle.write("\t".join(parts[0][:2] + joined) + "\n")
            n_rows += 1
    logger.info("depth of %s contigs from %d libraries", f"{n_rows:,}", len(tables))


def _zip_lines(inputs: list, tables: list[str]) -> Iterator[tuple[str, ...]]:
    try:
        yield from zip(*inputs, strict=True)
    except ValueError as error:
        raise InputError(
            "the depth tables of this sample have different numbers of contigs",
            path=Path(tables[0]).parent,
            remedy="delete this folder and run again",
        ) from error


def _differing(first: str, other: str, line: int, found: str) -> InputError:
    remedy = "delete both and run again"
    return InputError(f"contigs differ from those of {first}: {found}", path=other, line=line, remedy=remedy)


def _check_unique(columns: list[str], tables: list[str]) -> None:
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise InputError(
            f"column {repeated[0]} comes from several of {', '.join(tables)}",
            remedy="rename the library in the libraries table, or the column in the depth table it comes from",
        )

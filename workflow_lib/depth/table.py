"""Depth tables: reading those of this project, MetaBAT and CoverM, writing and joining ours."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from workflow_lib.depth import OF_ONE_ASSEMBLY
from workflow_lib.depth.layouts import Layout, name_columns, read_layout
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_blocks
from workflow_lib.files import atomic_open
from workflow_lib.tables import DEPTH_TABLE_COLUMNS, VARIANCE_SUFFIX

# MetaBAT prints lengths with six significant digits: 1234567 becomes 1.23457e+06.
_LENGTH_TOLERANCE = 1e-5
_SHOWN = 5  # contigs that an error spells out
_FOREIGN = (
    "%s: %s rows are of no contig of the assembly, and there are no lengths to tell whether it is of this one: make "
    "sure that it is"
)
_ADD_LENGTHS = "add a column length (`coverm contig -m mean variance length` writes one)"
logger = logging.getLogger(__name__)

# Column name -> mean and variance of depth, float64 (n,); NaN where the variance is not known.
DepthColumns = dict[str, tuple[np.ndarray, np.ndarray]]


def read_depth_table(
    path: str | Path,
    names: list[str],
    lengths: list[int],
    *,
    library: str,
    assembly: Collection[str] = (),
    n_assemblies: int = 1,
) -> DepthColumns:
    """Depth of the given contigs from a table of this project, of MetaBAT or of CoverM (plain or gzip).

    Understood are depth.tsv, the table of jgi_summarize_bam_contig_depths (with or without variances) and the
    contig tables of CoverM with `-m metabat`, `-m mean` and `-m mean variance`, with or without `length`; and tables
    with `contig` first and a column of mean coverage for each library (`layouts.read_layout`). Names count up to the
    first blank; contigs that are not asked for are left out.

    Parameters
    ----------
    names, lengths : contigs in the order wanted, bp.
    library : the name of the columns; with several libraries in the table they are `<library>.<column>`.
    assembly : names of all contigs of the assembly, where known: a table without lengths that has others may be of
        another assembly, which a warning says.
    n_assemblies : that the table is read for; a table without lengths is of one.

    Returns
    -------
    column name -> (mean, variance), float64 (n,); the variance is NaN where the table has none.

    Raises
    ------
    InputError
        with the line: another layout, no lengths and several assemblies, columns that are no depth by their names or
        have the lengths of the contigs, a contig missing, twice or of another length, a value that is no depth.
    """
    lines = _read_lines(path)
    header = [column.strip() for column in next(lines, (1, ""))[1].lstrip("\ufeff").split("\t")]
    layout = read_layout(header, path)
    if layout.length is None and n_assemblies > 1:
        message = f"no lengths tell of which of the {n_assemblies} assemblies of this group the table is"
        raise InputError(message, path=path, line=1, remedy=f"{_ADD_LENGTHS}; {OF_ONE_ASSEMBLY}")
    columns = {
        column: (np.full(len(names), np.nan), np.full(len(names), np.nan))
        for column in name_columns(layout, library, path)
    }
    first_lines: dict[str, int] = {}
    rows = {name: row for row, name in enumerate(names)}
    for name, fields, line in _read_rows(lines, rows, first_lines, len(header), path):
        row = rows[name]
        _check_length(fields, header, layout, name, lengths[row], path, line)
        for (mean, variance), (_, m, v) in zip(columns.values(), layout.libraries, strict=True):
            mean[row] = _parse_number(fields[m], header[m], path, line)
            if v is not None and fields[v].strip():
                variance[row] = _parse_number(fields[v], header[v], path, line)
    _check_complete(first_lines, names, path)
    _check_no_lengths(columns, layout, header, lengths, path)
    n_foreign = sum(name not in assembly for name in first_lines)
    if assembly and n_foreign and layout.length is None:
        logger.warning(_FOREIGN, path, f"{n_foreign:,}")
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


def _read_rows(
    lines: Iterator[tuple[int, str]],
    wanted: Collection[str],
    first_lines: dict[str, int],
    n_fields: int,
    path: str | Path,
) -> Iterator[tuple[str, list[str], int]]:
    """Name, fields and line of the contigs that are wanted; `first_lines` gets the line of every contig."""
    for line, text in lines:
        fields = text.split("\t")
        name = (fields[0].split() or [""])[0]
        first = first_lines.setdefault(name, line)
        if name not in wanted:
            continue
        if len(fields) < n_fields:
            raise InputError(f"{len(fields)} fields, expected {n_fields}", path=path, line=line)
        if first != line:
            message = f"contig {name} has a row already, line {first}"
            remedy = "keep one row a contig; of records of one name novabin bins the first"
            raise InputError(message, path=path, line=line, remedy=remedy)
        yield name, fields, line


def _check_no_lengths(
    columns: DepthColumns, layout: Layout, header: list[str], lengths: list[int], path: str | Path
) -> None:
    """Refuse columns that have the lengths of the contigs; of a single contig its depth may be just that."""
    faults = [
        header[place]
        for (mean, _), (_, place, _) in zip(columns.values(), layout.libraries, strict=True)
        if len(set(lengths)) > 1 and np.allclose(mean, lengths, rtol=_LENGTH_TOLERANCE, atol=0)
    ]
    if faults:
        what = f"columns {', '.join(faults)} hold" if len(faults) > 1 else f"column {faults[0]} holds"
        message = f"{what} the lengths of the contigs, not their coverage"
        raise InputError(message, path=path, line=1, remedy="call one column length, and take others out")


def _check_length(
    fields: list[str], header: list[str], layout: Layout, name: str, length: int, path: str | Path, line: int
) -> None:
    if layout.length is None:
        return
    found = _parse_number(fields[layout.length], header[layout.length], path, line)
    if not abs(found - length) <= _LENGTH_TOLERANCE * length:
        raise InputError(
            f"contig {name} is {fields[layout.length]} bp here and {length:,} bp in the assembly",
            path=path,
            line=line,
            remedy=f"give the depth table of this assembly; {OF_ONE_ASSEMBLY}",
        )


def _parse_number(text: str, column: str, path: str | Path, line: int) -> float:
    try:
        value = math.nan if "_" in text else float(text)  # Python reads 1_000 as a number
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(
            f"found {text!r} in column {column}, expected a number of at least 0",
            path=path,
            line=line,
            remedy="write 0 where no read covers a contig, or measure its depth again",
        )
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

"""Contig-to-bin (or contig-to-genome) tables: plain TSV and the CAMI bioboxes binning format 0.9.1."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.fasta import read_text
from workflow_lib.files import atomic_open
from workflow_lib.tables import LENGTH_HEADER

BIOBOXES_VERSION = "0.9.1"
_HEADER_LINE = "contig\tbin\n"
# Of contigs: "contig", "Contig ID", "scaffold_id", "contigs", "SequenceID", "seqname".
_HEADER = re.compile(r"(contig|scaffold|sequence|seq)s?[ _.-]?(id|name)?s?", re.IGNORECASE)
_FIRST_HEADER = ("name", "id")  # too, but only of a first column
# Before all these, of a first column: "anonymous_contig_id" of CAMI's gsa_mapping, whose "contig_id" is the genome's.
_PREFIXED_HEADER = re.compile(r"[a-z]+[ _.-](contig|scaffold|sequence)[ _.-]?(id|name)", re.IGNORECASE)
# Of bins: "bin", "Bin ID", "MAG_id", "BINID"; where there is none of them "clustername", "genome", then "assignment".
_BIN_HEADERS = tuple(
    re.compile(rf"({names})s?[ _.-]?(id|name)?s?", re.IGNORECASE)
    for names in ("bin|mag", "cluster|genome", "assignment")
)
# Of neither, which other programs put between contigs and bins.
_OTHER_HEADER = re.compile(
    rf"{LENGTH_HEADER}|(contig|seq|sequence)?[ _.-]?(gc|depth|coverage|cov|score|probability|confidence)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_LINE_END = re.compile(r"\r\n|\n|\r")  # \r alone: Macintosh's of old, still written by spreadsheets


def read_contig2bin(
    path: str | Path, contigs: Collection[str] | None = None, *, is_none: Callable[[str], bool] | None = None
) -> dict[str, str]:
    """Read contig -> bin from a TSV (header optional, further columns ignored) or a bioboxes file; gzip allowed.

    Lines that begin with `#` are comments; where `contigs` are not given, only above the first row or without a
    tab, as a contig may be called so. One above the first row may be the header: it counts where it names a column
    of contigs and one of bins and, where `contigs` are given, some of them stand there. Tables that have the bin
    first, as VAMB's, are told by their header (its second field alone names contigs) or, where `contigs` are given,
    by names: none in the first column, some in the second. Where a header names a column of contigs and one of
    bins, these are read, wherever they stand. Blanks and quotation marks around fields are stripped, unless they are
    a contig's, and contig names cut at the first blank, as everywhere in novabin.

    Parameters
    ----------
    path : of the table.
    contigs : names that contigs may have; a row of one of them is neither a header nor a comment.
    is_none : tells names that stand for no bin. A contig may then be in one of these and in a bin, which it is in; an
        empty field is no bin, too, and returned as "".

    Raises
    ------
    InputError
        with file and line: fewer than two columns, an empty field, a contig in two different bins, two bioboxes headers
        that differ, a header whose second column is a length or the like and that names no bins, three columns or more
        without a header where numbers stand second or the contigs do, damaged gzip data.
    """
    contigs = frozenset(contigs or ())
    rows: list[tuple[int, list[str]]] = []
    bioboxes, commented = None, None  # columns of contig and bin that a header of bioboxes or a comment has told
    for number, line in enumerate(_LINE_END.split(read_text(path)), start=1):
        fields = _split(line, contigs)
        if line.startswith("@@"):
            found = _bioboxes_columns(fields, path, number)
            if bioboxes and found != bioboxes:
                raise InputError("columns in another order than above", path=path, line=number)
            bioboxes = found
        elif line.startswith("#") and _is_comment(fields, contigs, is_above=not rows):
            if not rows:
                commented = _named_columns(_split(line.lstrip("#"), contigs)) or commented
        elif line.strip() and not (line.startswith("@") and _name(fields[0]) not in contigs):
            rows.append((number, fields))
    columns = bioboxes
    if rows and not bioboxes:
        rows, columns = _find_columns(rows, commented, contigs, path)
    return _assign(rows, columns or (0, 1), path, is_none)


def read_bins(path: str | Path) -> dict[str, str]:
    """Contig -> bin, to the letter where `write_contig2bin` wrote the table; of any other as `read_contig2bin`.

    A contig may be called `"c1"`, `@c1` or `contig`: in a table of novabin that is its name.
    """
    header, *lines = read_text(path).split("\n")
    rows = [line.split("\t") for line in lines if line]
    if f"{header}\n" == _HEADER_LINE and all(map(_may_be_written, rows)) and len({row[0] for row in rows}) == len(rows):
        return dict(rows)
    return read_contig2bin(path)


def _may_be_written(fields: list[str]) -> bool:
    return len(fields) == 2 and all(field and field == _name(field) for field in fields) and not _is_quoted(fields[1])


def _find_columns(
    rows: list[tuple[int, list[str]]], told: tuple[int, int] | None, contigs: frozenset[str], path: str | Path
) -> tuple[list[tuple[int, list[str]]], tuple[int, int]]:
    """Rows below a header, and columns of contig and bin: the header's, else those `told`, else those of the names."""
    number, fields = rows[0]
    if _name(fields[0]) not in contigs:
        header = _read_header(fields, path, number)
        if header is not None:
            return rows[1:], header
    if told is not None and (not contigs or _has_names(rows, told[0], contigs)):
        return rows, told
    named = None
    if _is_unlike(rows, contigs):
        named, rows = _bin_column(fields), rows[1:]
        if named:
            return rows, (0, named)
    columns = (1, 0) if contigs and _bins_first(rows, contigs) else (0, 1)
    if contigs and named is None:
        _check_unnamed_columns(rows, columns, path)
    return rows, columns


def _check_unnamed_columns(rows: list[tuple[int, list[str]]], columns: tuple[int, int], path: str | Path) -> None:
    """Refuse more than two columns without a header where the bins may well be in another than the one taken."""
    number, fields = next(((number, fields) for number, fields in rows if any(fields[2:])), rows[0])
    numbers = all(_NUMBER.fullmatch(fields[1]) for _, fields in rows if len(fields) > 1)
    if any(fields[2:]) and (columns != (0, 1) or numbers):
        raise InputError(
            f"found {' | '.join(fields[:4])!r} and no header that tells which column is of bins",
            path=path,
            line=number,
            remedy="give one contig a line, name, tab, bin; or put the header `contig`, `bin` above, with a name for "
            "every other column",
        )


def _is_comment(fields: list[str], contigs: frozenset[str], *, is_above: bool) -> bool:
    """Whether a line that begins with `#` is no row; `is_above`: there is no row yet."""
    if contigs:
        return _name(fields[0]) not in contigs
    return is_above or len(fields) < 2


def _split(line: str, contigs: frozenset[str]) -> list[str]:
    """The fields, without blanks around them and without the quotation marks in which some programs put texts.

    A contig may be called `"c1"`: where contigs are not known, marks are taken off all fields that are no numbers or
    off none.
    """
    fields = [field.strip() for field in line.split("\t")]
    if not contigs and not all(_is_quoted(field) or not field or _NUMBER.fullmatch(field) for field in fields):
        return fields
    return [field[1:-1].strip() if _is_quoted(field) and field not in contigs else field for field in fields]


def _is_quoted(field: str) -> bool:
    return len(field) > 1 and field[0] == field[-1] == '"'


def _read_header(fields: list[str], path: str | Path, line: int) -> tuple[int, int] | None:
    """Columns of contig and bin, or None where it is no header."""
    named, contig = _named_columns(fields), _contig_column(fields)
    if named or contig is None or contig > 1:
        return named
    # An index that pandas wrote has no name: the bin is behind the contig, not before it.
    column = 1 if contig == 0 else (2 if not fields[0] else 0)
    if column < len(fields) and _OTHER_HEADER.fullmatch(fields[column]):
        raise InputError(
            f"the header {', '.join(fields)} names no column of bins",
            path=path,
            line=line,
            remedy="call the columns contig and bin",
        )
    return contig, column


def _named_columns(fields: list[str]) -> tuple[int, int] | None:
    """Columns of contig and bin where both are called so."""
    contig, named = _contig_column(fields), _bin_column(fields)
    return None if contig is None or named is None else (contig, named)


def _contig_column(fields: list[str]) -> int | None:
    """The first column that is called as contigs are, None where none is."""
    if _PREFIXED_HEADER.fullmatch(fields[0]):
        return 0
    found = next((at for at, field in enumerate(fields) if _HEADER.fullmatch(field)), None)
    return 0 if found is None and fields[0].lower() in _FIRST_HEADER else found


def _bin_column(fields: list[str]) -> int | None:
    """The first column that is called as bins are, None where none is."""
    found = (at for header in _BIN_HEADERS for at, field in enumerate(fields) if header.fullmatch(field))
    return next(found, None)


def _is_unlike(rows: list[tuple[int, list[str]]], contigs: frozenset[str]) -> bool:
    """Whether the first row names no contig, and the others do: a header in other words."""
    named = [any(_name(field) in contigs for field in fields[:2]) for _, fields in rows]
    return any(named) and not named[0]


def _name(field: str) -> str:
    return field.split()[0] if field else ""


def _bins_first(rows: list[tuple[int, list[str]]], contigs: frozenset[str]) -> bool:
    """Whether no name in the first column is a contig's, and some in the second is."""
    return not _has_names(rows, 0, contigs) and _has_names(rows, 1, contigs)


def _has_names(rows: list[tuple[int, list[str]]], column: int, contigs: frozenset[str]) -> bool:
    """Whether some of the contigs stand in a column."""
    return any(_name(fields[column]) in contigs for _, fields in rows if len(fields) > column)


def _assign(
    rows: list[tuple[int, list[str]]],
    columns: tuple[int, int],
    path: str | Path,
    is_none: Callable[[str], bool] | None,
) -> dict[str, str]:
    """Contig -> bin of rows with their line numbers; `columns` are those of contig and bin."""
    assignments: dict[str, str] = {}
    needed = columns if is_none is None else columns[:1]
    is_none = is_none or (lambda _: False)
    for number, fields in rows:
        if len(fields) <= max(columns) or not all(fields[column] for column in needed):
            row = "\t".join(fields)
            raise InputError(
                f"found {row!r}, expected a contig and a bin separated by a tab",
                path=path,
                line=number,
                remedy="give one contig a line: name, tab, bin (or genome)"
                + ("; write tabs for commas" if "," in row and len(fields) == 1 else ""),
            )
        contig, name = _name(fields[columns[0]]), fields[columns[1]]
        known = assignments.get(contig)
        if known is None or not known or is_none(known):
            assignments[contig] = name or known or ""
        elif name and name != known and not is_none(name):
            raise InputError(
                f"contig {contig!r} stands in {name!r} and in {known!r}, expected one bin a contig",
                path=path,
                line=number,
            )
    return assignments


def _bioboxes_columns(fields: list[str], path: str | Path, line: int) -> tuple[int, int]:
    columns = [field.lstrip("@").upper() for field in fields]
    if "SEQUENCEID" not in columns or "BINID" not in columns:
        raise InputError(
            f"bioboxes header {fields}, expected SEQUENCEID and BINID",
            path=path,
            line=line,
            remedy="give bins, not taxa alone: a column BINID, or a table of contig, tab, bin",
        )
    return columns.index("SEQUENCEID"), columns.index("BINID")


def write_contig2bin(path: str | Path, assignments: dict[str, str]) -> None:
    """Write contig -> bin as a TSV with the header `contig bin`, in the order given."""
    with atomic_open(path) as handle:
        handle.write(_HEADER_LINE)
        handle.writelines(f"{contig}\t{name}\n" for contig, name in assignments.items())


def write_bioboxes(
    path: str | Path, assignments: dict[str, str], *, sample: str, lengths: dict[str, int] | None = None
) -> None:
    """Write contig -> bin in the CAMI bioboxes binning format; with `lengths` (bp), as a gold standard with LENGTH."""
    with atomic_open(path) as handle:
        handle.write(f"@Version:{BIOBOXES_VERSION}\n@SampleID:{sample}\n\n")
        handle.write("@@SEQUENCEID\tBINID" + ("\tLENGTH\n" if lengths is not None else "\n"))
        for contig, name in assignments.items():
            handle.write(f"{contig}\t{name}" + (f"\t{lengths[contig]}\n" if lengths is not None else "\n"))

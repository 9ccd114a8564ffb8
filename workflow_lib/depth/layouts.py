"""Layouts of depth tables, by their headers: this project's, MetaBAT's, CoverM's and those put together by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.tables import DEPTH_TABLE_COLUMNS, LENGTH_HEADER, VARIANCE_SUFFIX

_METABAT_KEYS = ("contigName", "contigLen", "totalAvgDepth")
_COVERM_KEY = "Contig"
_LENGTH = re.compile(LENGTH_HEADER, re.IGNORECASE)
# Of columns that hold something else than mean coverage, in tables put together by hand or by other programs.
_NO_DEPTH = re.compile(
    r"(ref[ _.-]?)?gc([ _.-]?(content|percent|%))?|(n|num|no)?[ _.-]?reads?|(n|num|read|reads|mapped)?[ _.-]?counts?|"
    r"cov(ered)?[ _.-]?(bases|bp|fraction|percent|length)|breadth|start(pos)?|end(pos)?|mean[ _.-]?(baseq|mapq)|"
    r"std(ev|dev)?|sd|var(iance)?",
    re.IGNORECASE,
)
# Of the column whose name is before.
_DEVIATION = re.compile(r"(.+)[ _.-](std(ev|dev)?|sd|var|variance)", re.IGNORECASE)
_NO_LIBRARY = (
    "take the column out of the table; if it holds the variance of a library, call it as that with -var behind; if it "
    "is a library, give it another name"
)
_COVERM_MEAN, _COVERM_TRIMMED, _COVERM_VARIANCE = " Mean", " Trimmed Mean", " Variance"


@dataclass(frozen=True)
class Layout:
    """Places of fields: of the length (None: nowhere), and (label, mean, variance or None) of each library."""

    length: int | None
    libraries: list[tuple[str, int, int | None]]


def read_layout(header: list[str], path: str | Path) -> Layout:
    """What the columns of a table hold, by its header.

    Raises
    ------
    InputError
        when it is of no layout that is known, or a column is no mean coverage by its name.
    """
    if header[0] == _COVERM_KEY:
        libraries = _coverm_libraries(header)
        layout = Layout(None, libraries)
    elif header[0] in (DEPTH_TABLE_COLUMNS[0], _METABAT_KEYS[0]):
        keys = DEPTH_TABLE_COLUMNS + _METABAT_KEYS
        length = next((i for i, name in enumerate(header) if _LENGTH.fullmatch(name) or name == _METABAT_KEYS[1]), None)
        means = [
            name for i, name in enumerate(header) if name not in keys and i != length and not _is_variance(name, header)
        ]
        _check_names(means, path)
        variances = {name: header.index(name + VARIANCE_SUFFIX) for name in means if name + VARIANCE_SUFFIX in header}
        layout = Layout(length, [(name, header.index(name), variances.get(name)) for name in means])
    else:
        layout = Layout(None, [])
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


def _check_names(means: list[str], path: str | Path) -> None:
    """Refuse columns that are no depth by their name; what has another's name with an ending is something of it."""
    for name in means:
        deviation = _DEVIATION.fullmatch(name)
        if _NO_DEPTH.fullmatch(name) or _LENGTH.fullmatch(name) or (deviation and deviation[1] in means):
            raise InputError(
                f"column {name} is not the mean coverage of a library", path=path, line=1, remedy=_NO_LIBRARY
            )


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


def name_columns(layout: Layout, library: str, path: str | Path) -> list[str]:
    """The library's name where the table has one library, else with each column's behind it.

    Raises
    ------
    InputError
        when two columns would have one name.
    """
    labels = [label for label, _, _ in layout.libraries]
    if len(labels) == 1:
        return [library]
    columns = [f"{library}.{re.sub(r'[^A-Za-z0-9._-]+', '_', label.removesuffix('.bam'))}" for label in labels]
    if len(set(columns)) < len(columns):
        shown = ", ".join(labels)
        raise InputError(f"several columns have the same name: {shown}", path=path, line=1, remedy="rename them")
    return columns

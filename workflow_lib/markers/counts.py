"""Counts of marker genes: a contig, a bin, and what they say of a bin's completeness and contamination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.quality import Quality

_REMEDY = "delete it and run again: find_markers writes it anew"


@dataclass(frozen=True)
class MarkerCounts:
    """Marker genes of n contigs.

    Attributes
    ----------
    families : names of the m families.
    counts : uint8 (n, m) genes of a family on a contig.
    """

    families: list[str]
    counts: np.ndarray

    def __post_init__(self) -> None:
        if self.counts.ndim != 2 or self.counts.shape[1] != len(self.families):
            raise InputError(
                f"counts {self.counts.shape} of {len(self.families)} families, expected (contigs, families)"
            )


def read_counts(genes_table: str | Path, families_table: str | Path, contigs: Sequence[str]) -> MarkerCounts:
    """Read the tables of `genes.find_markers`; the rows are those of `contigs`.

    Raises
    ------
    InputError
        when a contig or family is not known.
    """
    families = [fields[0] for fields in _rows(families_table, "marker")]
    row_of = {name: row for row, name in enumerate(contigs)}
    column_of = {name: column for column, name in enumerate(families)}
    counts = np.zeros((len(contigs), len(families)), dtype=np.uint8)
    for contig, marker, *_ in _rows(genes_table, "contig"):
        if contig not in row_of or marker not in column_of:
            raise InputError(f"contig {contig!r} or family {marker!r} is not known", path=genes_table, remedy=_REMEDY)
        at = row_of[contig], column_of[marker]
        counts[at] = min(int(counts[at]) + 1, 255)
    return MarkerCounts(families, counts)


def _rows(path: str | Path, first: str) -> list[list[str]]:
    header, *lines = Path(path).read_text(encoding="utf-8").rstrip("\n").split("\n")
    if header.split("\t")[0] != first:
        raise InputError(f"found {header!r}, expected a column {first}", path=path, line=1, remedy=_REMEDY)
    return [line.split("\t") for line in lines]


def marker_quality(counts: np.ndarray) -> Quality:
    """Completeness and contamination of contigs that are taken for one genome.

    Parameters
    ----------
    counts : uint8 (n, m) genes of single-copy families on its contigs; m at least 1.

    Returns
    -------
    Completeness: share of the families that are there. Contamination: genes beyond the first of a family, over the
    number of families.
    """
    total = counts.sum(axis=0, dtype=np.int64)
    return Quality(float(np.mean(total > 0)), float(np.maximum(total - 1, 0).sum() / len(total)))


def write_marker_quality(
    path: str | Path, markers: MarkerCounts, contigs: Sequence[str], assignments: dict[str, str]
) -> None:
    """Write markers/{sample}/bins.tsv: a row a bin, by name as in `assignments` (contig -> bin).

    Raises
    ------
    InputError
        when a contig of a bin is not among `contigs`.
    """
    row_of = {name: row for row, name in enumerate(contigs)}
    rows: dict[str, list[int]] = {}
    for contig, name in assignments.items():
        if contig not in row_of:
            raise InputError(f"contig {contig!r} of bin {name!r} has not been searched for markers", remedy=_REMEDY)
        rows.setdefault(name, []).append(row_of[contig])
    with atomic_open(path) as handle:
        handle.write("bin\tfamilies\tfound\tdoubled\tcompleteness\tcontamination\n")
        for name, members in sorted(rows.items(), key=lambda row: (len(row[0]), row[0])):  # bin.2 before bin.10
            total = markers.counts[members].sum(axis=0, dtype=np.int64)
            quality = marker_quality(markers.counts[members])
            numbers = f"{len(total)}\t{np.count_nonzero(total)}\t{np.count_nonzero(total > 1)}"
            handle.write(f"{name}\t{numbers}\t{quality.completeness:.6g}\t{quality.contamination:.6g}\n")

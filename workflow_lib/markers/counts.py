"""Counts of marker genes: a contig, a bin, and what they say of a bin's completeness and contamination."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.markers.domains import is_archaeal
from workflow_lib.quality import Quality

logger = logging.getLogger(__name__)

_LEAST_FOUND = 0.1  # share of the families, from which completeness and contamination are told
_GENE_COLUMNS = ("contig", "marker", "start", "end", "strand", "score")
_FAMILY_COLUMNS = ("marker", "cutoff", "value", "in_archaea")
_WORDS = {True: "yes", False: "no", None: ""}
_REMEDY = "delete it and run again: find_markers writes it anew"


@dataclass(frozen=True)
class MarkerCounts:
    """Marker genes of n contigs.

    Attributes
    ----------
    families : names of the m families.
    counts : uint8 (n, m) genes of a family on a contig.
    archaeal : bool (m,) families that archaea have; None where it is not known.
    """

    families: list[str]
    counts: np.ndarray
    archaeal: np.ndarray | None = None

    def __post_init__(self) -> None:
        m = len(self.families)
        if self.counts.ndim != 2 or self.counts.shape[1] != m:
            raise InputError(f"counts {self.counts.shape} of {m} families, expected (contigs, families)")
        if self.archaeal is not None and self.archaeal.shape != (m,):
            raise InputError(f"archaeal families {self.archaeal.shape} of {m}, expected (families,)")


@dataclass(frozen=True)
class MarkerGene:
    """A gene of a marker family: its contig, 1-based place and strand.

    Its score is in bits for the method hmm, in natural logarithms for kmers.
    """

    contig: str
    marker: str
    start: int
    end: int
    strand: str
    score: float


def write_marker_tables(
    genes: Iterable[MarkerGene],
    families: Iterable[tuple[str, str, float, bool | None]],
    *,
    genes_table: str | Path,
    families_table: str | Path,
) -> int:
    """Write a row a gene and a row a family, in that order; the number of genes.

    Parameters
    ----------
    families : name, kind of cutoff, its value, and whether archaea have it, None where that is not known.
    """
    started, n_genes = time.monotonic(), 0
    with atomic_open(genes_table) as handle:
        handle.write("\t".join(_GENE_COLUMNS) + "\n")
        for gene in genes:
            n_genes += 1
            place = f"{gene.start}\t{gene.end}\t{gene.strand}"
            handle.write(f"{gene.contig}\t{gene.marker}\t{place}\t{gene.score:.6g}\n")
    rows = [f"{name}\t{kind}\t{value:.6g}\t{_WORDS[in_archaea]}\n" for name, kind, value, in_archaea in families]
    with atomic_open(families_table) as handle:
        handle.write("\t".join(_FAMILY_COLUMNS) + "\n" + "".join(rows))
    logger.info("%d genes of %d families, %.1f s", n_genes, len(rows), time.monotonic() - started)
    return n_genes


def read_counts(genes_table: str | Path, families_table: str | Path, contigs: Sequence[str]) -> MarkerCounts:
    """Read the tables of `find.find_markers`; the rows are those of `contigs`.

    Raises
    ------
    InputError
        when a contig or family is not known, or a table is damaged.
    """
    rows = _rows(families_table, _FAMILY_COLUMNS)
    families, in_archaea = [row[0] for row in rows], [row[3] for row in rows]
    if not set(in_archaea) <= set(_WORDS.values()):
        raise InputError("found another word in in_archaea than yes and no", path=families_table, remedy=_REMEDY)
    row_of = {name: row for row, name in enumerate(contigs)}
    column_of = {name: column for column, name in enumerate(families)}
    counts = np.zeros((len(contigs), len(families)), dtype=np.uint8)
    for contig, marker, *_ in _rows(genes_table, _GENE_COLUMNS):
        if contig not in row_of or marker not in column_of:
            raise InputError(f"contig {contig!r} or family {marker!r} is not known", path=genes_table, remedy=_REMEDY)
        at = row_of[contig], column_of[marker]
        counts[at] = min(int(counts[at]) + 1, 255)
    archaeal = np.array([word == _WORDS[True] for word in in_archaea], dtype=bool) if all(in_archaea) else None
    return MarkerCounts(families, counts, archaeal)


def _rows(path: str | Path, columns: tuple[str, ...]) -> list[list[str]]:
    header, *lines = Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    if tuple(header.split("\t")) != columns:
        raise InputError(
            f"found {header!r}, expected the columns {', '.join(columns)}", path=path, line=1, remedy=_REMEDY
        )
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise InputError(
                f"found {len(row)} columns, expected {len(columns)}", path=path, line=number, remedy=_REMEDY
            )
    return rows


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

    With less than a tenth of the families nothing can be told of a bin (a virus, a plasmid, a clade that lacks them):
    its completeness and contamination are empty. Of a bin that is archaeal by its families (`domains.is_archaeal`) only
    those count that archaea have, and its domain is Archaea; of others it is empty.

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
        handle.write("bin\tdomain\tfamilies\tfound\tdoubled\tcompleteness\tcontamination\n")
        for name, members in sorted(rows.items(), key=lambda row: (len(row[0]), row[0])):  # bin.2 before bin.10
            counts, domain, shares = markers.counts[members], "", ("", "")
            if counts.any(axis=0).mean() >= _LEAST_FOUND:
                if markers.archaeal is not None and is_archaeal(counts.any(axis=0), markers.archaeal):
                    counts, domain = counts[:, markers.archaeal], "Archaea"
                quality = marker_quality(counts)
                shares = f"{quality.completeness:.6g}", f"{quality.contamination:.6g}"
            total = counts.sum(axis=0, dtype=np.int64)
            numbers = len(total), np.count_nonzero(total), np.count_nonzero(total > 1)
            handle.write("\t".join(map(str, (name, domain, *numbers, *shares))) + "\n")

"""What the bin stage reads: the filter's table, depth, halves of contigs, and facts of the sequences."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.bin.fuse import Depth
from workflow_lib.bin.metric import Pieces
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta
from workflow_lib.store import EmbeddingStore
from workflow_lib.tables import VARIANCE_SUFFIX

REMEDY = "delete it and run again: the stage that makes it writes it anew"


@dataclass(frozen=True)
class ContigStatus:
    """One row of contigs/{sample}/status.tsv: an input record and what the filter made of it."""

    contig: str
    length: int
    status: str
    reason: str


def read_status(path: str | Path) -> list[ContigStatus]:
    """Read the filter's table of all input contigs, in input order."""
    rows = _read_rows(path, ["contig", "length", "status", "reason"])
    return [ContigStatus(contig, int(length), status, reason) for contig, length, status, reason in rows]


def read_depth(path: str | Path, store: EmbeddingStore) -> Depth:
    """Read depth.tsv (contig, length, then <library> and <library>-var); its contigs must be those of the store.

    Raises
    ------
    InputError
        when contigs differ from the store's, a library lacks its variance, or a value is no number.
    """
    import pandas as pd

    # Contigs may be called "NA" or begin with a quotation mark; the depth stage leaves empty what it does not know.
    table = pd.read_csv(
        path, sep="\t", dtype={"contig": str}, keep_default_na=False, na_values=[""], quoting=csv.QUOTE_NONE
    )
    names = [str(column) for column in table.columns]
    if names[:2] != ["contig", "length"]:
        raise InputError(f"found columns {names[:2]}, expected contig, length", path=path, line=1, remedy=REMEDY)
    store.check_names(table["contig"].tolist(), str(path))
    libraries = names[2::2]
    if names[3::2] != [name + VARIANCE_SUFFIX for name in libraries]:
        raise InputError(
            f"found columns {names[2:]}, expected <library> and <library>{VARIANCE_SUFFIX} in turn",
            path=path,
            line=1,
            remedy=REMEDY,
        )
    try:
        values = table[names[2:]].to_numpy(dtype=np.float64)
    except ValueError as error:
        raise InputError(f"found a depth that is no number ({error})", path=path, remedy=REMEDY) from error
    return Depth(libraries, values[:, 0::2], values[:, 1::2])


def read_pieces(path: str | Path) -> Pieces:
    """Read the halves of contigs that the embed stage wrote."""
    with np.load(path) as arrays:
        return Pieces(arrays["rows"], arrays["lengths"], arrays["vectors"])


def read_sequence_facts(path: str | Path, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Length (int64, bp) and count of G and C and of A, C, G and T (int64 (n, 2)) of the contigs of a FASTA file.

    Raises
    ------
    InputError
        when its records are not `names`, in that order.
    """
    lengths = np.zeros(len(names), dtype=np.int64)
    bases = np.zeros((len(names), 2), dtype=np.int64)
    row = -1
    for row, record in enumerate(read_fasta(path)):
        if row >= len(names) or record.name != names[row]:
            raise InputError(
                f"found contig {record.name!r}, expected {names[row] if row < len(names) else 'no further one'!r}",
                path=path,
                line=record.line,
                remedy="contigs and embeddings must come from the same run: delete the older of the two and run again",
            )
        lengths[row] = len(record.sequence)
        codes = np.frombuffer(record.sequence, dtype=np.uint8)  # bytes.count is slow for what there is much of
        a, c, g, t = (np.count_nonzero(codes == ord(letter)) for letter in "ACGT")
        bases[row] = g + c, a + c + g + t
    if row + 1 != len(names):
        raise InputError(f"found {row + 1} contigs, the embeddings have {len(names)}", path=path, remedy=REMEDY)
    return lengths, bases


def gc_content(bases: np.ndarray) -> np.ndarray:
    """Share of G and C, float64 (n,), from the counts of `read_sequence_facts`; NaN where there is no A, C, G or T."""
    return np.divide(bases[:, 0], bases[:, 1], out=np.full(len(bases), np.nan), where=bases[:, 1] > 0)


def _read_rows(path: str | Path, columns: list[str]) -> list[list[str]]:
    lines = Path(path).read_bytes().decode().rstrip("\n").split("\n")
    if lines[0].split("\t") != columns:
        raise InputError(f"found {lines[0]!r}, expected {', '.join(columns)}", path=path, line=1, remedy=REMEDY)
    rows = [line.split("\t") for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise InputError(f"{len(row)} fields, expected {len(columns)}", path=path, line=number, remedy=REMEDY)
    return rows

"""Cuts of long contigs: pieces of one length that stand for contigs longer than what calibrates novelty calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.fasta import mostly_n, read_fasta
from workflow_lib.files import atomic_path

CUTS_NAME = "cuts.npz"
LONG = 50_000  # bp from which on a contig is cut, and up to which calibration pieces are long
# bp; the mean of 1 / length of pieces of 20 to 50 kbp, log-uniform, is that of 30.5 kbp, and so is their noise.
CUT_LENGTH = 30_500
N_CUTS = 8  # of a contig at most: as many as a bin has pieces of one length


@dataclass(frozen=True)
class Cuts:
    """p cuts of long contigs.

    Attributes
    ----------
    rows : int64 (p,), ascending: the contig of each, as its row in a store.
    starts : int64 (p,), where it begins in the contig (0-based, ascending in a contig); each has `CUT_LENGTH` bp.
    vectors : float32 (p, d), unit rows; zeros: nothing to embed.
    """

    rows: np.ndarray
    starts: np.ndarray
    vectors: np.ndarray


def place_cuts(length: int) -> list[int]:
    """Where the cuts of a contig begin: each in the middle of one of as many even parts; none below `LONG` bp."""
    n = min(N_CUTS, length // CUT_LENGTH) if length >= LONG else 0
    return [((2 * i + 1) * length // n - CUT_LENGTH) // 2 for i in range(n)]


def cut_contigs(fasta: str | Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield (row of the contig, start, sequence) of every cut of a FASTA file's contigs, in order; none is mostly N."""
    for row, record in enumerate(read_fasta(fasta)):
        for start in place_cuts(len(record.sequence)):
            cut = record.sequence[start : start + CUT_LENGTH]
            if not mostly_n(cut):
                yield row, start, cut


def write_cuts(path: Path, cuts: Cuts) -> None:
    """Write cuts as .npz, atomically."""
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, rows=cuts.rows, starts=cuts.starts, vectors=cuts.vectors)


def read_cuts(folder: str | Path) -> Cuts:
    """Read the cuts beside a store (whose manifest has their checksum)."""
    with np.load(Path(folder) / CUTS_NAME, allow_pickle=False) as arrays:
        return Cuts(arrays["rows"], arrays["starts"], arrays["vectors"])

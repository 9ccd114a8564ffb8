"""What the review writes: verdicts on contigs, on bins, and pairs of bins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.bin.groups import rows_of_bins
from workflow_lib.bin.inputs import ContigStatus
from workflow_lib.files import atomic_open
from workflow_lib.review.contigs import MIN_BIN_CONTIGS, MISPLACED, NOT_JUDGED, OUTLIER, ContigVerdicts
from workflow_lib.review.genomes import BinVerdicts

_CONTIG_COLUMNS = (
    "contig", "length", "bin", "verdict", "p", "distance", "expected", "other_bin", "other_distance", "part", "reason",
)  # fmt: skip
BIN_COLUMNS = (
    "bin", "n_contigs", "length_bp", "judged", "misplaced", "misplaced_bp", "outliers", "outlier_bp", "verdict",
    "p_split", "parts_distance", "part_2_contigs", "part_2_bp",
)  # fmt: skip


@dataclass(frozen=True)
class Review:
    """Verdicts with the names of what they are about.

    Attributes
    ----------
    status : a row an input contig, from the filter.
    given : contig -> bin, as given.
    contigs : names of the n contigs that passed the filter.
    bins : names of the b bins.
    labels, lengths : int64 (n,) bin of a contig, -1: none; bp.
    of_contigs, of_bins : the verdicts.
    """

    status: list[ContigStatus]
    given: dict[str, str]
    contigs: list[str]
    bins: list[str]
    labels: np.ndarray
    lengths: np.ndarray
    of_contigs: ContigVerdicts
    of_bins: BinVerdicts


def write_review(review: Review, *, contigs: str | Path, bins: str | Path, merges: str | Path) -> None:
    """Write the three tables; every contig of the given bins has a row, in the order of the assembly."""
    _write(contigs, _CONTIG_COLUMNS, _contig_rows(review))
    _write(bins, BIN_COLUMNS, _bin_rows(review))
    total = np.bincount(review.labels[review.labels >= 0], review.lengths[review.labels >= 0], len(review.bins))
    found, limit = review.of_bins.merges, review.of_bins.limit
    rows = [(review.bins[a], review.bins[b], int(total[a]), int(total[b]), distance, limit) for a, b, distance in found]
    _write(merges, ("bin_1", "bin_2", "length_1", "length_2", "distance", "limit"), rows)


def _contig_rows(review: Review) -> list[tuple]:
    found = review.of_contigs
    row_of = {name: row for row, name in enumerate(review.contigs)}
    rows, written = [], set()
    for entry in review.status:
        name = review.given.get(entry.contig)
        if name is None or entry.contig in written:
            continue
        written.add(entry.contig)
        row = row_of.get(entry.contig)
        if row is None:
            rows.append((entry.contig, entry.length, name, NOT_JUDGED, "", "", "", "", "", "", entry.reason))
            continue
        verdict, other = found.verdicts[row], found.other_bins[row]
        judged = verdict != NOT_JUDGED
        part = review.of_bins.parts[row] if review.of_bins.split[review.labels[row]] else ""
        rows.append(
            (
                entry.contig, entry.length, name, verdict, found.p_values[row], found.distances[row],
                found.expected[row], review.bins[other] if judged and other >= 0 else "",
                found.other_distances[row] if judged else "", part, "" if judged else _too_few(),
            )
        )  # fmt: skip
    return rows


def _too_few() -> str:
    return f"its bin has fewer than {MIN_BIN_CONTIGS} contigs to compare, or the sample too few such bins"


def _bin_rows(review: Review) -> list[tuple]:
    found, verdicts = review.of_bins, review.of_contigs.verdicts
    rows, members_of = [], rows_of_bins(review.labels, len(review.bins))
    for label, (name, members) in enumerate(zip(review.bins, members_of, strict=True)):
        misplaced, outliers = members[verdicts[members] == MISPLACED], members[verdicts[members] == OUTLIER]
        second, judged = members[found.parts[members] == 2], members[verdicts[members] != NOT_JUDGED]
        verdict = "split" if found.split[label] else NOT_JUDGED if np.isnan(found.p_values[label]) else "one_genome"
        bp = [int(review.lengths[chosen].sum()) for chosen in (members, misplaced, outliers, second)]
        strays = (len(misplaced), bp[1], len(outliers), bp[2]) if len(judged) else ("", "", "", "")
        rows.append(
            (
                name, len(members), bp[0], len(judged), *strays, verdict, found.p_values[label],
                found.distances[label], len(second) if found.split[label] else "",
                bp[3] if found.split[label] else "",
            )
        )  # fmt: skip
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def _write(path: str | Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    with atomic_open(path) as handle:
        handle.write("\t".join(columns) + "\n")
        handle.writelines("\t".join(map(_field, row)) + "\n" for row in rows)


def _field(value: object) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.6g}"
    return str(value)

"""Which contigs are binned: a status and a reason for every record of the input, and the kept ones as FASTA."""

from __future__ import annotations

import csv
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.fasta import Record, format_record, read_fasta
from workflow_lib.files import atomic_gzip, atomic_open

KEPT, TOO_SHORT, N_RICH, DUPLICATE_NAME = "kept", "too_short", "n_rich", "duplicate_name"
STATUSES = (KEPT, TOO_SHORT, N_RICH, DUPLICATE_NAME)
STATUS_COLUMNS = ("contig", "length", "status", "reason")
_SHOWN_NAMES = 5  # names that a warning spells out
logger = logging.getLogger(__name__)


@dataclass
class FilterSummary:
    """How many records got which status, and their base pairs.

    `contigs` and `bp` have the keys of STATUSES; `duplicates` are the first few repeated names.
    """

    contigs: Counter = field(default_factory=Counter)
    bp: Counter = field(default_factory=Counter)
    duplicates: list[str] = field(default_factory=list)

    def add(self, record: Record, status: str) -> None:
        """Count one record."""
        self.contigs[status] += 1
        self.bp[status] += len(record.sequence)
        if status == DUPLICATE_NAME and len(self.duplicates) < _SHOWN_NAMES and record.name not in self.duplicates:
            self.duplicates.append(record.name)


def filter_contigs(
    fasta: str | Path,
    out_fasta: str | Path,
    out_status: str | Path,
    *,
    min_length: int,
    max_n_fraction: float,
) -> FilterSummary:
    """Write the contigs that are fit to be binned, and a status for every record of the input.

    A record is a duplicate if an earlier one has its name (up to the first blank); else too short below `min_length`
    bp; else rich in N if the share of N is above `max_n_fraction`; else kept. Memory is bounded by the longest record
    and the names.

    Parameters
    ----------
    fasta : contigs (plain, .gz or .bgz).
    out_fasta : kept contigs, gzip FASTA, upper case, in input order.
    out_status : TSV of STATUS_COLUMNS, a row an input record, in input order.
    min_length : bp; an empty record is too short whatever this is.
    max_n_fraction : share of N, 0 to 1; other IUPAC codes do not count.

    Raises
    ------
    InputError
        when the file cannot be read as FASTA; then neither output is written.
    """
    start = time.monotonic()
    summary, seen = FilterSummary(), {}
    # The FASTA is renamed into place last, when the status table is whole.
    with atomic_gzip(out_fasta) as contigs, atomic_open(out_status) as handle:
        table = csv.writer(handle, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        table.writerow(STATUS_COLUMNS)
        for record in read_fasta(fasta):
            status, reason = _judge(record, seen, min_length, max_n_fraction)
            seen.setdefault(record.name, record.line)
            summary.add(record, status)
            table.writerow((record.name, len(record.sequence), status, reason))
            if status == KEPT:
                contigs.write(format_record(record.name, record.sequence))
    _log_summary(summary, fasta, time.monotonic() - start)
    return summary


def _judge(record: Record, seen: dict[str, int], min_length: int, max_n_fraction: float) -> tuple[str, str]:
    length = len(record.sequence)
    if record.name in seen:
        return DUPLICATE_NAME, f"the name stands in line {seen[record.name]} already; only that record is used"
    if not length:
        return TOO_SHORT, "empty record"
    if length < min_length:
        return TOO_SHORT, f"{length:,} bp, shorter than {min_length:,} bp"
    n_fraction = record.sequence.count(b"N") / length
    if n_fraction > max_n_fraction:
        return N_RICH, f"{n_fraction:.1%} N, more than {max_n_fraction:.1%}"
    return KEPT, ""


def _log_summary(summary: FilterSummary, fasta: str | Path, seconds: float) -> None:
    total = summary.contigs.total()
    if not total:
        logger.warning("%s: no contigs in this file; every later table of this sample will be empty", fasta)
        return
    counts = ", ".join(
        f"{status} {summary.contigs[status]:,} ({summary.bp[status]:,} bp)"
        for status in STATUSES
        if summary.contigs[status]
    )
    logger.info("%s: %s contigs in %.1f s: %s", fasta, f"{total:,}", seconds, counts)
    if not summary.contigs[KEPT]:
        logger.warning("%s: no contig passes the filter; every later table of this sample will be empty", fasta)
    if summary.duplicates:
        logger.warning(
            "%s: %s records (%s bp) repeat the name of an earlier one and are not used, among them: %s. A name ends at "
            "the first blank: where names differ only behind it, replace the blanks",
            fasta,
            f"{summary.contigs[DUPLICATE_NAME]:,}",
            f"{summary.bp[DUPLICATE_NAME]:,}",
            ", ".join(summary.duplicates),
        )


def read_kept_contigs(status: str | Path) -> tuple[list[str], list[int]]:
    """Names and lengths (bp) of the kept contigs of a status table, in the order of contigs.fa.gz.

    Raises
    ------
    InputError
        when the table is no status table.
    """
    names, lengths = [], []
    with open(status, encoding="utf-8", newline="") as handle:
        rows = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        if tuple(next(rows, ())) != STATUS_COLUMNS:
            raise InputError(f"not a status table: its header is not {', '.join(STATUS_COLUMNS)}", path=status, line=1)
        for name, length, kind, _ in rows:
            if kind == KEPT:
                names.append(name)
                lengths.append(int(length))
    return names, lengths

"""The contigs that reads are mapped to: all of the assembly, not the kept ones alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from workflow_lib.fasta import read_fasta, write_fasta

logger = logging.getLogger(__name__)


def write_reference(assembly: str | Path, out: str | Path) -> int:
    """Write every contig of an assembly that reads can be mapped to, as gzip FASTA; return how many.

    These are the records with a sequence and a name that no earlier record has, short ones too: a read of a contig that
    is not binned would otherwise be mapped to a similar one that is, and raise its depth. Memory is bounded by the
    longest record and the names.

    Raises
    ------
    InputError
        when the file cannot be read as FASTA.
    """
    count = write_fasta(out, _usable_records(assembly))
    logger.info("%s: reads will be mapped to %s contigs", assembly, f"{count:,}")
    return count


def _usable_records(assembly: str | Path) -> Iterator[tuple[str, bytes]]:
    seen = set()
    for record in read_fasta(assembly):
        if record.name not in seen and record.sequence:
            yield record.name, record.sequence
        seen.add(record.name)

"""One FASTA file a bin."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from workflow_lib.contig2bin import read_bins
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.files import atomic_path

logger = logging.getLogger(__name__)

_BATCH_BP = 500_000_000  # sequence of bins held at a time while their files are written


def write_bin_fasta(folder: str | Path, contigs: str | Path, contig2bin: str | Path) -> int:
    """Write the contigs of every bin to {folder}/{bin}.fa.gz, in the order of `contigs`; return the number of bins.

    The folder appears whole or not at all. The FASTA file is read once for every 500 Mbp in bins.

    Raises
    ------
    InputError
        when a contig of `contig2bin` is not in `contigs`.
    """
    assignments = read_bins(contig2bin)
    total: dict[str, int] = dict.fromkeys(assignments.values(), 0)
    missing = set(assignments)
    for record in read_fasta(contigs):
        if name := assignments.get(record.name):
            total[name] += len(record.sequence)
            missing.discard(record.name)
    if missing:
        raise InputError(
            f"lacks the contigs {sorted(missing)[:3]} of {contig2bin}",
            path=contigs,
            remedy="both must come from the same run: delete them and run again",
        )
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for batch in _batches(total):
            records: dict[str, list] = {name: [] for name in batch}
            for record in read_fasta(contigs):
                name = assignments.get(record.name)
                if name in records:
                    records[name].append((record.name, record.sequence))
            for name, members in records.items():
                write_fasta(temporary / f"{name}.fa.gz", members)
    logger.info("%d bins written to %s", len(total), folder)
    return len(total)


def _batches(total: dict[str, int]) -> Iterator[list[str]]:
    batch, held = [], 0
    for name, n_bp in total.items():
        if batch and held + n_bp > _BATCH_BP:
            yield batch
            batch, held = [], 0
        batch.append(name)
        held += n_bp
    if batch:
        yield batch

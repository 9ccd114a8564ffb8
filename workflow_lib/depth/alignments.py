"""Sorted BAM and CRAM files: opening them, matching their contigs, and the reference that CRAM needs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pysam

from workflow_lib.depth import OF_ONE_ASSEMBLY
from workflow_lib.errors import InputError
from workflow_lib.fasta import format_record, read_fasta
from workflow_lib.files import scratch_folder

_CRAM_MAGIC = b"CRAM"
_SHOWN = 5  # contigs that an error spells out
logger = logging.getLogger(__name__)


@contextmanager
def open_alignments(path: str | Path, reference: str | None) -> Iterator[pysam.AlignmentFile]:
    """Open BAM or CRAM for reading; whatever pysam raises, here or inside the block, becomes an InputError."""
    try:
        with pysam.AlignmentFile(str(path), reference_filename=reference, check_sq=False) as handle:
            if not (handle.is_bam or handle.is_cram):
                raise InputError(
                    "this is SAM text, BAM or CRAM was expected",
                    path=path,
                    remedy=f"samtools sort -o sorted.bam {path}",
                )
            yield handle
    except FileNotFoundError as error:
        raise InputError("no such file", path=path, remedy="correct its path in the libraries table") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"cannot be read as BAM or CRAM to its end ({error})",
            path=path,
            remedy="`samtools quickcheck -v FILE` tells whether it is whole; copy it again or repeat the mapping",
        ) from error


def has_index(path: str | Path) -> bool:
    """Whether there is an index (.bai, .csi, .crai) beside the file that is not older than it."""
    path = Path(path)
    places = [path.with_name(path.name + suffix) for suffix in (".bai", ".csi", ".crai")]
    places += [path.with_suffix(suffix) for suffix in (".bai", ".csi", ".crai")]
    return any(place.is_file() and place.stat().st_mtime >= path.stat().st_mtime for place in places)


def match_contigs(handle: pysam.AlignmentFile, path: str | Path, names: list[str], lengths: list[int]) -> np.ndarray:
    """Row of each contig of the header, -1 where it is not asked for: int64 (contigs of the file,).

    Names of the header count up to the first blank.

    Raises
    ------
    InputError
        when a contig that is asked for is not in the header, or has another length there; it names the first few.
    """
    found, file_lengths, faults = {}, handle.lengths, []
    for number, name in enumerate(handle.references):
        found.setdefault(name.split()[0], number)
    for name, length in zip(names, lengths, strict=True):
        number = found.get(name)
        if number is None:
            faults.append(f"{name} ({length:,} bp): not in the file")
        elif file_lengths[number] != length:
            faults.append(f"{name}: {length:,} bp in the assembly, {file_lengths[number]:,} bp in the file")
    if faults:
        shown = "; ".join(faults[:_SHOWN])
        raise InputError(
            f"made from another assembly: {len(faults):,} of {len(names):,} contigs do not agree: {shown}",
            path=path,
            remedy="map the reads to the contigs that the samples table names (filtered or not), and give that file; "
            f"{OF_ONE_ASSEMBLY}",
        )
    rows = np.full(handle.nreferences, -1, dtype=np.int64)
    for row, name in enumerate(names):
        rows[found[name]] = row
    return rows


@contextmanager
def indexed_reference(path: str | Path, assembly: str | Path | None) -> Iterator[str | None]:
    """Give an uncompressed, indexed copy of `assembly` for a CRAM file, removed at the end; None for any other file.

    The contigs of the file alone are copied; each must be in the assembly with the same length, or htslib would look
    for it on the network.

    Raises
    ------
    InputError
        when a CRAM file comes without an assembly or with another one.
    """
    if not _is_cram(path):
        yield None
        return
    if assembly is None:
        raise InputError("a CRAM file cannot be read without the assembly", path=path, remedy="give a BAM file")
    with scratch_folder() as folder:
        fasta = folder / "reference.fa"
        _copy_contigs(path, assembly, fasta)
        if fasta.stat().st_size:
            pysam.faidx(str(fasta))
        yield str(fasta)


def _is_cram(path: str | Path) -> bool:
    try:
        with open(path, "rb") as handle:
            return handle.read(len(_CRAM_MAGIC)) == _CRAM_MAGIC
    except FileNotFoundError:
        return False  # open_alignments says so


def _copy_contigs(path: str | Path, assembly: str | Path, fasta: Path) -> None:
    with open_alignments(path, None) as handle:
        contigs = zip(handle.references, handle.lengths, strict=True)
        missing = {name.split()[0]: length for name, length in contigs}
    with open(fasta, "wb") as out:
        for record in read_fasta(assembly):
            if missing.get(record.name) == len(record.sequence):
                out.write(format_record(record.name, record.sequence))
                del missing[record.name]
    if missing:
        shown = ", ".join(f"{name} ({length:,} bp)" for name, length in list(missing.items())[:_SHOWN])
        raise InputError(
            f"made from another assembly: {len(missing):,} of its contigs are not in {assembly} with their length: "
            f"{shown}",
            path=path,
            remedy="name in the samples table the assembly that the reads were mapped to, or give a BAM file; "
            f"{OF_ONE_ASSEMBLY}",
        )
    logger.info("%s: reference copied from %s", path, assembly)

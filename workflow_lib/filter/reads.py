"""Whether read files are whole FASTQ: the tools that filter reads cut a damaged file short without an error."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.fasta import GZIP_MAGIC, read_blocks
from workflow_lib.files import atomic_open

READS_COLUMNS = ("file", "reads")
_LINES_A_READ = 4
_HEAD = 1 << 20  # bytes at the start of a file that are looked at line by line
logger = logging.getLogger(__name__)


def count_reads(path: str | Path) -> int:
    """Number of reads of a FASTQ file (plain or gzip, LF or CRLF), every byte of which is read.

    Raises
    ------
    InputError
        when the gzip data are cut short or damaged, the name does not tell whether it is gzip, it is no FASTQ of four
        lines a read, or a read is incomplete.
    """
    lines, ending, head = 0, b"", b""
    for block in read_blocks(path):
        if len(head) < _HEAD:
            head += block[:_HEAD]
        block = ending + block
        text = block.rstrip(b"\r\n")
        lines += text.count(b"\n")
        ending = block[len(text) :]
    if not head.strip():
        return 0
    _check_name(path)
    _check_first_read(head, path)
    lines += 1  # the last one, of which `ending` holds the line end
    if lines % _LINES_A_READ == _LINES_A_READ - 1 and ending.count(b"\n") > 1:
        lines += 1  # the last read has no bases: its quality is an empty line
    if lines % _LINES_A_READ:
        raise InputError(
            f"found {lines:,} lines, expected four a read: the last read is incomplete, or a read has other than four",
            path=path,
            line=lines,
            remedy="copy or download the file again; write wrapped sequences in one line",
        )
    return lines // _LINES_A_READ


def _check_name(path: str | Path) -> None:
    """Refuse gzip data without .gz and other data with it: fastp goes by the name, and of the first reads nothing."""
    with open(path, "rb") as handle:
        is_gzip = handle.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if is_gzip != str(path).endswith(".gz"):
        found, expected = ("gzip data", "ending in .gz") if is_gzip else ("no gzip data", "without .gz at its end")
        raise InputError(
            f"found {found}, expected a name {expected}: the tools that filter reads go by the name",
            path=path,
            remedy="rename the file, or make a link with the right name, and correct the libraries table",
        )


def _check_first_read(head: bytes, path: str | Path) -> None:
    lines = [line.rstrip(b"\r") for line in head.split(b"\n", _LINES_A_READ)]
    if not lines[0].startswith(b"@"):
        kind = "this looks like FASTA (it begins with '>')" if lines[0].startswith(b">") else f"found {lines[0][:20]!r}"
        raise InputError(
            f"{kind}, a FASTQ header that begins with '@' was expected",
            path=path,
            line=1,
            remedy="give reads with qualities (FASTQ, plain or .gz)",
        )
    if len(lines) > _LINES_A_READ or (len(lines) == _LINES_A_READ and len(head) < _HEAD):
        _, sequence, plus, quality = lines[:_LINES_A_READ]
        if not plus.startswith(b"+"):
            raise InputError(
                f"found {plus[:20]!r}, expected '+': a read has four lines",
                path=path,
                line=3,
                remedy="write wrapped sequences in one line",
            )
        if len(sequence) != len(quality):
            raise InputError(f"{len(sequence)} bases but {len(quality)} qualities", path=path, line=4)


def check_reads(paths: list[str], out_table: str | Path) -> list[int]:
    """Count the reads of a library's files and write a TSV of READS_COLUMNS, a row a file.

    Parameters
    ----------
    paths : one file, or the two of a paired library, whose counts must agree.
    out_table : TSV file, reads.

    Raises
    ------
    InputError
        when a file is damaged or no FASTQ, or the two files of a pair differ in their number of reads.
    """
    start = time.monotonic()
    with ThreadPoolExecutor(len(paths)) as pool:
        counts = list(pool.map(count_reads, paths))
    if len(set(counts)) > 1:
        found = " but ".join(f"{count:,} reads in {path}" for path, count in zip(paths, counts, strict=True))
        raise InputError(
            f"the two files of a pair differ: {found}",
            path=paths[0],
            remedy="give the files of one sequencing run, both whole and unsorted; reads without a mate belong into a "
            "library of their own",
        )
    if not counts[0]:
        logger.warning("%s: no reads in this library; its depth will be 0", ", ".join(paths))
    logger.info("%s reads in %s, counted in %.1f s", f"{counts[0]:,}", " and ".join(paths), time.monotonic() - start)
    with atomic_open(out_table) as handle:
        handle.write("\t".join(READS_COLUMNS) + "\n")
        handle.writelines(f"{path}\t{count}\n" for path, count in zip(paths, counts, strict=True))
    return counts

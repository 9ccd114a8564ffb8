"""Fast, strict FASTA reading (plain, gzip or bgzip; LF or CRLF) and deterministic writing."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_gzip

GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 22  # bytes read at a time
_LINE_WIDTH = 80
IUPAC = b"ACGTUNRYSWKMBDHV"
# Lower case to upper, RNA's U to T; what is no nucleotide code stays and is reported.
_NORMALISE = bytes.maketrans(b"acgtunryswkmbdhvU", b"ACGTTNRYSWKMBDHVT")
_BLANKS = b"\r\n \t"
_VALID = IUPAC.replace(b"U", b"")


class Record(NamedTuple):
    """One FASTA record: name up to the first blank, upper-case sequence, 1-based line of its header."""

    name: str
    sequence: bytes
    line: int


def open_input(path: str | Path) -> BinaryIO:
    """Open a plain or gzip file (told by its first bytes, not its name) for reading bytes.

    Users' files are read by `read_blocks` or `read_text`, which tell of damaged gzip data.
    """
    try:
        handle = open(path, "rb")  # noqa: SIM115 -- the caller closes it
    except FileNotFoundError as error:
        raise InputError("no such file", path=path, remedy="correct the path in the table that names it") from error
    except (PermissionError, IsADirectoryError) as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from error
    magic = handle.read(2)
    handle.seek(0)
    if magic != GZIP_MAGIC:
        return handle
    from isal import igzip

    return igzip.IGzipFile(fileobj=handle, mode="rb")


def read_blocks(path: str | Path) -> Iterator[bytes]:
    """Yield the bytes of a plain or gzip file in blocks of at most 4 MiB; damaged gzip data raise InputError."""
    from isal import igzip

    with open_input(path) as handle:
        while True:
            try:
                block = handle.read(_BLOCK)
            except (EOFError, zlib.error, igzip.BadGzipFile, igzip.isal_zlib.IsalError) as error:
                raise InputError(
                    f"the gzip data end early or are damaged ({error})",
                    path=path,
                    remedy="copy or download the file again; `gzip -t FILE` tells whether it is whole",
                ) from error
            if not block:
                return
            yield block


def read_text(path: str | Path) -> str:
    """The text of a plain or gzip file, without a byte order mark; errors as of `read_blocks`."""
    return b"".join(read_blocks(path)).decode("utf-8-sig", "replace")


def _raw_records(path: str | Path) -> Iterator[tuple[bytes, int]]:
    """Yield (record text without its '>', line of the header)."""
    pending, line, at_start = b"", 1, True
    for block in read_blocks(path):
        pending += block
        if at_start:
            stripped = pending.lstrip(b"\r\n")
            if not stripped:
                continue
            line += pending[: len(pending) - len(stripped)].count(b"\n")
            pending, at_start = stripped, False
            _check_first_byte(pending, path, line)
        start = 0
        while (end := pending.find(b"\n>", start)) >= 0:
            text = pending[start + 1 : end + 1]
            yield text, line
            line += text.count(b"\n")
            start = end + 1
        pending = pending[start:]
    if not at_start:
        yield pending[1:], line


def _check_first_byte(text: bytes, path: str | Path, line: int) -> None:
    if text[:1] == b"@":
        raise InputError(
            "this looks like FASTQ (it begins with '@'), FASTA was expected",
            path=path,
            line=line,
            remedy="name the assembled contigs here; reads belong into the libraries table",
        )
    if text[:1] != b">":
        raise InputError(
            f"found {text[:20]!r}, expected a FASTA header that begins with '>'",
            path=path,
            line=line,
            remedy="give a FASTA file (plain, .gz or .bgz)",
        )


def _bad_character(text: bytes, header_line: int, path: str | Path) -> InputError:
    for offset, row in enumerate(text.split(b"\n")[1:], start=1):
        bad = row.translate(_NORMALISE, _BLANKS).translate(None, _VALID)
        if bad:
            return InputError(
                f"found {chr(bad[0])!r} in a sequence, expected nucleotide codes ({IUPAC.decode()})",
                path=path,
                line=header_line + offset,
                remedy="remove gaps, protein sequences and other characters",
            )
    raise AssertionError("no bad character found")


def read_fasta(path: str | Path) -> Iterator[Record]:
    """Yield the records of a FASTA file.

    Sequences come in upper case, U as T, blanks and line ends removed; IUPAC codes stay. An empty file yields nothing;
    an empty record yields an empty sequence. Memory is bounded by the longest record.

    Raises
    ------
    InputError
        with file and line: missing file, FASTQ or other text, a nameless record, a character that is no nucleotide
        code, truncated or damaged gzip data.
    """
    for text, line in _raw_records(path):
        header, _, body = text.partition(b"\n")
        fields = header.split(None, 1)
        if not fields or header[:1].isspace():
            raise InputError("a record without a name", path=path, line=line, remedy="give every record a unique name")
        sequence = body.translate(_NORMALISE, _BLANKS)
        if sequence.translate(None, _VALID):
            raise _bad_character(text, line, path)
        yield Record(fields[0].decode("utf-8", "replace"), sequence, line)


def batch_records(records: Iterable[Record], n_bp: int) -> Iterator[list[Record]]:
    """Yield the records in lists, each the shortest that has `n_bp` bp; the last one may have fewer."""
    batch: list[Record] = []
    held = 0
    for record in records:
        batch.append(record)
        held += len(record.sequence)
        if held >= n_bp:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def count_bases(sequence: bytes) -> int:
    """How many letters of a sequence are A, C, G or T, in either case."""
    return len(sequence) - len(sequence.translate(None, b"ACGTacgt"))


def mostly_n(sequence: bytes) -> bool:
    """Whether more than half of a sequence is N (an empty one is)."""
    return not sequence or sequence.count(b"N") > len(sequence) / 2


def write_fasta(path: str | Path, records: Iterable[tuple[str, bytes]]) -> int:
    """Write (name, sequence) pairs as gzip FASTA, 80 columns, atomically; return how many were written."""
    count = 0
    with atomic_gzip(path) as handle:
        for name, sequence in records:
            handle.write(format_record(name, sequence))
            count += 1
    return count


def format_record(name: str, sequence: bytes) -> bytes:
    """One record as FASTA text, 80 columns a line."""
    whole = len(sequence) - len(sequence) % _LINE_WIDTH
    lines = np.full((whole // _LINE_WIDTH, _LINE_WIDTH + 1), ord("\n"), dtype=np.uint8)
    lines[:, :-1] = np.frombuffer(sequence, dtype=np.uint8, count=whole).reshape(-1, _LINE_WIDTH)
    rest = sequence[whole:] + b"\n" if whole < len(sequence) else b""
    return b"".join((b">", name.encode(), b"\n", lines.data, rest))


_COMPLEMENT = bytes.maketrans(b"ACGTRYSWKMBDHVN", b"TGCAYRSWMKVHDBN")


def reverse_complement(sequence: bytes) -> bytes:
    """Reverse complement of an upper-case sequence, IUPAC codes included."""
    return sequence.translate(_COMPLEMENT)[::-1]


def smaller_strand(sequence: bytes) -> bytes:
    """The first by the alphabet of an upper-case sequence and its reverse complement: the same of both."""
    return min(sequence, reverse_complement(sequence))


def hash_sequences(sequences: Iterable[bytes]) -> str:
    """Hex SHA-256 of upper-case sequences, whatever their order and strands; a circle cut elsewhere has another."""
    hashes = sorted(hashlib.sha256(smaller_strand(sequence)).digest() for sequence in sequences)
    return hashlib.sha256(b"".join(hashes)).hexdigest()

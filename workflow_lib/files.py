"""Files that are either whole or absent: temporary names, fsync and rename; checksums; deterministic gzip."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from isal import igzip

GZIP_LEVEL = 2  # of igzip's 0-3: DNA gains little above it and costs twice the time
_BLOCK = 1 << 20


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that replaces it when the block ends without an error.

    The parent folder is made. On any error the temporary file or folder is removed and `path` is left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays, so that libraries that choose a format by the name keep working.
    temporary = path.with_name(f".{os.getpid()}.tmp.{path.name}")
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
        elif path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_open(path: str | Path, mode: str = "w") -> Iterator:
    """Open `path` for writing ("w" text UTF-8, "wb" bytes); it appears whole when the block ends, or not at all."""
    with atomic_path(path) as temporary:
        with open(temporary, mode, encoding=None if "b" in mode else "utf-8", newline=None if "b" in mode else "\n") as handle:
            yield handle


@contextmanager
def atomic_gzip(path: str | Path) -> Iterator[BinaryIO]:
    """Open a gzip file for writing bytes: the same content gives the same bytes (no time, no name in the header)."""
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as raw:
            with igzip.IGzipFile(filename="", fileobj=raw, mode="wb", compresslevel=GZIP_LEVEL, mtime=0) as handle:
                yield handle


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_lines(lines: list[str]) -> str:
    """Hex SHA-256 of a list of names, in order; the identity of a matrix's rows."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def scratch_folder(parent: str | Path | None = None) -> Iterator[Path]:
    """A temporary folder (under `parent`, or the system's) that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="novabin.", dir=parent) as folder:
        yield Path(folder)

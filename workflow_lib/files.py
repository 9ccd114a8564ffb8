"""Files that are either whole or absent: temporary names, fsync and rename; checksums; deterministic gzip."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from workflow_lib.errors import InputError

GZIP_LEVEL = 2  # of igzip's 0-3: DNA gains little above it and costs twice the time
_BLOCK = 1 << 20
_TRIES = 100  # to replace a folder that other processes replace
_TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.tmp\..+")  # names of `atomic_path`


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that replaces it when the block ends without an error.

    The parent folder is made. On any error the temporary file or folder is removed and `path` is left as it was. Of
    several processes that write one path the last one's is there, whole. A link to a folder stays: the folder is
    replaced.
    """
    path = Path(path)
    if path.is_symlink() and path.is_dir():
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
        if temporary.is_dir() and not path.is_file():
            _replace_folder(temporary, path)
        else:
            temporary.replace(path)
    except OSError as error:
        # A failed write does not know its file, or knows the temporary name only.
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _temporary_name(path: Path) -> Path:
    # The suffix stays, so that libraries that choose a format by the name keep working.
    # No process id: two machines, or two containers, can write to one folder under the same one.
    return path.with_name(f".{uuid4().hex[:12]}.tmp.{path.name}")


def _replace_folder(new: Path, path: Path) -> None:
    """Rename `new` to `path`, where a folder may be, which other processes may replace at the same time."""
    old = _temporary_name(path)
    for tries_left in reversed(range(_TRIES)):
        with suppress(FileNotFoundError):
            path.rename(old)
        try:
            new.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not tries_left:
                with suppress(OSError):
                    old.rename(path)
                raise
            shutil.rmtree(old, ignore_errors=True)  # another one stands there now
        else:
            shutil.rmtree(old, ignore_errors=True)
            return


def remove_temporaries(folder: str | Path) -> None:
    """Remove the files that writers who were killed left in a folder, into which nobody may be writing now."""
    if Path(folder).is_dir():
        for path in Path(folder).iterdir():
            if path.is_file() and _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


@contextmanager
def atomic_open(path: str | Path, mode: str = "w") -> Iterator:
    """Open `path` for writing ("w" text UTF-8, "wb" bytes); it appears whole when the block ends, or not at all."""
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with atomic_path(path) as temporary, open(temporary, mode, **text) as handle:
        yield handle


@contextmanager
def atomic_gzip(path: str | Path) -> Iterator[BinaryIO]:
    """Open a gzip file for writing bytes: the same writes give the same bytes (no time, no name in the header).

    It is packed by a thread that holds no lock of the interpreter, every long write as a block of its own.
    """
    from isal import igzip_threaded

    with (
        atomic_path(path) as temporary,
        igzip_threaded.open(temporary, "wb", compresslevel=GZIP_LEVEL, threads=1) as handle,
    ):
        yield handle


def check_writable(folder: str | Path) -> None:
    """Refuse a folder in which nothing can be written, without making it; its nearest existing parent is tried.

    Raises
    ------
    InputError
        when that parent is a file, is read-only, or its disk is full.
    """
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing) as handle:
            handle.write(b"novabin")
    except OSError as error:
        raise InputError(
            f"cannot be written to ({existing}: {error.strerror})",
            path=folder,
            remedy="choose other folders: pathvars in the configuration",
        ) from error


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

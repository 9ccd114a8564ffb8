"""Atomic writing: a file is whole or absent, whatever happens; the same writes give the same bytes."""

import errno
import gzip
import resource
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_gzip, atomic_open, atomic_path, check_writable, sha256_file


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_open(path) as handle:
        handle.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.tsv"]


def test_failed_folder_leaves_the_old_one(tmp_path):
    path = tmp_path / "folder"
    with atomic_path(path) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("1")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.mkdir()
        raise RuntimeError
    assert (path / "a").read_text() == "1"
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_folder_replaces_folder(tmp_path):
    path = tmp_path / "folder"
    for name in ("first", "second"):
        with atomic_path(path) as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [entry.name for entry in path.iterdir()] == ["second"]


def test_folders_written_at_once_are_never_mixed(tmp_path):
    """Though each finds a folder that another one is replacing."""
    errors = []

    def write(content):
        try:
            for number in range(60):
                with atomic_path(tmp_path / "out") as folder:
                    folder.mkdir()
                    for name in "abc":
                        (folder / name).write_text(f"{content}{number}")
        except OSError as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(content,)) for content in "xyz"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert errors == []
    assert len({(tmp_path / "out" / name).read_text() for name in "abc"}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_was_never_made_leaves_the_old_one(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out"):
        pass
    assert (tmp_path / "out").is_dir()


def test_a_folder_that_cannot_be_renamed_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    rename = Path.rename

    def fail(path, target):
        if (path / "new").exists():
            raise OSError(errno.EIO, "Input/output error", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output") as caught, atomic_path(tmp_path / "out") as folder:
        folder.mkdir()
        (folder / "new").touch()
    assert caught.value.filename == str(tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["out", "out/old"]


def test_a_folder_does_not_replace_a_file(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError), atomic_path(tmp_path / "out") as folder:
        folder.mkdir()
    assert (tmp_path / "out").read_text() == "a file"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_folder_behind_a_link_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "real")
    with atomic_path(tmp_path / "link") as folder:
        folder.mkdir()
        (folder / "new").touch()
    assert (tmp_path / "link").is_symlink()
    found = [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*")) if not path.is_symlink()]
    assert found == ["there", "there/real", "there/real/new"]


def test_parent_folder_is_made(tmp_path):
    with atomic_open(tmp_path / "a/b/c.txt") as handle:
        handle.write("x\n")
    assert (tmp_path / "a/b/c.txt").read_bytes() == b"x\n"


@pytest.mark.parametrize("size", [5_000_000, 40_000])
def test_a_full_disk_is_told_though_a_thread_packs(tmp_path, size):
    """In the middle, or only when the file is closed."""
    (tmp_path / "a.gz").write_bytes(b"before")
    content = np.random.default_rng(1).bytes(size)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # as a full disk: larger files cannot be written
    try:
        with pytest.raises(OSError, match=r"too large.*a\.gz"), atomic_gzip(tmp_path / "a.gz") as handle:
            for start in range(0, size, 10_000):
                handle.write(content[start : start + 10_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_gzip_bytes_do_not_depend_on_name_or_time(tmp_path):
    digests = []
    for name in ("one.gz", "two.gz"):
        with atomic_gzip(tmp_path / name) as handle:
            handle.write(b"ACGT" * 1000)
        digests.append(sha256_file(tmp_path / name))
        time.sleep(1.1)  # gzip headers hold seconds
    assert digests[0] == digests[1]
    assert gzip.decompress((tmp_path / "one.gz").read_bytes()) == b"ACGT" * 1000


def test_failed_write_names_the_final_file(tmp_path):
    path = tmp_path / "table.tsv"
    with pytest.raises(OSError, match="No space") as raised, atomic_open(path) as handle:
        handle.write("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.filename == str(path)


@pytest.mark.parametrize("folder", ["new/deep/folder", "."])
def test_writable_folders_pass_and_are_not_made(tmp_path, folder):
    check_writable(tmp_path / folder)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file/results", "/proc/novabin"):
        with pytest.raises(InputError, match="cannot be written to") as raised:
            check_writable(folder)
        assert "To mend it" in str(raised.value)

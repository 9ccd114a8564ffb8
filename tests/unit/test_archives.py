"""Archives of earlier runs, as the configuration names them."""

import pytest

from workflow_lib.archives import ARCHIVE_SKETCHES, ARCHIVE_TABLE, check_archives
from workflow_lib.errors import InputError
from workflow_lib.manifest import write_manifest


def make_archive(folder):
    (folder / ARCHIVE_SKETCHES).mkdir(parents=True)
    (folder / ARCHIVE_TABLE).write_text("number\n")
    write_manifest(folder, {}, checksums=[ARCHIVE_TABLE], sealed=True)
    return str(folder)


def test_an_archive_is_taken(tmp_path):
    check_archives({"first": make_archive(tmp_path / "a")}, own=tmp_path / "results/novelty/archive")
    check_archives({})


def test_a_folder_without_the_files_is_none(tmp_path):
    with pytest.raises(InputError, match=r"no archive of novel bins") as caught:
        check_archives({"first": str(tmp_path)})
    assert "novelty.archives.first" in str(caught.value)
    assert "repeat the run that wrote it, or take first out of novelty.archives" in str(caught.value)


def test_the_archive_of_this_run_cannot_be_an_earlier_one(tmp_path):
    own = make_archive(tmp_path / "results/novelty/archive")
    with pytest.raises(InputError, match="that this run writes itself"):
        check_archives({"first": f"{own}/../archive"}, own=own)

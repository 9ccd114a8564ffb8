"""The runner of scripts: errors end with status 1 and one clear message in the log, never with a bare traceback."""

import errno
from types import SimpleNamespace

import pytest

from workflow_lib import log
from workflow_lib.errors import InputError
from workflow_lib.log import Progress, run_script


@pytest.fixture
def job(tmp_path, monkeypatch):
    for name in log._THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")  # restored afterwards: the runner sets them
    return SimpleNamespace(log=[str(tmp_path / "logs/job.log")], threads=2, rule="some_rule")


def run_and_read(main, job) -> str:
    with pytest.raises(SystemExit) as stopped:
        run_script(main, job)
    assert stopped.value.code == 1
    with open(job.log[0]) as handle:
        return handle.read()


def test_user_errors_are_one_message_without_a_traceback(job):
    def main(snakemake):
        raise InputError("found this, expected that", path="x.tsv", line=3, remedy="do so")

    text = run_and_read(main, job)
    assert "x.tsv, line 3: found this, expected that\n  To mend it: do so" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")])
def test_disk_errors_name_file_and_remedy(job, code, words):
    def main(snakemake):
        raise OSError(code, "reason", "out/file.npy")

    text = run_and_read(main, job)
    assert f"out/file.npy: {words}" in text or f"out/file.npy: the file system is {words}" in text
    assert "To mend it" in text
    assert "Traceback" not in text


def test_unforeseen_errors_keep_their_traceback_and_ask_for_a_report(job):
    def main(snakemake):
        raise KeyError("surprise")

    text = run_and_read(main, job)
    assert "Please report it" in text
    assert "surprise" in text


def test_success_returns_and_logs(job):
    run_script(lambda snakemake: None, job)


def test_progress_counts_base_pairs():
    progress = Progress(2_000_000, "embed")
    progress.add(500_000)
    assert progress.rate().startswith("0.5 of 2.0 Mbp, ")
    progress.close()

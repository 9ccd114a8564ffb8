"""The end of a run names the jobs that failed for good, with what their logs say."""

import pytest

from workflow_lib.failures import describe_failures

STARTED = "localrule bin_contigs:\n    log: logs/{0}.log\n    jobid: {0}\n    wildcards: sample=s{0}\n"
FAILED = (
    "Error in rule bin_contigs:\n    message: None\n    jobid: {0}\n    input: a.fa\n"
    "    log: logs/{0}.log, slurm/{0}.log (check log file(s) for error details)\n"
)
FINISHED = "Finished jobid: {0} (Rule: bin_contigs)\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(*lines of Snakemake's log, number=text of a job's log, ...) -> what is told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()

    def told(*lines: str, **logs: str) -> str:
        for number, text in logs.items():
            (tmp_path / "logs" / f"{number[1:]}.log").write_text(text)
        (tmp_path / "run.log").write_text("".join(lines))
        return describe_failures("run.log")

    return told


def test_a_job_is_told_with_the_last_error_of_its_log(run):
    log = (
        "10:00:00 ERROR novabin.bin_contigs: an old one\n10:00:01 INFO novabin.bin_contigs: again\n"
        "10:00:02 ERROR novabin.bin_contigs: a.fa, line 3: no sequence\n  To mend it: give one\n"
    )
    told = run(STARTED.format(1), FAILED.format(1), STARTED.format(2), _1=log)
    assert told.splitlines()[:-1] == [
        "1 job failed:",
        "bin_contigs: logs/1.log",
        "  a.fa, line 3: no sequence",
        "  To mend it: give one",
    ]
    assert "an old one" not in told and "logs/2.log" not in told


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("minimap2: cannot open\n\n", "  its log ends: minimap2: cannot open"),
        ("", "  its log ends: (empty)"),
        (
            "10:00:02 ERROR novabin.x: not foreseen\nTraceback\n  File a\n  File b\nKeyError: 1\n",
            "  not foreseen\n  KeyError: 1",
        ),
    ],
)
def test_other_logs(run, log, expected):
    assert run(FAILED.format(1), _1=log).split("\n", 2)[2].startswith(expected + "\n")


def test_a_job_that_another_try_finished_is_not_told(run):
    assert run(FAILED.format(1), STARTED.format(1), FINISHED.format(1)) == ""
    assert "2 jobs failed" in run(FAILED.format(1), FAILED.format(12), FINISHED.format(11), FAILED.format(1))
    assert run(STARTED.format(1), FINISHED.format(1)) == ""


def test_a_job_without_a_log(run):
    told = run("Error in rule bin_contigs:\n    message: None\n    jobid: 4\n", "Select jobs to execute...\n")
    assert told.splitlines()[1:3] == ["bin_contigs: no log", "  what it met is told above"]


def test_many_failures_fit_on_a_screen(run):
    told = run(*(FAILED.format(number) for number in range(30)))
    assert told.count("bin_contigs: logs/") == 20
    assert "30 jobs failed:" in told and "\nand 10 more\n" in told

"""What failed in a run of many jobs, told at its end: the jobs, their logs and what these say."""

from __future__ import annotations

import re
from pathlib import Path

_FAILED = re.compile(r"^Error in rule (\w+):\n((?: {4}.*\n)*)", re.MULTILINE)
_FIELD = re.compile(r"^ {4}(jobid|log): (.*?)(?: \(check log file.*)?$", re.MULTILINE)
_FINISHED = re.compile(r"^Finished jobid: (\d+)\b", re.MULTILINE)
_ERROR = re.compile(r"^\d\d:\d\d:\d\d ERROR [\w.]+: ", re.MULTILINE)
_SHOWN = 20  # jobs
_MOST_LINES = 4  # of a log
_ADVICE = (
    "What is done stays. What joins all samples (genomes, proposed taxa, report) is made once no job fails: mend what "
    "is named here, or take the samples out of their table, and run the same command again."
)


def describe_failures(log: str | Path) -> str:
    """The jobs that failed for good, a paragraph each; empty where no job did.

    Parameters
    ----------
    log : what Snakemake wrote of a run, with the paths of the jobs' logs as seen from the working directory.
    """
    text = Path(log).read_text(encoding="utf-8", errors="replace")
    failed = {}
    for match in _FAILED.finditer(text):
        fields = dict(_FIELD.findall(match.group(2)))
        failed[fields["jobid"]] = (match.start(), match.group(1), fields.get("log", "").split(", ")[0])
    for match in _FINISHED.finditer(text):  # at another try
        if match.group(1) in failed and failed[match.group(1)][0] < match.start():
            del failed[match.group(1)]
    if not failed:
        return ""
    told = [f"{rule}: {path or 'no log'}\n{_last_words(path)}" for _, rule, path in list(failed.values())[:_SHOWN]]
    if len(failed) > _SHOWN:
        told.append(f"and {len(failed) - _SHOWN} more")
    jobs = "1 job" if len(failed) == 1 else f"{len(failed)} jobs"
    return "\n".join([f"{jobs} failed:", *told, _ADVICE])


def _last_words(path: str) -> str:
    """The last error in a job's log, else its last line, indented."""
    if not path or not Path(path).is_file():
        return "  what it met is told above"
    text = Path(path).read_text(encoding="utf-8", errors="replace").rstrip()
    errors = list(_ERROR.finditer(text))
    if not errors:
        return "  its log ends: " + (text.splitlines()[-1] if text else "(empty)")
    lines = text[errors[-1].end() :].splitlines()
    if len(lines) > _MOST_LINES:  # a traceback, whose last line says what it is
        lines = [lines[0], lines[-1]]
    return "\n".join("  " + line.strip() for line in lines)

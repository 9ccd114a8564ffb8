"""What filtering did to the short reads, from the JSON report of fastp."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.report.inputs import number, read_json

_COLUMNS = (
    ("library", "library", "name", "name of the library"),
    ("reads_in", "reads in", "integer", "reads before filtering; both of a pair count"),
    ("reads_kept", "reads kept", "integer", "reads after filtering"),
    ("kept", "kept", "percent", "share of the reads kept"),
    ("bases_in", "bases in", "bp", "bases before filtering"),
    ("bases_kept", "bases kept", "bp", "bases after filtering"),
    ("q30_in", "Q30 in", "percent", "share of bases of Phred quality 30 or more, before"),
    ("q30_kept", "Q30 kept", "percent", "the same after filtering"),
    ("gc", "GC", "percent", "share of G and C after filtering"),
    ("low_quality", "low quality", "integer", "reads dropped: too many bases of low quality"),
    ("too_many_n", "many N", "integer", "reads dropped: too many N"),
    ("too_short", "too short", "integer", "reads dropped: too short after trimming"),
    ("adapters", "adapters", "integer", "reads from which an adapter was trimmed"),
    ("duplication", "duplicates", "percent", "share of duplicate reads, as fastp estimates it; they are kept"),
    (
        "insert_size",
        "insert size",
        "bp",
        "most frequent insert size of the pairs whose reads overlap; fastp sees no longer one",
    ),
)


def read_filtering_table(reports: dict[str, str | Path]) -> dict | None:
    """A row a library from fastp's JSON reports; None where there are none.

    Parameters
    ----------
    reports : library name -> fastp.json.

    Returns
    -------
    {"columns": [...], "rows": [...], "versions": [fastp versions]}; columns that no library has are left out.

    Raises
    ------
    InputError
        when a report lacks the totals before and after filtering.
    """
    if not reports:
        return None
    rows, versions = [], set()
    for library, path in reports.items():
        content = read_json(path)
        rows.append(_row(library, content, path))
        versions.add(content["summary"].get("fastp_version") or "unknown")
    columns = [
        {"key": key, "label": label, "kind": kind, "title": title}
        for key, label, kind, title in _COLUMNS
        if any(row[key] is not None for row in rows)
    ]
    table = [[row[column["key"]] for column in columns] for row in rows]
    return {"columns": columns, "rows": table, "versions": sorted(versions)}


def _row(library: str, content: dict, path: str | Path) -> dict:
    try:
        before, after = content["summary"]["before_filtering"], content["summary"]["after_filtering"]
        reads_in, reads_kept = int(before["total_reads"]), int(after["total_reads"])
        bases_in, bases_kept = int(before["total_bases"]), int(after["total_bases"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"no totals before and after filtering ({error}); expected a JSON report of fastp"
        raise InputError(message, path=path, remedy="delete it and run again") from error
    filtering = content.get("filtering_result", {})
    return {
        "library": library,
        "reads_in": reads_in,
        "reads_kept": reads_kept,
        "kept": number(reads_kept / reads_in) if reads_in else None,
        "bases_in": bases_in,
        "bases_kept": bases_kept,
        "q30_in": number(before.get("q30_rate")),
        "q30_kept": number(after.get("q30_rate")),
        "gc": number(after.get("gc_content")),
        "low_quality": number(filtering.get("low_quality_reads")),
        "too_many_n": number(filtering.get("too_many_N_reads")),
        "too_short": number(filtering.get("too_short_reads")),
        "adapters": number(content.get("adapter_cutting", {}).get("adapter_trimmed_reads")),
        "duplication": number(content.get("duplication", {}).get("rate")),
        "insert_size": number(content.get("insert_size", {}).get("peak")) or None,
    }

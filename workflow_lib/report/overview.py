"""All samples at a glance: a table with a row a sample, and the run's sums in words."""

from __future__ import annotations

from workflow_lib.report.story import base_pairs, count, share

HIGH_QUALITY = (0.9, 0.05)  # completeness above, contamination below: the field's high-quality bin

_COLUMNS = (
    ("sample", "sample", "name", "name of the sample; choose it to see its detail"),
    ("libraries", "libraries", "integer", "libraries counted on the sample; 0: composition only"),
    ("contigs", "contigs", "integer", "contigs that came in"),
    ("bp", "length", "bp", "base pairs that came in"),
    ("kept", "kept", "integer", "contigs that passed the filter"),
    ("binned", "binned", "integer", "contigs in a bin"),
    ("binned_share", "binned bp", "share", "share of the base pairs that passed the filter that are in a bin"),
    ("bins", "bins", "integer", "bins found"),
    ("novel_bins", "novel bins", "integer", "bins called novel at some rank"),
    ("novel_contigs", "novel contigs", "integer", "contigs called novel at some rank"),
    ("high_quality", "high quality", "integer", "bins over 90% complete and under 5% contaminated (from the truth)"),
    ("warnings", "warnings", "integer", "remarks on the sample; see its detail"),
)


def overview_table(summaries: list[dict]) -> dict:
    """{"columns", "rows"} over samples; columns that no sample has a value for are left out."""
    rows = [_row(summary) for summary in summaries]
    columns = [
        {"key": key, "label": label, "kind": kind, "title": title}
        for key, label, kind, title in _COLUMNS
        if any(row[key] is not None for row in rows)
    ]
    return {"columns": columns, "rows": [[row[column["key"]] for column in columns] for row in rows]}


def _row(summary: dict) -> dict:
    counts, novelty = summary["counts"], summary["novelty"]
    return {
        "sample": summary["sample"],
        "libraries": len(summary["libraries"]),
        **{key: counts[key] for key in ("contigs", "bp", "kept", "binned", "bins")},
        "binned_share": round(counts["binned_bp"] / counts["kept_bp"], 4) if counts["kept_bp"] else None,
        "novel_bins": novelty["counts"]["bins"]["novel"] if novelty else None,
        "novel_contigs": novelty["counts"]["contigs"]["novel"] if novelty else None,
        "high_quality": _high_quality(summary["bins"]) if summary["evaluation"] else None,
        "warnings": len(summary["warnings"]),
    }


def _high_quality(bins: dict) -> int | None:
    keys = [column["key"] for column in bins["columns"]]
    if not bins["rows"]:
        return 0
    if "completeness" not in keys or "contamination" not in keys:
        return None
    complete, contaminated = keys.index("completeness"), keys.index("contamination")
    return sum(
        row[complete] is not None
        and row[contaminated] is not None
        and row[complete] > HIGH_QUALITY[0]
        and row[contaminated] < HIGH_QUALITY[1]
        for row in bins["rows"]
    )


def tell_run(summaries: list[dict]) -> str:
    """The run in a sentence: samples, contigs, bins, novel bins."""
    total = {
        key: sum(summary["counts"][key] for summary in summaries) for key in ("contigs", "bp", "bins", "binned_bp")
    }
    text = (
        f"{count(len(summaries), 'sample')}, {count(total['contigs'], 'contig')} of {base_pairs(total['bp'])}: "
        f"{count(total['bins'], 'bin')} with {share(total['binned_bp'], total['bp'])} of the base pairs"
    )
    novel = [summary["novelty"]["counts"]["bins"]["novel"] for summary in summaries if summary["novelty"]]
    return f"{text}; {count(sum(novel), 'bin')} called novel." if novel else f"{text}."

"""All samples at a glance: a table with a row a sample, and the run's sums in words."""

from __future__ import annotations

from workflow_lib.report.story import HIGH_QUALITY, base_pairs, count, count_good, share

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
    (
        "high_quality_markers",
        "high quality (genes)",
        "integer",
        "bins over 90% complete and under 5% contaminated, estimated from marker genes or by CheckM2",
    ),
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
    by_truth = count_good(summary["bins"], HIGH_QUALITY) if summary["bins"]["rows"] else 0
    return {
        "sample": summary["sample"],
        "libraries": len(summary["libraries"]),
        **{key: counts[key] for key in ("contigs", "bp", "kept", "binned", "bins")},
        "binned_share": round(counts["binned_bp"] / counts["kept_bp"], 4) if counts["kept_bp"] else None,
        "novel_bins": novelty["counts"]["bins"]["novel"] if novelty else None,
        "novel_contigs": novelty["counts"]["contigs"]["novel"] if novelty else None,
        "high_quality": by_truth if summary["evaluation"] else None,
        "high_quality_markers": count_good(summary["bins"], HIGH_QUALITY, prefix="marker_"),
        "warnings": len(summary["warnings"]),
    }


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

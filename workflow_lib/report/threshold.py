"""The similarity threshold of the binning, as binning.json tells it."""

from __future__ import annotations

from workflow_lib.report.inputs import number


def threshold_summary(binning: dict) -> dict:
    """What the page shows of binning.json.

    Returns
    -------
    dict with method, value, share (of the contigs that the threshold can bin), note (a fallback or other remark),
    zero_reason (why there are no bins), neighbours ({"recall", "wanted", "n_sampled", "compared"}, None where all pairs
    of contigs were compared), relatives ({"contigs", "sure"}, None where bins were made without), depth_share (of depth
    in the similarity; 0: composition alone), gc_folds (library -> how much GC content changes its depth, which was
    taken off), and histogram: {"edges", "same", "different"} (similarities of two halves of a contig, and of different
    contigs), None where the method needs none.
    """
    threshold = binning.get("threshold") or {}
    depth = binning.get("depth") or {}
    return {
        "method": threshold.get("method"),
        "value": number(threshold.get("value")),
        "share": number(threshold.get("can_bin_share")),
        "note": threshold.get("note") or None,
        "zero_reason": binning.get("reason") or None,
        "depth_share": number(depth.get("share")),
        "gc_folds": {library: number(fold) for library, fold in (depth.get("gc_folds") or {}).items()},
        "neighbours": binning.get("neighbours"),
        "relatives": binning.get("relatives"),
        "histogram": _histogram(threshold.get("distribution") or {}),
    }


def _histogram(distribution: dict) -> dict | None:
    edges, same, different = (distribution.get(key) for key in ("edges", "same", "different"))
    if not edges or same is None or different is None or not (sum(same) or sum(different)):
        return None
    return {"edges": [number(edge, 5) for edge in edges], "same": same, "different": different}

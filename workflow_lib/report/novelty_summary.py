"""Novelty of a sample in counts and histograms: calls, distances by call, p and q values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_lib.report.bin_table import TESTS, call_q, call_text
from workflow_lib.report.inputs import number, read_table
from workflow_lib.taxonomy import RANKS

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("known", "ambiguous", "novel", "no call")  # of calls, in the order they are drawn
_DECIDED = ("known", "novel")
_DISTANCE_BINS, _P_BINS = 40, 20
_NUMERIC = ("length", "d1", "alpha", *(f"{letter}_{test}" for letter in "pq" for test in TESTS))


def call_group(call: str) -> str:
    """The group of a call, for colours and counts: known, novel, ambiguous, or no call (abstained)."""
    for group in ("known", "novel", "ambiguous"):
        if call.startswith(group):
            return group
    return "no call"


def read_novelty(path: str | Path) -> pd.DataFrame:
    """Read a novelty table; adds `shown` (the call as text), `group` (see `call_group`) and `q` (of the call)."""
    table = read_table(path, required=("query", "length", "call", "d1"), numeric=_NUMERIC)
    table["q"] = call_q(table)
    table["shown"] = call_text(table)
    table["group"] = [call_group(call) for call in table["call"]]
    return table


def novelty_summary(contigs: pd.DataFrame, bins: pd.DataFrame) -> dict:
    """Counts and histograms of what `read_novelty` gave for contigs and for bins.

    Returns
    -------
    dict with alpha, index_id, calibration_id (from the tables; None where they have no row), "calls": a row a call with
    the numbers of contigs, bp and bins; "counts": contigs and bins a group; "abstain": reasons and how many contigs and
    bins; "distances" and "p_values": histograms over all contigs.
    """
    both = (contigs, bins)
    first = next((table.iloc[0] for table in both if len(table)), {})
    return {
        "alpha": number(first.get("alpha")),
        "index_id": first.get("index_id") or None,
        "calibration_id": first.get("calibration_id") or None,
        "n_calibration": _range(contigs.loc[contigs["group"].isin(_DECIDED), "n_cal"]),
        "calls": _calls(contigs, bins),
        "counts": {
            "contigs": {group: int((contigs["group"] == group).sum()) for group in GROUPS},
            "bins": {group: int((bins["group"] == group).sum()) for group in GROUPS},
        },
        "abstain": _abstain(contigs, bins),
        "distances": _distances(contigs),
        "p_values": _p_values(contigs),
    }


def _range(values: pd.Series | None) -> list[int] | None:
    import pandas as pd

    if values is None:
        return None
    values = pd.to_numeric(values, errors="coerce").dropna()
    return [int(values.min()), int(values.max())] if len(values) else None


def _call_order(call: str) -> tuple:
    group = GROUPS.index(call_group(call))
    ranks = [len(RANKS) - index for index, rank in enumerate(RANKS) if call.endswith(rank)]
    return group, ranks[0] if ranks else 0, call


def _calls(contigs: pd.DataFrame, bins: pd.DataFrame) -> list[dict]:
    rows = []
    for call in sorted({*contigs["shown"], *bins["shown"]}, key=_call_order):
        of_contigs = contigs["shown"] == call
        rows.append(
            {
                "call": call,
                "group": call_group(call),
                "contigs": int(of_contigs.sum()),
                "bp": int(contigs.loc[of_contigs, "length"].sum()),
                "bins": int((bins["shown"] == call).sum()),
            }
        )
    return rows


def _abstain(contigs: pd.DataFrame, bins: pd.DataFrame) -> list[list]:
    counts: dict[str, list[int]] = {}
    for index, table in enumerate((contigs, bins)):
        if "abstain_reason" in table.columns:
            for reason, count in table.loc[table["abstain_reason"] != "", "abstain_reason"].value_counts().items():
                counts.setdefault(reason.replace("_", " "), [0, 0])[index] = int(count)
    return [[reason, *both] for reason, both in sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))]


def _distances(contigs: pd.DataFrame) -> dict | None:
    """Histogram of d1 a group of calls, contigs counted; None where no contig has a distance."""
    found = contigs[np.isfinite(contigs["d1"])]
    if not len(found):
        return None
    low, high = float(found["d1"].min()), float(found["d1"].max())
    edges = np.linspace(low, high if high > low else low + 1e-3, _DISTANCE_BINS + 1)
    counts = {
        group: np.histogram(found.loc[found["group"] == group, "d1"], bins=edges)[0].tolist()
        for group in GROUPS
        if (found["group"] == group).any()
    }
    return {"edges": [number(edge, 5) for edge in edges], "counts": counts}


def _p_values(contigs: pd.DataFrame) -> list[dict]:
    """Histogram a p-value column (0 to 1) with the number of contigs whose q value reaches the level."""
    rows = []
    alpha = contigs["alpha"].iloc[0] if "alpha" in contigs.columns and len(contigs) else np.nan
    for name in TESTS:
        values = contigs.get(f"p_{name}")
        if values is None or not np.isfinite(values).any():
            continue
        values = values[np.isfinite(values)]
        q_values = contigs.get(f"q_{name}")
        below = None if q_values is None or not np.isfinite(alpha) else int((q_values <= alpha).sum())
        counts = np.histogram(values.clip(0, 1), bins=_P_BINS, range=(0, 1))[0].tolist()
        rows.append({"name": name, "n": len(values), "counts": counts, "below_alpha": below})
    return rows

"""Which genomes each binner misses, which other binner finds them, and what may be the reason."""

from __future__ import annotations

import pandas as pd

from workflow_lib.benchmark.scores import LEVELS

HOW = ("not binned", "incomplete", "mixed", "incomplete and mixed")
_KEYS = ["set", "seed", "genome"]
_TWIN_ANI, _TWIN_DEPTH = 0.95, 1.0  # share; log2 ratio: closer than twofold
_LOW_DEPTH = 3.0  # x


def list_lost(states: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """List the genomes that a binner misses.

    Parameters
    ----------
    states : rows of `score_binning` of all runs, with columns set, seed, binner.
    facts : rows of `facts.describe_genomes` of all sets, with columns set and seed.

    Returns
    -------
    A row a loss: set, seed, level (90_5 or 50_10), binner, found_by (other binners; empty: none), genome, how (of
    `HOW`), completeness, purity, mixed_with, length_bp, the columns of `facts`, and hint: what of its facts may be the
    reason.
    """
    tables = []
    for level, complete, contaminated in LEVELS:
        recovered = f"recovered_{level}"
        found = states[states[recovered]].groupby(_KEYS)["binner"].agg(",".join).rename("found_by").reset_index()
        missed = states[states["recoverable"] & ~states[recovered]].merge(found, on=_KEYS, how="left")
        how = [_how(row.bin, row.completeness > complete, 1 - row.purity < contaminated) for row in missed.itertuples()]
        tables.append(missed.assign(level=level, how=pd.Series(how, index=missed.index, dtype=object)))
    lost = pd.concat(tables, ignore_index=True).merge(facts, on=_KEYS, how="left")
    lost["found_by"] = lost["found_by"].fillna("")
    lost["hint"] = [_hint(row) for row in lost.itertuples()]
    columns = ["set", "seed", "level", "binner", "found_by", "genome", "how", "completeness", "purity", "mixed_with"]
    described = [column for column in facts if column not in _KEYS]
    return lost[[*columns, "length_bp", *described, "hint"]]


def _how(name: str, complete: bool, pure: bool) -> str:
    if not name:
        return HOW[0]
    if complete:
        return HOW[2]  # its bin is not pure
    return HOW[1] if pure else HOW[3]


def _hint(row) -> str:
    """What is unusual of a genome."""
    hints = []
    if row.ani >= _TWIN_ANI:
        alike = ", of like depth" if row.depth_ratio < _TWIN_DEPTH else ""
        hints.append(f"a relative of {row.ani:.1%} ANI{alike}")
    if row.depth < _LOW_DEPTH:
        hints.append(f"depth {row.depth:.1f}")
    if row.how in HOW[2:] and row.mixed_with != row.nearest:
        hints.append("mixed with a genome that is no near relative")
    return "; ".join(hints)


def summarise_lost(lost: pd.DataFrame, states: pd.DataFrame) -> list[dict]:
    """Of one set, for each level and binner: genomes missed, over all seeds.

    Returns
    -------
    Rows with level, binner, n (missed), found (by another binner), counts (one for each of `HOW`), relatives (with a
    relative of 95% ANI in the set) and low (of low depth).
    """
    rows = []
    for level, complete, contaminated in LEVELS:
        for binner in dict.fromkeys(states["binner"]):
            chosen = lost[(lost["level"] == level) & (lost["binner"] == binner)]
            rows.append(
                {
                    "level": f"> {complete:.0%} / < {contaminated:.0%}",
                    "binner": binner,
                    "n": len(chosen),
                    "found": int((chosen["found_by"] != "").sum()),
                    "counts": [int((chosen["how"] == how).sum()) for how in HOW],
                    "relatives": int((chosen["ani"] >= _TWIN_ANI).sum()),
                    "low": int((chosen["depth"] < _LOW_DEPTH).sum()),
                }
            )
    return rows

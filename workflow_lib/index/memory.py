"""Memory that the jobs of an index ask for; what they take is measured in benchmarks/index.md."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from workflow_lib.index.factories import plan_index

_TRAINING_MB, _BUILDING_MB = 2000, 1500  # libraries, and the names of a shard
_COPIES = 3  # of the training rows: the sample, what a transformation makes of it, and residuals
# Of the input's bytes: at most 119 bytes a window for the table while an index is extended (measured with one window a
# contig), of 450 and more that a window's files have.
_TABLE_SHARE = 0.25
_CODES_SHARE = 0.5  # codes are doubled when they outgrow their memory, and are at most half of the rest
_WHOLE_SHARE = 4


def training_mb(windows: Iterable[str | Path], factory: str) -> int:
    """Memory of training on the stores whose manifests are among the files: few of many windows are learnt from."""
    manifests = [Path(path) for path in windows if Path(path).name == "manifest.json"]
    try:
        stores = [json.loads(path.read_text(encoding="utf-8")) for path in manifests]
        n, dim = sum(store["n"] for store in stores), stores[0]["dim"]
        rows = min(n, plan_index(factory, n, dim).training_rows)
        return int(_TRAINING_MB + _COPIES * rows * dim * 4 / 1e6)
    except (ValueError, LookupError, TypeError):  # a factory that does not fit, a damaged manifest: the job says so
        return _TRAINING_MB


def building_mb(input_mb: float, is_in_parts: bool, factory: str) -> int:
    """Memory of putting an index together from files of `input_mb`.

    Whole vectors and lists, and so what `auto` stands for, are merged on disk; `x4fs` codes, and codes in no list, are
    joined in memory.
    """
    components = factory.split(",")
    in_lists = any(part.startswith(("IVF", "IMI")) for part in components) and "x4fs" not in factory
    on_disk = components[-1] in ("Flat", "auto") or in_lists
    share = (_TABLE_SHARE if on_disk else _CODES_SHARE) if is_in_parts else _WHOLE_SHARE
    return int(_BUILDING_MB + share * input_mb)

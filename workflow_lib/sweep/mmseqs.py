"""MMseqs2's nucleotide search as one more configuration: best hits of the same queries in the same windows."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_lib.errors import InputError
from workflow_lib.files import scratch_folder
from workflow_lib.store import read_store
from workflow_lib.sweep.data import QUERIES, WINDOWS, SweepData
from workflow_lib.sweep.measure import describe_answers

logger = logging.getLogger(__name__)


def measure_mmseqs(data: SweepData, folder: str | Path, *, threads: int) -> pd.DataFrame:
    """Search the queries' sequences with `mmseqs search --search-type 3`; a query without a hit has no neighbour.

    Columns are those of `measure_factory`. peak_mb is the largest of MMseqs2's own processes.

    Raises
    ------
    InputError
        when `mmseqs` is not on the PATH or fails.
    """
    if shutil.which("mmseqs") is None:
        raise InputError("mmseqs is not on the PATH", remedy="install MMseqs2, or set sweep.mmseqs to false")
    folder, k = Path(folder), data.rows.shape[1]
    with scratch_folder() as work:
        start = time.perf_counter()
        peak = _run("createdb", folder / f"{WINDOWS}.fa.gz", work / "windows")
        index_s = time.perf_counter() - start
        index_mb = sum(path.stat().st_size for path in work.glob("windows*")) / 1e6
        start = time.perf_counter()
        _run("createdb", folder / f"{QUERIES}.fa.gz", work / "queries")
        options = ("--search-type", "3", "--threads", threads, "--max-seqs", max(k, 100))
        peak = max(peak, _run("search", work / "queries", work / "windows", work / "hits", work / "tmp", *options))
        columns = ("--format-output", "query,target,bits", "--threads", threads)
        _run("convertalis", work / "queries", work / "windows", work / "hits", work / "hits.tsv", *columns)
        search_s = time.perf_counter() - start
        rows = _read_hits(work / "hits.tsv", folder, data.windows.names, k)
    times = {"index_s": index_s, "search_s": search_s, "index_mb": index_mb, "peak_mb": peak}
    return pd.DataFrame([{"asked": "MMseqs2", "factory": "MMseqs2", **times, **describe_answers(data, rows)}])


def _run(*arguments: object) -> float:
    """Run an MMseqs2 command, its output in the log; its peak memory in MB."""
    command = ["mmseqs", *map(str, arguments)]
    logger.info("%s", " ".join(command))
    process = subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InputError(f"`{' '.join(command[:2])}` ended with status {process.returncode}; see the lines above")
    return usage.ru_maxrss / 1e3


def _read_hits(path: Path, folder: Path, windows: list[str], k: int) -> np.ndarray:
    """int64 (m, k): rows of the best hits by bit score, -1 where there are fewer."""
    row_of = {name: row for row, name in enumerate(windows)}
    query_of = {name: number for number, name in enumerate(read_store(folder / QUERIES).names)}
    hits: dict[int, list[tuple[float, int]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        query, target, bits = line.split("\t")
        hits.setdefault(query_of[query], []).append((-float(bits), row_of[target]))
    rows = np.full((len(query_of), k), -1, dtype=np.int64)
    for query, found in hits.items():
        best = list(dict.fromkeys(row for _, row in sorted(found)))[:k]
        rows[query, : len(best)] = best
    return rows

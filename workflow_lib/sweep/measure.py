"""One configuration of the sweep: built, saved, loaded and searched, at each of its search parameters."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from workflow_lib.errors import InputError
from workflow_lib.files import scratch_folder
from workflow_lib.index import build_index, load_index
from workflow_lib.index.base import SearchIndex, to_chord
from workflow_lib.index.factories import PARAMETERS, Plan
from workflow_lib.sweep.data import SweepData
from workflow_lib.sweep.split import GROUPS, KNOWN

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

FALSE_NOVEL_LEVEL = 0.05  # share of known queries beyond the distance at which a query counts as novel
ACCURACY_RANKS = ("phylum", "genus", "species")
_GRID = {
    "nprobe": (1 / 8, 1 / 4, 1 / 2, 1, 2, 4),
    "ef_search": (1 / 8, 1 / 4, 1 / 2, 1, 2),
    "k_factor": (1 / 8, 1 / 4, 1 / 2, 1, 4),
}
_SAME_DISTANCE = 1e-3  # chords of float32 products near zero differ by half of that
_WARM_UP = 16  # queries
_REPEATS = 3  # of each search, of which the quickest counts: other jobs only slow it down


def measure_factory(data: SweepData, factory: str) -> pd.DataFrame:
    """Measure a kind of index; one row for each value of its first search parameter.

    Returns
    -------
    columns of `describe_answers`, and factory (with its sizes), asked, nprobe, ef_search, k_factor, true_distances,
    index_s (training and filling), search_s (all queries, the quickest of three), calls_s (the same for distances to
    the genomes near each query, as novelty calls are made from), index_mb (the file), peak_mb (of this process so far,
    windows and queries included), error (why it could not be built; the rest is then empty).
    """
    manifest = {key: data.windows.manifest[key] for key in ("embedder", "fingerprint", "dim", "window")}
    start = time.perf_counter()
    try:
        built = build_index(data.windows.vectors, data.table, manifest, factory=factory)
    except InputError as error:
        logger.warning("%s cannot be built: %s", factory, error)
        return pd.DataFrame([{"asked": factory, "factory": factory, "error": str(error).splitlines()[0]}])
    index_s = time.perf_counter() - start
    with scratch_folder() as folder:
        built.save(folder)
        index_mb = (folder / built.file_name).stat().st_size / 1e6
        index = load_index(folder, mmap=False)
    rows = []
    for parameters in parameter_grid(index.plan):
        searched = index.with_parameters(parameters)
        k = data.rows.shape[1]
        searched.search(data.vectors[:_WARM_UP], k)
        search_s, (_, found) = _time_quickest(partial(searched.search, data.vectors, k))
        calls_s, _ = _time_quickest(partial(_find_genomes, searched, data.vectors))
        rows.append(
            {
                **{"asked": factory, "factory": index.factory, **parameters},
                **{"true_distances": index.plan.true_distances, "index_s": index_s, "search_s": search_s},
                **{"calls_s": calls_s, "index_mb": index_mb},
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
                **describe_answers(data, found),
            }
        )
        logger.info("%s %s: search %.3g s, calls %.3g s", index.factory, parameters, search_s, calls_s)
    return pd.DataFrame(rows)


def _time_quickest(step: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds of the quickest of three runs of a step, and what it returns."""
    quickest = np.inf
    for _ in range(_REPEATS):
        start = time.perf_counter()
        result = step()
        quickest = min(quickest, time.perf_counter() - start)
    return quickest, result


def _find_genomes(index: SearchIndex, vectors: np.ndarray) -> None:
    """Search as novelty calls do; a block's distances are thrown away before the next one's are made."""
    for _ in index.genome_distances(vectors):
        pass


def parameter_grid(plan: Plan) -> list[dict[str, int]]:
    """The plan's own parameters, and multiples of the first of them; ascending."""
    if not plan.parameters:
        return [{}]
    first = next(key for key in PARAMETERS if key in plan.parameters)
    values = {max(1, round(factor * plan.parameters[first])) for factor in _GRID[first]}
    return [{**plan.parameters, first: value} for value in sorted(values)]


def describe_answers(data: SweepData, rows: np.ndarray) -> dict[str, float]:
    """How good the rows found are, int64 (m, k), best first, -1 where there is none.

    Returns
    -------
    recall_1_{group}, recall_k_{group} : share of the exact nearest window, and of the k nearest, that are found.
    accuracy_{rank} : share of known queries with a name at that rank whose nearest window is of their taxon.
    false_novel : share of known queries whose nearest window lies beyond the distance that 5% of them reach in exact
        search. Distances are those of the windows found, measured in full.
    nearest_{group} : median of that distance.
    """
    distances = measure_rows(data, rows[:, 0])
    known = data.groups == KNOWN
    limit = np.quantile(data.distances[known, 0], 1 - FALSE_NOVEL_LEVEL, method="higher")
    result = {f"accuracy_{rank}": _accuracy(data, rows[:, 0], rank) for rank in ACCURACY_RANKS}
    result["false_novel"] = float((distances[known] > limit + _SAME_DISTANCE).mean())
    same = (rows[:, :, None] == data.rows[:, None, :]).any(axis=1)
    # A window as near as the exact one is as good: there are repeats in genomes.
    first = distances <= data.distances[:, 0] + _SAME_DISTANCE
    for group in GROUPS:
        chosen = data.groups == group
        if chosen.any():
            result[f"recall_1_{group}"] = float(first[chosen].mean())
            result[f"recall_k_{group}"] = float(same[chosen].mean())
            result[f"nearest_{group}"] = float(np.median(distances[chosen]))
    return result


def measure_rows(data: SweepData, rows: np.ndarray) -> np.ndarray:
    """Chord distance, float32 (m,), of each query to a row of the index; inf for -1."""
    similarities = np.einsum("ij,ij->i", data.vectors, data.windows.vectors[np.maximum(rows, 0)])
    return np.where(rows >= 0, to_chord(similarities), np.float32(np.inf))


def _accuracy(data: SweepData, rows: np.ndarray, rank: str) -> float:
    asked = [
        (data.taxonomy.get(genome, {}).get(rank), int(row))
        for genome, row, group in zip(data.genomes, rows, data.groups, strict=True)
        if group == KNOWN and data.taxonomy.get(genome, {}).get(rank)
    ]
    if not asked:
        return float("nan")
    lineages = data.table.lineages
    return float(np.mean([row >= 0 and lineages[data.table.codes[row]].get(rank) == name for name, row in asked]))


def write_measures(path: str | Path, measures: pd.DataFrame) -> None:
    """Write rows of `measure_factory` as TSV."""
    from workflow_lib.scoreboard.stage import write_table

    write_table(path, measures)

"""Score an embedding: all measures over several seeds, as one long table; their means, and the gap closed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from workflow_lib.errors import InputError
from workflow_lib.evaluate.kmeans import kmeans_ari
from workflow_lib.scoreboard.measures import (
    encode_labels,
    pool_dimensions,
    pooled_dims,
    probe_macro_f1,
    probing_pool,
    recovered_species,
)

logger = logging.getLogger(__name__)

BASELINE = "tnf"  # the gap closed is measured from it
SHOTS = (1, 2, 5, 10, 20)
SEEDS = (1, 2, 3, 4, 5)
LENGTHS = tuple(1 << power for power in range(5, 14))  # bp
SCORE_COLUMNS = ("measure", "level", "seed", "value")


def evaluate_embedding(
    vectors: np.ndarray,
    labels: Sequence[str],
    *,
    shots: Sequence[int] = SHOTS,
    seeds: Sequence[int] = SEEDS,
    dims: bool = True,
) -> pd.DataFrame:
    """Measure how well vectors tell species apart.

    Parameters
    ----------
    vectors : float (n, d), unit rows.
    labels : n species names, of two species or more.
    shots : labelled sequences a species in few-shot probing.
    seeds : one run of every measure each.
    dims : measure the effect of the number of dimensions too.

    Returns
    -------
    A row a measure, level and seed (columns measure, level, seed, value): `ari` (level NaN); `probe_macro_f1` (level:
    shots); `probed_species` (how many took part in it; level: the pool, sequences of each that were set aside for it);
    `species_f1_gt` and `species_f1_gt_binned` (level: F1; unbinned sequences counted, or left out); `ari_dim` (level:
    dimensions). A value that is not defined is NaN.

    Raises
    ------
    InputError
        when vectors and labels are not of one number, or there are fewer than two species, or not finite.
    """
    vectors, codes = _check(vectors, labels)
    rows: list[tuple[str, float, int, float]] = []
    started = time.monotonic()
    pool, n_probed = probing_pool(codes, shots)
    for seed in seeds:
        rows.append(("ari", np.nan, seed, kmeans_ari(vectors, codes, seed=seed)))
        rows.append(("probed_species", np.nan if pool is None else pool, seed, n_probed))
        found = probe_macro_f1(vectors, codes, shots=shots, seed=seed)
        rows += [("probe_macro_f1", level, seed, value) for level, value in found.items()]
        counted, binned = recovered_species(vectors, codes, seed=seed)
        rows += [("species_f1_gt", level, seed, value) for level, value in counted.items()]
        rows += [("species_f1_gt_binned", level, seed, value) for level, value in binned.items()]
    if dims:
        for dim in pooled_dims(vectors.shape[1]):
            pooled = pool_dimensions(vectors, dim)
            rows += [("ari_dim", dim, seed, kmeans_ari(pooled, codes, seed=seed)) for seed in seeds]
    table = _table(rows)
    logger.info(
        "%d vectors of %d dimensions, %d species, %d seeds: ARI %.3f, %.0f s",
        *(*vectors.shape, codes.max() + 1, len(seeds)),
        *(table.loc[table["measure"] == "ari", "value"].mean(), time.monotonic() - started),
    )
    return table


def evaluate_lengths(
    prefixes: Mapping[int, np.ndarray], labels: Sequence[str], *, seeds: Sequence[int] = SEEDS
) -> pd.DataFrame:
    """Measure K-means ARI at several lengths of the same sequences.

    Parameters
    ----------
    prefixes : bp -> float (n, d), vectors of the first so many bp of n sequences.
    labels : n species names.

    Returns
    -------
    As `evaluate_embedding`: `ari_length` (level: bp).

    Raises
    ------
    InputError
        as `evaluate_embedding`.
    """
    rows = []
    for n_bp, given in sorted(prefixes.items()):
        vectors, codes = _check(given, labels)
        rows += [("ari_length", n_bp, seed, kmeans_ari(vectors, codes, seed=seed)) for seed in seeds]
    return _table(rows)


def _check(vectors: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    vectors, codes = np.ascontiguousarray(vectors, dtype=np.float32), encode_labels(labels)
    if vectors.ndim != 2 or len(vectors) != len(codes):
        raise InputError(f"found vectors {vectors.shape} and {len(codes)} labels, expected (n, d) and n")
    n_species = len(np.unique(codes))
    if n_species < 2:
        raise InputError(f"found {n_species} species among {len(codes)} labels, expected two or more")
    if not np.isfinite(vectors).all():
        raise InputError("found NaN or infinity among the vectors, expected finite numbers")
    return vectors, codes


def _table(rows: list[tuple[str, float, int, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    return table.astype({"level": float, "seed": int, "value": float})


def gap_closed(ari: float | np.ndarray, ari_tnf: float | np.ndarray) -> float | np.ndarray:
    """Share of the way from the ARI of TNF to a perfect one that an embedding goes: (ARI - TNF) / (1 - TNF).

    NaN where TNF is perfect: there is no way to go.
    """
    return (ari - ari_tnf) / _way_to_go(ari_tnf)


def _way_to_go(ari_tnf: float | np.ndarray) -> np.ndarray:
    return np.where(np.asarray(ari_tnf) < 1, 1 - np.asarray(ari_tnf), np.nan)


def summarise_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, and the gap closed.

    Parameters
    ----------
    scores : tables of `evaluate_embedding` and `evaluate_lengths` with columns set, embedder and variant in front.

    Returns
    -------
    A row a set, embedder, variant, measure and level in the order of their first appearance, with columns mean, sd
    (sample standard deviation; NaN with one seed) and seeds (how many have a value). `gap_closed` is a measure of its
    own where the set has the embedder tnf: that of the mean ARIs, from TNF (variant plain). The mean of TNF counts as
    exact: the deviation is that of the embedder's ARI, on the same scale.
    """
    keys = ["set", "embedder", "variant", "measure", "level"]
    grouped = scores.groupby(keys, dropna=False, sort=False)["value"]
    summary = grouped.agg(mean="mean", sd="std", seeds="count").reset_index()
    ari = summary[summary["measure"] == "ari"]
    tnf = ari[(ari["embedder"] == BASELINE) & (ari["variant"] == "plain")].set_index("set")["mean"]
    gaps = ari[ari["set"].isin(tnf.index)].assign(measure="gap_closed")
    of_tnf = gaps["set"].map(tnf)
    gaps["mean"], gaps["sd"] = gap_closed(gaps["mean"], of_tnf), gaps["sd"] / _way_to_go(of_tnf)
    gaps.loc[gaps["mean"].isna(), "seeds"] = 0
    return pd.concat([summary, gaps], ignore_index=True)

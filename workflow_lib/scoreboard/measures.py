"""What an embedding is measured by: K-means, few-shot probing, K-medoid; each takes vectors, labels and a seed.

Labels are codes 0, 1, ... of the species (`encode_labels`). Everything runs on one thread: a seed gives one figure
whatever the number of cores, and jobs run side by side instead.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import numpy as np

from workflow_lib.bin import class_center_percentiles, kmedoid
from workflow_lib.embed.base import unit_rows
from workflow_lib.evaluate.contingency import UNBINNED, count_pairs
from workflow_lib.evaluate.species import align_bins, species_f1

logger = logging.getLogger(__name__)

F1_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
PERCENTILE = 70  # of the similarity to the species centre: the threshold of the published evaluation
SMALLEST_DIM = 8
_MAX_ITERATIONS = 5000  # of the logistic regression; it takes a few hundred


def encode_labels(labels: Sequence[str]) -> np.ndarray:
    """Codes of labels in the order of their names, int64 (n,)."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)


def probing_pool(codes: np.ndarray, shots: Sequence[int]) -> tuple[int | None, int]:
    """How many sequences of a species few-shot probing sets aside, and how many species have more than that.

    The pool is the largest of the shots that leaves a rest in two species or more. Where none does: None, 0 species.
    """
    sizes = np.bincount(codes)
    probed = {pool: int((sizes > pool).sum()) for pool in sorted(shots)}
    return max(((pool, n) for pool, n in probed.items() if n >= 2), default=(None, 0))


def probe_macro_f1(vectors: np.ndarray, codes: np.ndarray, *, shots: Sequence[int], seed: int) -> dict[int, float]:
    """Macro F1 of a logistic regression that has seen 1, 2, ... labelled sequences of each species.

    Of every species the pool (`probing_pool`), chosen at random, is set aside to train on; s shots are the first s of
    it, and all numbers of shots are tested on the same rest. Species without a rest take no part. Vectors are centred
    and scaled by one number, so that the mean variance of the training rows is 1: the penalty then weighs the same for
    every embedding.

    Parameters
    ----------
    vectors : float32 (n, d).
    codes : int64 (n,).
    shots : labelled sequences a species.
    seed : of the choice.

    Returns
    -------
    Shots -> macro F1; NaN for more shots than the pool.

    Notes
    -----
    Zhou et al. 2024, DNABERT-S, section 5. scikit-learn's LogisticRegression with C = 1, not standardised by column: a
    rotation of the vectors leaves the result as it is.
    """
    from sklearn.metrics import f1_score
    from threadpoolctl import threadpool_limits

    scores = dict.fromkeys(shots, np.nan)
    pool, _ = probing_pool(codes, shots)
    if pool is None:
        logger.warning("fewer than two species have more than %d sequences: no few-shot figures", min(shots))
        return scores
    rank = _rank_within(codes, seed)
    large = np.bincount(codes)[codes] > pool
    test = np.flatnonzero(large & (rank >= pool))
    with threadpool_limits(1):
        for n_shots in (n for n in shots if n <= pool):
            train = np.flatnonzero(large & (rank < n_shots))
            predicted = _predict(vectors[train], codes[train], vectors[test])
            scores[n_shots] = float(f1_score(codes[test], predicted, average="macro"))
    return scores


def _predict(train: np.ndarray, codes: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    mean = train.mean(axis=0, dtype=np.float64)
    scale = np.sqrt(train.var(axis=0, dtype=np.float64).mean()) or 1.0
    model = LogisticRegression(max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings():
        # With one shot each class has one row: scikit-learn asks whether a regression was meant.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model.fit((train - mean) / scale, codes)
    return model.predict((test - mean) / scale)


def _rank_within(codes: np.ndarray, seed: int) -> np.ndarray:
    """Place of each row in a random order of its species, int64 (n,), from 0."""
    shuffled = np.random.default_rng(seed).permutation(len(codes))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    sizes = np.bincount(codes)
    rank = np.empty(len(codes), dtype=np.int64)
    rank[order] = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rank


def recovered_species(
    vectors: np.ndarray, codes: np.ndarray, *, seed: int
) -> tuple[dict[float, int], dict[float, int]]:
    """Number of species that K-medoid recovers at an F1 above 0.5, 0.6, ... 0.9.

    The threshold is the 70th percentile of the similarity to the species centre, of labelled sequences of other
    species: the species are split in two halves at random; everything is binned twice, with the threshold of either
    half, and only species of the other half are counted.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows.
    codes : int64 (n,).
    seed : of the split.

    Returns
    -------
    Level -> species: with unbinned sequences counted as missed, and without them, as the published evaluation has it.

    Notes
    -----
    Zhou et al. 2024, DNABERT-S, section 5 and algorithm 1. Bins and species are paired one to one by the Hungarian
    method so that most sequences agree; F1 = 2 shared / (of the species + of the bin).
    """
    n_species = int(codes.max()) + 1
    in_first = np.zeros(n_species, dtype=bool)
    in_first[np.random.default_rng(seed).permutation(n_species)[: n_species // 2]] = True
    counted, binned_only = np.zeros(n_species), np.zeros(n_species)
    for half in (in_first, ~in_first):
        chosen = half[codes]
        threshold = class_center_percentiles(vectors[chosen], codes[chosen], [PERCENTILE])[0]
        bins = kmedoid(vectors, threshold)
        counted[~half] = _species_f1(bins, codes, n_species)[~half]
        binned = bins != UNBINNED
        binned_only[~half] = _species_f1(bins[binned], codes[binned], n_species)[~half]
    return tuple({level: int((f1 > level).sum()) for level in F1_LEVELS} for f1 in (counted, binned_only))


def _species_f1(bins: np.ndarray, codes: np.ndarray, n_species: int) -> np.ndarray:
    """F1 of each species with its bin, float64 (n_species,); NaN, which no level lies below, without sequences."""
    n_bins = int(bins.max(initial=-1)) + 1
    table = count_pairs(bins, codes, np.ones(len(bins), dtype=np.int64), n_bins=n_bins, n_genomes=n_species)
    return species_f1(table, align_bins(table))


def pooled_dims(dim: int) -> list[int]:
    """Numbers of dimensions to measure at: 8, 16, 32, ... below `dim`, and `dim` itself."""
    powers = [SMALLEST_DIM << step for step in range(20)]
    return [power for power in powers if power < dim] + [dim]


def pool_dimensions(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Means of neighbouring columns as unit rows, float32 (n, dim); groups differ in size by one column at most.

    Notes
    -----
    Zhou et al. 2024, DNABERT-S, average pooling of the dimensions.
    """
    if dim == vectors.shape[1]:
        return vectors
    groups = np.array_split(np.arange(vectors.shape[1]), dim)
    pooled = np.stack([vectors[:, group].mean(axis=1, dtype=np.float64) for group in groups], axis=1)
    return unit_rows(pooled)

"""The compact model in training: a linear discriminant of species, computed in one pass over the genomes.

With x the features of a piece (`workflow_lib.embed.compact.canonical_features`), W the covariance of x within species
and B that of the species' means, the model keeps the directions a that maximise a'Ba / a'Wa (Fisher's discriminant;
Rao 1948, J. R. Stat. Soc. B 10:159), scaled so that the variance within species is 1 and S between them, and divides
each by sqrt(S + PRIOR): then the few strongest directions, GC content above all, do not drown the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from workflow_lib.embed.compact import ALGORITHM_VERSION, MODEL_TYPE, N_FEATURES, canonical_features
from workflow_lib.embed.model_files import remove_other_files
from workflow_lib.embed.small_model import write_small_model
from workflow_lib.errors import InputError, some_names
from workflow_lib.train.genomes import TrainingGenome
from workflow_lib.train.trainable import WEIGHTS_NAME, TrainableFeatures

logger = logging.getLogger(__name__)

DIM = 96
SHRINKAGE = 0.3  # of the mean variance within species, added to each feature's
PRIOR = 3.0  # added to the variance between species before its root divides a direction
MEDIAN_LENGTH, SIGMA = 5000, 0.7  # bp, and standard deviation of the log: pieces are log-normal
SHORTEST, LONGEST = 1500, 20_000  # bp
PIECES = 150  # of a genome at most


class Moments:
    """Sums over pieces from which the covariances within and between species follow; no piece is kept."""

    def __init__(self) -> None:
        self.squares = np.zeros((N_FEATURES, N_FEATURES))
        self.sums: dict[str, np.ndarray] = {}
        self.counts: dict[str, int] = {}

    def add(self, species: str, features: np.ndarray) -> None:
        """Add the pieces of one genome, float32 (n, 648); rows of zeros (nothing to count) are left out."""
        rows = features[features.any(axis=1)].astype(np.float64)
        if len(rows):
            self.squares += rows.T @ rows
            self.sums[species] = self.sums.get(species, 0) + rows.sum(axis=0)
            self.counts[species] = self.counts.get(species, 0) + len(rows)

    def discriminant(self, *, dim: int, shrinkage: float, prior: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the species' means, float64 (648,), and projection, float64 (648, d), d = min(dim, species - 1).

        Raises
        ------
        InputError
            with fewer than two species, or no species with two pieces.
        """
        counts = np.array([self.counts[name] for name in sorted(self.counts)], dtype=np.int64)
        if len(counts) < 2 or counts.max() < 2:
            raise InputError(
                f"{len(counts)} species with {counts.sum()} pieces; "
                "a discriminant needs two species, one with two pieces",
                remedy="give genomes of more species (the species of a genome is s__ in its taxonomy)",
            )
        means = np.array([self.sums[name] for name in sorted(self.sums)]) / counts[:, None]
        within = (self.squares - (means.T * counts) @ means) / max(counts.sum() - len(counts), 1)
        within += shrinkage * np.trace(within) / N_FEATURES * np.eye(N_FEATURES)
        whitening = np.linalg.inv(np.linalg.cholesky(within)).T
        mean = means.mean(axis=0)
        _, spread, axes = np.linalg.svd((means - mean) @ whitening, full_matrices=False)
        kept = min(dim, len(counts) - 1)
        between = spread[:kept] ** 2 / len(counts)
        projection = whitening @ axes[:kept].T / np.sqrt(between + prior)
        largest = projection[np.abs(projection).argmax(axis=0), np.arange(kept)]
        return mean, projection * np.sign(largest)  # a direction and its opposite are the same: one is chosen


def tile_segments(segments: Iterable[bytes], rng: np.random.Generator) -> Iterator[bytes]:
    """Neighbouring pieces of log-normal length of each segment; what is left at its end is a piece if long enough."""
    for segment in segments:
        start = 0
        while len(segment) - start >= SHORTEST:
            length = MEDIAN_LENGTH * np.exp(SIGMA * rng.standard_normal())
            stop = start + int(np.clip(length, SHORTEST, LONGEST))
            yield segment[start:stop]
            start = stop


def learn_discriminant(
    genomes: Iterable[TrainingGenome],
    *,
    dim: int = DIM,
    shrinkage: float = SHRINKAGE,
    prior: float = PRIOR,
    seed: int = 1,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """The compact model's mean, float32 (648,), and projection, float32 (648, d), from genomes.

    Parameters
    ----------
    genomes : in an order that does not vary: sums follow it.
    dim : columns at most; there are no more than species - 1.
    shrinkage, prior : see the module.
    seed : of the pieces' lengths and choice; each genome has its own random numbers, whatever the others are.
    threads : sequences counted at a time; the result does not depend on it.

    Raises
    ------
    InputError
        with fewer than two species, or no species with two pieces.
    """
    moments, total_bp, start = Moments(), 0, time.perf_counter()
    for genome in genomes:
        rng = np.random.default_rng([seed, *genome.name.encode()])
        pieces = list(tile_segments(genome.segments, rng))
        if len(pieces) > PIECES:
            pieces = [pieces[i] for i in np.sort(rng.choice(len(pieces), PIECES, replace=False))]
        moments.add(genome.species, canonical_features(pieces, threads=threads))
        total_bp += sum(map(len, pieces))
    with threadpool_limits(1):  # sums are then always in the same order
        mean, projection = moments.discriminant(dim=dim, shrinkage=shrinkage, prior=prior)
    logger.info(
        "linear discriminant: %d species, %d pieces, %d bp, %d columns, %.0f s",
        len(moments.counts), sum(moments.counts.values()), total_bp, projection.shape[1], time.perf_counter() - start,
    )  # fmt: skip
    return mean.astype(np.float32), projection.astype(np.float32)


def leave_out_fragments(genomes: Iterable[TrainingGenome]) -> list[TrainingGenome]:
    """The genomes with a piece to learn the discriminant from; a warning names those without a stretch that long."""
    kept, left_out = [], []
    for genome in genomes:
        long_enough = any(len(segment) >= SHORTEST for segment in genome.segments)
        (kept if long_enough else left_out).append(genome)
    if left_out:
        logger.warning(
            "%d genomes have no stretch of %d bp, the shortest piece of %s, and are not trained on: %s",
            len(left_out), SHORTEST, MODEL_TYPE, some_names(genome.name for genome in left_out),
        )  # fmt: skip
    return kept


class CentredLinear(nn.Linear):
    """(x - mean) projected. The mean is not trained, but a checkpoint keeps it beside the weights."""

    def __init__(self, mean: np.ndarray, projection: np.ndarray) -> None:
        super().__init__(*projection.shape, bias=False)
        self.register_buffer("mean", torch.tensor(mean))
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(projection.T))

    def forward(self, features: Tensor) -> Tensor:
        """Rows (..., 648) projected, (..., d)."""
        return super().forward(features - self.mean)


class TrainableCompact(TrainableFeatures):
    """The compact model as something to train further: one linear layer that starts as the discriminant.

    Parameters
    ----------
    mean, projection : of `learn_discriminant`. The mean stays as it is.
    recipe : how they were computed, if from the genomes that are trained on (`learn`); see `TrainableFeatures`.
    """

    def __init__(self, mean: np.ndarray, projection: np.ndarray, *, recipe: Mapping[str, object] | None = None) -> None:
        layer = CentredLinear(mean, projection)
        super().__init__([layer], canonical_features, dim=projection.shape[1], recipe=recipe)

    @classmethod
    def learn(cls, genomes: Iterable[TrainingGenome], *, seed: int = 1) -> TrainableCompact:
        """Start from the discriminant of the genomes that are then trained on, with the seed of that training."""
        recipe = {
            "kind": "linear discriminant", "version": ALGORITHM_VERSION, "columns": DIM, "shrinkage": SHRINKAGE,
            "prior": PRIOR, "lengths": [MEDIAN_LENGTH, SIGMA, SHORTEST, LONGEST], "pieces": PIECES,
        }  # fmt: skip
        return cls(*learn_discriminant(genomes, seed=seed), recipe=recipe)

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors, which `load_embedder` reads."""
        layer = self.module[0]
        config = {"model_type": MODEL_TYPE, "version": ALGORITHM_VERSION, "dim": self.dim}
        weights = {"mean": layer.mean.cpu().numpy(), "projection": layer.weight.detach().cpu().numpy().T}
        write_small_model(folder, config, weights)
        remove_other_files(folder, ["config.json", WEIGHTS_NAME])

"""The compact model that novabin ships: k-mer frequencies seen along the directions in which species differ.

A sequence becomes the square roots of its canonical 4- and 5-mer frequencies, x, and its vector is the unit row of
(x - mean) @ projection. The projection is a linear discriminant of species, learned by
`workflow_lib.train.compact.learn_discriminant`; the model card lies beside the weights in `workflow_lib/weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numba
import numpy as np

from workflow_lib.embed.base import as_bytes, compute_fingerprint, runs_on_cpu_only, unit_rows
from workflow_lib.embed.kmers import kmer_frequencies, project_rows, reverse_complement_columns
from workflow_lib.embed.small_model import read_small_model

MODEL_TYPE = "compact"
ALGORITHM_VERSION = 1
SHIPPED = Path(__file__).parents[1] / "weights" / "compact"
KMERS = (4, 5)
_BLOCK_ROWS = 2048  # sequences whose frequencies are held at a time: 10 kB each
_NO_LENGTH = 1e-6  # a shorter projection is rounding noise


def _canonical_columns(k: int) -> np.ndarray:
    """Columns, int64, of the k-mers that come first of themselves and their reverse complement."""
    columns = np.arange(4**k)
    return columns[columns <= reverse_complement_columns(k)]


N_FEATURES = sum(len(_canonical_columns(k)) for k in KMERS)  # 136 + 512


def canonical_features(sequences: Sequence[str | bytes], *, threads: int = 1) -> np.ndarray:
    """Square roots of the frequencies of canonical k-mers, k = 4 and 5.

    A canonical k-mer stands for itself and its reverse complement, so that both strands give the same features. The
    square root makes the counting noise of frequent and rare k-mers alike (variance 1 / (4 n) at n k-mers).

    Returns
    -------
    float32 (n, 648); each k's squares sum to 1. A row of zeros where there is no 5-mer of A, C, G, T.
    """
    features = np.empty((len(sequences), N_FEATURES), dtype=np.float32)
    start = 0
    for k in KMERS:
        columns = _canonical_columns(k)
        opposite = reverse_complement_columns(k)[columns]
        strands = np.where(opposite == columns, 1, 2).astype(np.float32)  # a frequency is the mean of both strands
        stop = start + len(columns)
        features[:, start:stop] = np.sqrt(kmer_frequencies(sequences, k, threads=threads)[:, columns] * strands)
        start = stop
    features[~features[:, -len(columns) :].any(axis=1)] = 0
    return features


class Compact:
    """The compact model as unit rows; the same vector for a sequence and its reverse complement; runs on the CPU.

    Parameters
    ----------
    folder : written by `snakemake train` (`TrainableCompact.save`); the shipped model unless another is given.
    device : "cpu"; anything else is refused.
    threads : sequences counted at a time; None: as numba's NUMBA_NUM_THREADS.

    Raises
    ------
    InputError
        when the folder lacks a file, is of another model or version, or has tensors of other shapes.
    """

    name = MODEL_TYPE

    def __init__(self, folder: str | Path = SHIPPED, *, device: str = "cpu", threads: int | None = None) -> None:
        if device != "cpu":
            raise runs_on_cpu_only(self.name, device)
        weights = read_small_model(
            folder,
            kind=MODEL_TYPE,
            version=ALGORITHM_VERSION,
            shapes={"mean": (N_FEATURES,), "projection": (N_FEATURES, None)},
            remedy="train it again (snakemake train), or install novabin again",
        )
        self._mean, self._projection = weights["mean"], np.ascontiguousarray(weights["projection"])
        self.dim = self._projection.shape[1]
        self.threads = threads or numba.config.NUMBA_NUM_THREADS
        content = {"name": self.name, "version": ALGORITHM_VERSION}
        self.fingerprint = compute_fingerprint(content, [self._mean, self._projection])

    def embed(self, sequences: Sequence[str | bytes]) -> np.ndarray:
        """Vectors of sequences, float32 (n, dim), unit rows; zeros where there is no 5-mer to count."""
        texts = as_bytes(sequences)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK_ROWS):
            features = canonical_features(texts[start : start + _BLOCK_ROWS], threads=self.threads)
            projected = project_rows(features, self._mean, self._projection, threads=self.threads)
            vectors[start : start + _BLOCK_ROWS] = unit_rows(projected, no_length=_NO_LENGTH)
        return vectors

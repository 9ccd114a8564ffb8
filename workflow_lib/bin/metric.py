"""A metric learned from the sample itself: directions in which two halves of a contig differ count less."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workflow_lib.blocks import one_blas_thread
from workflow_lib.embed.base import unit_rows
from workflow_lib.embed.sample import ENOUGH_PIECES
from workflow_lib.errors import InputError

logger = logging.getLogger(__name__)

MIN_PIECES = ENOUGH_PIECES  # below which nothing is learned from them
_RIDGE = 0.1  # of the mean variance, added in every direction
_FOLDS = 5
_BLOCK = 4096


@dataclass(frozen=True)
class Pieces:
    """Both halves of some long contigs.

    Attributes
    ----------
    rows : int64 (p,) rows of the contigs among all.
    lengths : int64 (p,) bp of one half.
    vectors : float32 (p, 2, d) unit rows.
    """

    rows: np.ndarray
    lengths: np.ndarray
    vectors: np.ndarray

    def __post_init__(self) -> None:
        p = len(self.rows)
        if self.lengths.shape != (p,) or self.vectors.shape[:2] != (p, 2) or self.vectors.ndim != 3:
            raise InputError(
                f"the pieces have {p} rows, lengths {self.lengths.shape} and vectors {self.vectors.shape}, "
                "expected (p,), (p,) and (p, 2, d)"
            )

    def __len__(self) -> int:
        return len(self.rows)


def whiten(vectors: np.ndarray, pieces: Pieces) -> tuple[np.ndarray, Pieces]:
    """Scale the embedding space so that the two halves of a contig differ equally in every direction.

    With W the covariance of the difference of two halves, scaled to mean variance 1, x becomes x (W + r I)^-1/2, then
    a unit row. The ridge r is 0.1, or d / p where that is more (p pieces, d dimensions). Nothing is centred: a sample
    of one genome would lose what its contigs share.

    A metric makes those halves alike that it was learned from, more than others. So that they still tell how alike two
    parts of a genome are, each fifth of the pieces is returned in the metric of the other four fifths.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows; rows of zeros stay zero.
    pieces : halves of contigs of the same sample. With fewer than `MIN_PIECES` everything is returned as it is.

    Returns
    -------
    float32 (n, d) unit rows, and the pieces, each in the metric of others. The same bytes at any number of threads.

    Notes
    -----
    Within-class covariance normalisation (Hatch, Kajarekar and Stolcke 2006, Interspeech), a class being a contig.
    """
    if len(pieces) < MIN_PIECES:
        return vectors, pieces
    with one_blas_thread():
        return whiten_out_of_fold(vectors, pieces, whitening)


def whiten_out_of_fold(
    vectors: np.ndarray, pieces: Pieces, learn: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, Pieces]:
    """Vectors in the space that all halves teach; each fifth of the pieces in that of the other four fifths.

    Parameters
    ----------
    learn : float32 (p, 2, d) halves -> transform (d, m), applied as x @ transform and scaled to unit rows.
    """
    transform = learn(pieces.vectors)
    transformed = np.empty((len(vectors), transform.shape[1]), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        transformed[start : start + _BLOCK] = unit_rows(vectors[start : start + _BLOCK] @ transform)
    halves = np.empty((len(pieces), 2, transform.shape[1]), dtype=np.float32)
    fold = np.arange(len(pieces)) % _FOLDS
    for i in range(_FOLDS):
        halves[fold == i] = unit_rows(pieces.vectors[fold == i] @ learn(pieces.vectors[fold != i]))
    return transformed, Pieces(pieces.rows, pieces.lengths, halves)


def whitening(halves: np.ndarray, *, ridge: float = _RIDGE) -> np.ndarray:
    """(W + r I)^-1/2 of the differences between halves (p, 2, d): float32 (d, d), symmetric.

    Parameters
    ----------
    ridge : r, or d / p where that is more.
    """
    p, _, dim = halves.shape
    difference = (halves[:, 0] - halves[:, 1]).astype(np.float64)
    covariance = difference.T @ difference / p
    mean_variance = np.trace(covariance) / dim
    if mean_variance < 1e-12:  # all halves are identical: nothing to learn
        return np.eye(dim, dtype=np.float32)
    values, directions = np.linalg.eigh(covariance / mean_variance + max(ridge, dim / p) * np.eye(dim))
    return np.ascontiguousarray((directions / np.sqrt(values)) @ directions.T, dtype=np.float32)

"""Tell numbers of reads from depth: they grow with the length of a contig."""

from __future__ import annotations

import logging

import numpy as np

from workflow_lib.bin.fuse import Depth
from workflow_lib.blocks import one_blas_thread
from workflow_lib.errors import InputError

logger = logging.getLogger(__name__)

_CONTIGS = 4000  # looked at, spread over all
# Ratio of the lengths of two contigs that are compared: enough to see growth, and too little for the long contigs of a
# strain and the short ones of another, less deep, of its species.
_RATIOS = (2, 4)
_BY_CHANCE = 0.5  # share of pairs nearer to counts than to depth, of values that have nothing to do with length
# Share from which on it is counts, where chance is `_ERRORS` standard errors away (docs/methods.md, Depth).
_COUNTS = 2 / 3
_ERRORS = 3


def refuse_read_counts(depth: Depth, vectors: np.ndarray, lengths: np.ndarray) -> None:
    """Refuse a depth that grows with the length of contigs as numbers of reads do.

    Libraries with a variance are not looked at: what counts bases along a contig has made them.

    Parameters
    ----------
    depth : of n contigs.
    vectors : float32 (n, d) unit rows, the embeddings.
    lengths : int64 (n,) bp.

    Raises
    ------
    InputError
        naming the libraries that hold counts.
    """
    bare = np.flatnonzero(np.isnan(depth.variance).all(axis=0))
    if not len(bare):
        return
    share, n_pairs, n_partners = share_like_counts(depth.mean[:, bare], vectors, lengths)
    # Pairs with one partner are like or unlike counts together.
    error = np.sqrt(_BY_CHANCE * (1 - _BY_CHANCE) / np.maximum(n_partners, 1))
    if untold := [depth.libraries[bare[i]] for i in np.flatnonzero(_BY_CHANCE + _ERRORS * error > 1)]:
        logger.info("too few contigs to tell whether these hold depth or numbers of reads: %s", ", ".join(untold))
    found = np.flatnonzero((share > _COUNTS) & (share > _BY_CHANCE + _ERRORS * error))
    if len(found):
        told = "; ".join(f"{depth.libraries[bare[i]]}, {100 * share[i]:.0f}% of {n_pairs[i]} pairs" for i in found)
        raise InputError(
            "a depth table seems to hold numbers of reads: of two contigs alike in composition the longer one has the "
            f"larger value, as much larger as it is longer ({told}); mean coverage does not grow with length",
            remedy="give mean coverage (jgi_summarize_bam_contig_depths, `coverm contig -m mean variance`), reads, or "
            "BAM files; where it is mean coverage, give its variances, too, and it is taken as it is",
        )


def share_like_counts(
    mean: np.ndarray, vectors: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many pairs of a contig and the one nearest in composition have depths in the ratio of their lengths.

    Most pairs are of one genome, so that how deep and how fragmented genomes are matters little. Of such a pair the
    depths are alike, and the counts in the ratio of the lengths.

    Parameters
    ----------
    mean : float (n, L), what may be depth; NaN where it is not known.
    vectors, lengths : see `refuse_read_counts`.

    Returns
    -------
    share : float64 (L,), of the pairs that are compared, with depth in both, those in which the ratio of depths is
        above the square root of the ratio of lengths; 0 without pairs. n_pairs : int64 (L,). n_partners : int64 (L,),
        of different contigs that are the nearest one of a pair.
    """
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _CONTIGS)).astype(np.int64))
    rows = rows[vectors[rows].any(axis=1)]
    if len(rows) < 2:
        return np.zeros(mean.shape[1]), *np.zeros((2, mean.shape[1]), dtype=np.int64)
    log_length = np.log(lengths[rows], dtype=np.float32)
    ratio = np.abs(log_length[:, None] - log_length)
    with one_blas_thread():
        similarity = vectors[rows] @ vectors[rows].T.copy()
    similarity[(ratio <= np.log(_RATIOS[0])) | (ratio > np.log(_RATIOS[1]))] = -np.inf
    nearest = similarity.argmax(axis=1)
    has_other = similarity[np.arange(len(rows)), nearest] > -np.inf
    longer = log_length - log_length[nearest]
    own, other = mean[rows], mean[rows[nearest]]
    # What is not known is not above 0.
    compared = has_other[:, None] & (own > 0) & (other > 0)
    growth = np.log(np.where(compared, own, 1) / np.where(compared, other, 1)) * np.sign(longer)[:, None]
    like_counts = growth > np.abs(longer)[:, None] / 2
    n_pairs = compared.sum(axis=0)
    n_partners = np.array([len(np.unique(nearest[column])) for column in compared.T], dtype=np.int64)
    return like_counts.sum(axis=0) / np.maximum(n_pairs, 1), n_pairs, n_partners

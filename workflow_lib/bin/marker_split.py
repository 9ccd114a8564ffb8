"""What marker genes do for binning: bins with doubled markers are split, and the better of several binnings is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from workflow_lib.bin.groups import rows_of_bins
from workflow_lib.bin.parts import two_parts
from workflow_lib.blocks import one_blas_thread
from workflow_lib.markers.counts import MarkerCounts
from workflow_lib.markers.domains import is_archaeal

logger = logging.getLogger(__name__)

_LEAST_DOUBLED = 0.06  # share of the families, in a bin that is looked at: genes cut at contig ends double some, too
_LEAST_GAIN = 0.05  # in the score, by which the better part has to beat the whole
# Of the families that the parts of a cut would share if each were of a genome of its own: as many as chance gives. One
# genome that has some families twice by nature falls into parts that share these, and few others.
_LEAST_SHARED = 0.7
_CLEARLY_BETTER = 1.25  # times the score of the first binning
_MAX_STARTS = 10  # pairs of contigs with the same family that a split is begun from


def split_by_markers(labels: np.ndarray, vectors: np.ndarray, lengths: np.ndarray, markers: MarkerCounts) -> np.ndarray:
    """Split bins that hold single-copy markers several times, as long as it helps.

    A bin in which 6% of the families are doubled is cut in two (`parts.two_parts`), from its principal axis and
    from up to ten pairs of contigs that have the same family: those are of two genomes. The cut with the best part is
    taken, by `bin_score`, if that part beats the whole by 0.05, of those whose parts share 0.7 of the families or more
    that two genomes would (of those of archaea in a bin that has only these). Both parts are looked at again.

    Parameters
    ----------
    labels : int64 (n,) bins 0, 1, ..., -1 unbinned.
    vectors : float32 (n, d) unit rows that were binned.
    lengths : int64 (n,) bp.
    markers : of the same n contigs.

    Returns
    -------
    int64 (n,): parts with more bp keep the number of their bin, others get new ones. Nothing becomes unbinned; bins
    that are too small now are for the caller to drop. The same at any number of threads.
    """
    labels = labels.copy()
    pending = list(enumerate(rows_of_bins(labels)))
    n_before = len(pending)
    fresh = n_before
    with one_blas_thread():
        while pending and markers.families:
            label, rows = pending.pop()
            second = None
            if len(rows) > 1:
                second = _best_cut(vectors[rows], lengths[rows], markers.counts[rows], markers.archaeal)
            if second is not None:
                labels[rows[second]] = fresh
                pending += [(label, rows[~second]), (fresh, rows[second])]
                fresh += 1
    logger.info("doubled marker genes: %d bins become %d", n_before, fresh)
    return labels


def _best_cut(
    vectors: np.ndarray, lengths: np.ndarray, counts: np.ndarray, archaeal: np.ndarray | None
) -> np.ndarray | None:
    """The second part of the best cut, bool (n,); None where the bin is better whole."""
    if np.mean(counts.sum(axis=0, dtype=np.int64) > 1) < _LEAST_DOUBLED:
        return None
    best, best_score = None, bin_score(counts) + _LEAST_GAIN
    found = counts.any(axis=0)
    own = archaeal if archaeal is not None and is_archaeal(found, archaeal) else np.ones(len(found), dtype=bool)
    for start in _starts(vectors, lengths, counts):
        second, _ = two_parts(vectors, lengths, start)
        if second.any() and _may_be_two_genomes(counts[second][:, own], counts[~second][:, own]):
            score = max(bin_score(counts[part]) for part in (second, ~second))
            if score > best_score:
                best, best_score = second, score
    return best


def _may_be_two_genomes(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether parts of a bin share as many families as two genomes would, of which each has any family or not."""
    has_one, has_other = (part.any(axis=0) for part in (one, other))
    return bool((has_one & has_other).mean() >= _LEAST_SHARED * has_one.mean() * has_other.mean())


def _starts(vectors: np.ndarray, lengths: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray | None]:
    """Where a cut may begin: the principal axis (None), then the two longest contigs of a family, long pairs first."""
    yield None
    pairs = set()
    for column in np.flatnonzero((counts > 0).sum(axis=0) > 1):
        rows = np.flatnonzero(counts[:, column])
        longest = rows[np.argsort(-lengths[rows], kind="stable")[:2]]
        pairs.add((-int(lengths[longest].min()), *sorted(longest.tolist())))
    for _, a, b in sorted(pairs)[:_MAX_STARTS]:
        yield vectors @ vectors[b] > vectors @ vectors[a]


def bin_score(counts: np.ndarray) -> float:
    """Share of the families found minus five times the share found more than once, of contigs taken for one genome.

    As completeness - 5 contamination, but a family that is not single-copy counts once, however many genes it has.

    Parameters
    ----------
    counts : uint8 (n, m), m at least 1.
    """
    total = counts.sum(axis=0, dtype=np.int64)
    return float(np.mean(total > 0) - 5 * np.mean(total > 1))


def binning_score(labels: np.ndarray, markers: MarkerCounts) -> float:
    """How good a binning is: the sum of the squares of `bin_score` over its bins, without negative ones.

    A genome in two bins scores less than in one, and half of a genome counts, as it should where genomes are not whole.
    """
    if not markers.families:
        return 0.0
    return sum(max(bin_score(markers.counts[rows]), 0.0) ** 2 for rows in rows_of_bins(labels))


def choose_binning(candidates: Sequence[np.ndarray], markers: MarkerCounts) -> int:
    """Which of several binnings (labels of the same contigs) to keep, by `binning_score`.

    The first, unless another has a score a quarter higher: then the highest, the first of equals. Where of a genome
    only a part is known, two genomes in one bin hardly double any marker, and score more together than apart.
    """
    scores = np.array([binning_score(labels, markers) for labels in candidates])
    best = int(np.argmax(scores))
    return best if scores[best] > _CLEARLY_BETTER * scores[0] else 0

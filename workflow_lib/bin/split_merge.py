"""By composition and depth, bins that are two genomes are split, and bins that are one genome are merged."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from workflow_lib.bin.fuse import DepthProfile
from workflow_lib.bin.groups import rows_of_bins
from workflow_lib.bin.hidden_genome import hidden_genome
from workflow_lib.bin.kmedoid import UNBINNED
from workflow_lib.bin.mixture import (
    MIN_CONTIGS,
    Bins,
    Contigs,
    Noise,
    depth_variance,
    prepare,
    settle,
    weighted_means,
)
from workflow_lib.bin.relatives import NO_SPECIES, Relatives, species_of_bins, split_by_species
from workflow_lib.bin.two_genomes import (
    MIN_PART,
    are_two_parts,
    fit_two_depths,
    fit_two_genomes,
    gain_of_two_depths,
    gain_of_two_genomes,
    needed_gain,
)
from workflow_lib.blocks import block_pool, one_blas_thread
from workflow_lib.markers.counts import MarkerCounts

logger = logging.getLogger(__name__)

_MIN_SEPARATION = 2.5  # of two depths in a bin, in standard deviations of the noise
# Standard deviations of a contig's noise between compositions of bins that may be one; times sqrt(L), 1 without depth.
_CLOSE = 3.0
_CLOSE_WITH_MARKERS = 8.0  # the same, of bins whose marker genes complete each other
_CLOSE_WITHOUT_GAP = 7.0  # the same, of bins with contigs between them
_CLOSE_OF_SPECIES = 12.0  # the same, of bins of one species: names such as `sp.` may be those of several
_LEAST_BETWEEN = 0.1  # share of the two bins that lies between them, where there is no gap
# Share of the two bins that lies between their depths, where they are one genome torn by depth. A normal distribution
# that is cut has 0.19 to 0.21; of two, 2.5 standard deviations apart, 0.16 lie there, 4 apart 0.09.
_LEAST_BETWEEN_DEPTHS = 0.17
_TWICE = 0.05  # probability that a marker family of one part of a genome is in the other part too
_DECIDES = 3.0  # log-likelihood ratio of marker families, of one genome or of two
_COPIES = 0.01  # of the mean square deviation in a typical bin, below which a bin is one of copies
_PASSES = 4  # of the mixture between two rounds


def refine_by_likelihood(
    whitened: np.ndarray,
    profile: DepthProfile,
    lengths: np.ndarray,
    labels: np.ndarray,
    *,
    rounds: int,
    markers: MarkerCounts | None = None,
    relatives: Relatives | None = None,
    near_only: bool = False,
) -> np.ndarray:
    """Turn bins into a mixture of genomes, and split and merge them by composition and depth.

    Parameters
    ----------
    whitened : float32 (n, d), the embeddings times `metric.whitening`, not scaled to unit rows.
    profile : depth of the n contigs; of no libraries (`fuse.no_libraries`) composition decides alone.
    lengths : int64 (n,) bp.
    labels : int64 (n,) bins from K-medoid, -1 unbinned.
    rounds : of splitting and merging, at most, and as many again of merging bins without a gap; each ends when nothing
        changes.
    markers : single-copy genes of the n contigs, if they were sought: see `merge_bins`.
    relatives : nearest reference species of the n contigs, if they were sought.
    near_only : compare contigs with near bins only, see `mixture.settle`.

    Returns
    -------
    int64 (n,) bins 0, 1, ..., -1 unbinned: contigs that are likelier of a genome that has no bin. Bins of one or two
    contigs stay as they are, and so do bins of copies: 10,000 of a plasmid would have it that genomes have no noise.
    """
    apart = np.zeros(len(labels), dtype=bool)
    apart[labels != UNBINNED] = _are_apart(whitened[labels != UNBINNED], labels[labels != UNBINNED])
    rows = np.flatnonzero(~apart)
    refined = np.full(len(labels), UNBINNED, dtype=np.int64)
    if (labels[rows] != UNBINNED).any():
        profile = replace(profile, log=profile.log[rows], sampling=profile.sampling[rows])
        counts = markers.counts[rows] if markers is not None else np.zeros((len(rows), 0), dtype=np.uint8)
        contigs, noise = prepare(whitened[rows], profile, lengths[rows], relatives.of(rows) if relatives else None)
        refined[rows] = _refine(contigs, noise, labels[rows], rounds, counts, near_only)
    _, number = np.unique(labels[apart], return_inverse=True)
    refined[apart] = refined.max(initial=UNBINNED) + 1 + number
    return refined


def _are_apart(whitened: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether a contig's bin is too small, or its contigs too much alike, to tell of a genome's noise: bool (m,)."""
    if not len(labels):
        return np.zeros(0, dtype=bool)
    _, of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    means, _ = weighted_means(whitened, of, np.ones(len(of)))
    spread = np.bincount(of, ((whitened - means[of]) ** 2).sum(axis=1)) / np.maximum(sizes - 1, 1)
    small = sizes < MIN_CONTIGS
    typical = np.median(spread[~small]) if not small.all() else 0.0
    return (small | (spread < _COPIES * typical))[of]


def _refine(
    contigs: Contigs, noise: Noise, labels: np.ndarray, rounds: int, counts: np.ndarray, near_only: bool
) -> np.ndarray:
    labels, bins, noise = settle(contigs, noise, labels, passes=_PASSES, near_only=near_only)
    whole: set[bytes] = set()
    for number in range(rounds):
        variance = _noise_about_medians(contigs, labels)
        labels, n_merged = merge_bins(contigs, noise, bins, variance, labels, counts, without_gap=False)
        labels, n_split = split_bins(contigs, noise, bins, variance, labels, whole)
        labels, n_parted = split_by_species(contigs.relatives, labels)
        n_split += n_parted
        logger.info("round %d: %d pairs of bins merged, %d bins split", number + 1, n_merged, n_split)
        if not n_merged + n_split:
            break
        labels, bins, noise = settle(contigs, noise, labels, passes=_PASSES, near_only=near_only)
    for number in range(rounds):
        variance = _noise_about_medians(contigs, labels)
        labels, n_merged = merge_bins(contigs, noise, bins, variance, labels, counts, without_gap=True)
        logger.info("bins without a gap, round %d: %d pairs merged", number + 1, n_merged)
        if not n_merged:
            break
        labels, bins, noise = settle(contigs, noise, labels, passes=_PASSES, near_only=near_only)
    return labels


def split_bins(
    contigs: Contigs, noise: Noise, bins: Bins, variance: np.ndarray, labels: np.ndarray, whole: set[bytes]
) -> tuple[np.ndarray, int]:
    """Split the bins that are rather two genomes than one.

    With libraries, two depths are fitted to a bin, each with the noise of depth. They are taken if they gain more
    log-likelihood than `needed_gain`, lie 2.5 standard deviations of the noise apart, the smaller part has 5 contigs
    and a tenth of the bin, and `merge_bins` would not take them for one genome. If not, two compositions and depths
    together are taken on the same terms but for that distance; else `hidden_genome` decides. Parts of one species have
    to be two by depth.

    Parameters
    ----------
    contigs, noise, bins : as `mixture.settle` has them; of the bins only the axes count.
    variance : float64 (n, L) of log depth within a genome.
    labels : int64 (n,) bins 0, 1, ..., -1 unbinned.
    whole : bins, as the bytes of their rows, that were one genome before and are not looked at again: the noise hardly
        changes from round to round. Those that are found to be one are added.

    Returns
    -------
    labels, the new bins having the highest numbers, and how many bins were split. The same at any number of threads.
    """
    given, labels = labels, labels.copy()
    n_bins = n_new = int(labels.max(initial=-1)) + 1
    looked_at = [rows for rows in rows_of_bins(given) if rows.tobytes() not in whole]

    def second_of(rows: np.ndarray) -> np.ndarray | None:
        composition = contigs.composition[rows] @ bins.axes
        return _second_genome(composition, noise.composition[rows], contigs.log_depth[rows], variance[rows])

    def is_one(rows: np.ndarray, second: np.ndarray) -> bool:
        own, other = species_of_bins(contigs.relatives.of(rows), second.astype(np.int64), 2)
        depth = contigs.log_depth[rows], variance[rows]
        composition = contigs.composition[rows] @ bins.axes
        return own == other != NO_SPECIES and not _are_two_genomes(
            composition, noise.composition[rows], *depth, second, of_one_species=True
        )

    with block_pool() as map_blocks:
        for rows, second in zip(looked_at, map_blocks(second_of, looked_at), strict=True):
            if second is None:  # one at a time, for memory, and all by the bins that were given
                second = hidden_genome(contigs, noise, variance, given, rows)
            if second is None or is_one(rows, second):
                whole.add(rows.tobytes())
            else:
                labels[rows[second]] = n_new
                n_new += 1
    return labels, n_new - n_bins


def _second_genome(
    composition: np.ndarray, noise: np.ndarray, log_depth: np.ndarray, variance: np.ndarray
) -> np.ndarray | None:
    """Which contigs of a bin are of a second genome, bool (n,); None where it is one."""
    n, n_libraries = log_depth.shape
    if n < 2 * MIN_PART:
        return None
    if n_libraries:
        gain, separation, second = fit_two_depths(log_depth, variance)
        is_apart = gain > needed_gain(n, n_libraries) and separation > _MIN_SEPARATION and are_two_parts(second)
        if is_apart and _are_two_genomes(composition, noise, log_depth, variance, second):
            return second
    gain, second = fit_two_genomes(composition, noise, log_depth, variance)
    return second if gain > needed_gain(n, n_libraries, composition.shape[1]) and are_two_parts(second) else None


def merge_bins(
    contigs: Contigs,
    noise: Noise,
    bins: Bins,
    variance: np.ndarray,
    labels: np.ndarray,
    counts: np.ndarray,
    *,
    without_gap: bool,
) -> tuple[np.ndarray, int]:
    """Merge pairs of bins that neither composition nor depth tells apart, the closest first, each bin once.

    Their mean compositions are less than 3 sqrt(L) standard deviations of the noise of a median contig apart, once the
    noise of the means is taken off: the more libraries, the more it says that depths are the same. And by the gain of
    log-likelihood `split_bins` would not part them again, with the same `variance`; what `hidden_genome` parts is not
    asked for here, so that such a pair may be merged if it is as near.

    With `without_gap`, bins up to 7 sqrt(L) apart are merged too where a tenth of their weight (1 / variance) lies in
    the middle third of the line between them: atypical parts of a genome lie so, two genomes do not.

    Bins of the same reference species (`species_of_bins`) are merged up to 12 sqrt(L) apart, unless their depths part
    them; bins of two species never.

    Marker genes, `counts` (n, m), may forbid it: where the families that the two have in common are e^3 times likelier
    of two genomes than of one (`one_against_two`). And they may allow it for bins up to 8 sqrt(L) apart: where they are
    e^3 times likelier of one.

    Returns
    -------
    labels, with empty bins left in their numbering, and how many pairs were merged.
    """
    members = rows_of_bins(labels)
    species = species_of_bins(contigs.relatives, labels, len(members))
    pairs = _close_pairs(contigs, noise, bins, labels, counts, species, without_gap=without_gap)
    labels, used = labels.copy(), set()
    with one_blas_thread():
        for i, j in pairs:
            if i in used or j in used:
                continue
            rows = np.concatenate([members[i], members[j]])
            composition = contigs.composition[rows] @ bins.axes
            second = np.arange(len(rows)) >= len(members[i])
            of_depth = contigs.log_depth[rows], variance[rows], second
            is_same = species[i] == species[j] != NO_SPECIES
            if not _are_two_genomes(composition, noise.composition[rows], *of_depth, of_one_species=is_same):
                labels[members[j]] = i
                used |= {i, j}
    return labels, len(used) // 2


def _are_two_genomes(
    composition: np.ndarray,
    noise: np.ndarray,
    log_depth: np.ndarray,
    variance: np.ndarray,
    second: np.ndarray,
    *,
    of_one_species: bool = False,
) -> bool:
    """Whether two parts of some contigs gain what `split_bins` asks for; without libraries depths gain nothing.

    K-medoid may cut a genome along its depth. In the parts depth varies less than in the genome, so that with noise
    from such bins two depths always gain enough: they do not count where composition alone gains nothing and contigs
    fill the gap between the depths, as they do where a distribution was cut. Of one species it is depth that tells.
    """
    n, n_libraries = log_depth.shape
    if gain_of_two_depths(log_depth, variance, second) > needed_gain(n, n_libraries):
        if _share_between_depths(log_depth, variance, second) < _LEAST_BETWEEN_DEPTHS:
            return True
        no_depth = np.zeros((n, 0))
        return not of_one_species and gain_of_two_genomes(composition, noise, no_depth, no_depth, second) > 0
    gain = gain_of_two_genomes(composition, noise, log_depth, variance, second)
    return not of_one_species and gain > needed_gain(n, n_libraries, composition.shape[1])


def _may_be_one(found: np.ndarray, others: np.ndarray, is_close: np.ndarray) -> np.ndarray:
    """Which other bins may be one genome with a bin as marker families tell: bool (K,).

    Parameters
    ----------
    found : bool (m,) families of the bin.
    others : bool (K, m) of the others.
    is_close : bool (K,) others for which it is enough that markers do not speak against it.
    """
    n, n_others = int(np.count_nonzero(found)), np.count_nonzero(others, axis=1)
    both = np.count_nonzero(others & found, axis=1)
    for_one = [one_against_two(len(found), n, int(n_others[k]), int(both[k])) for k in range(len(others))]
    return np.array(for_one) > np.where(is_close, -_DECIDES, _DECIDES)


@lru_cache(maxsize=1 << 16)
def one_against_two(n_families: int, n: int, n_others: int, both: int) -> float:
    """Log-likelihood ratio of `both` families in common, of parts of one genome against two genomes.

    Parameters
    ----------
    n_families : that there are.
    n, n_others : families found in each of two bins.
    both : those found in both.

    Notes
    -----
    Parts of one genome share a family of the poorer one with a probability of 0.05 (binomial): a few genes are doubled,
    or false. Two genomes have each lost families at random (hypergeometric).
    """
    poorer = min(n, n_others)
    one = both * math.log(_TWICE) + (poorer - both) * math.log1p(-_TWICE) + math.log(math.comb(poorer, both))
    ways = math.comb(n, both) * math.comb(n_families - n, n_others - both)
    return one - (math.log(ways) - math.log(math.comb(n_families, n_others)))  # of integers too large for a float


def _close_pairs(
    contigs: Contigs, noise: Noise, bins: Bins, labels: np.ndarray, counts: np.ndarray, species: np.ndarray,
    *, without_gap: bool,
) -> list[tuple[int, int]]:  # fmt: skip
    """Pairs of bins that composition, marker genes and `species` may take for one genome, the closest first."""
    member = np.flatnonzero(labels != UNBINNED)
    present, of = np.unique(labels[member], return_inverse=True)
    with one_blas_thread():
        composition = contigs.composition[member] @ bins.axes
    weights = 1 / noise.composition[member]
    means, precision = weighted_means(composition, of, weights)
    rows = rows_of_bins(of)
    families = np.stack([counts[member[one]].any(axis=0) for one in rows])
    unit = math.sqrt(max(contigs.log_depth.shape[1], 1) * np.median(noise.composition))
    limit = unit * max(_CLOSE, _CLOSE_WITH_MARKERS if counts.size else 0, _CLOSE_WITHOUT_GAP if without_gap else 0)
    found = []
    for i in range(len(means) - 1):
        square = ((means[i + 1 :] - means[i]) ** 2).sum(axis=1)
        square -= means.shape[1] * (1 / precision[i + 1 :] + 1 / precision[i])
        distance = np.sqrt(np.maximum(square, 0))
        is_same, is_other = _compare_species(species[present[i]], species[present[i + 1 :]])
        is_same &= distance < _CLOSE_OF_SPECIES * unit
        near = np.flatnonzero(((distance < limit) | is_same) & ~is_other)
        is_close = (distance[near] < _CLOSE * unit) | is_same[near]
        for at in np.flatnonzero(~is_close & (distance[near] < _CLOSE_WITHOUT_GAP * unit)) if without_gap else ():
            other = i + 1 + near[at]
            both = np.concatenate([rows[i], rows[other]])
            between = _share_between(composition[both], weights[both], means[i], means[other])
            is_close[at] = between > _LEAST_BETWEEN
        near = near[_may_be_one(families[i], families[i + 1 + near], is_close)]
        found += [(distance[j], int(present[i]), int(present[i + 1 + j])) for j in near]
    return [(i, j) for _, i, j in sorted(found)]


def _compare_species(own: int, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which bins (K,) are of the species of a bin, and which of another one; neither where it is not known."""
    known = (others != NO_SPECIES) & (own != NO_SPECIES)
    return known & (others == own), known & (others != own)


def _share_between(composition: np.ndarray, weights: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Share of the weight of contigs (n, d) in the middle third between two centres, along the line that joins them."""
    line = second - first
    position = np.einsum("ij,j->i", composition - first, line) / (line**2).sum()  # no BLAS
    return float(weights[np.abs(position - 0.5) < 1 / 6].sum() / weights.sum())


def _share_between_depths(log_depth: np.ndarray, variance: np.ndarray, second: np.ndarray) -> float:
    """`_share_between` of two parts of contigs, bool (n,), by their log depths in units of each library's noise."""
    typical = np.median(variance, axis=0)
    scaled, weights = log_depth / np.sqrt(typical), typical / variance
    first, other = (np.average(scaled[part], axis=0, weights=weights[part]) for part in (~second, second))
    return _share_between(scaled, weights.mean(axis=1), first, other)


def _noise_about_medians(contigs: Contigs, labels: np.ndarray) -> np.ndarray:
    """Variance of log depth (n, L) within genomes, about the median of each bin.

    In a bin of two genomes the median is that of the larger part, so that the variance does not grow as it would about
    the mean.
    """
    member = np.flatnonzero(labels != UNBINNED)
    medians = np.stack(
        [
            np.median(contigs.log_depth[rows], axis=0) if len(rows) else np.zeros(contigs.log_depth.shape[1])
            for rows in rows_of_bins(labels)
        ]
    )
    return depth_variance(contigs, member, (contigs.log_depth[member] - medians[labels[member]]) ** 2)

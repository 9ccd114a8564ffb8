"""From vectors to bins: metric, fusion, threshold, K-medoid, refinement, and which bins are kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from workflow_lib.bin.adapt import adapt
from workflow_lib.bin.alike_libraries import pool_alike
from workflow_lib.bin.common_bias import without_common_bias
from workflow_lib.bin.depth_share import depth_share
from workflow_lib.bin.fuse import Depth, depth_profile, fuse, fuse_pieces, no_libraries
from workflow_lib.bin.gc_bias import gc_folds, without_gc_bias
from workflow_lib.bin.kmedoid import UNBINNED, kmedoid
from workflow_lib.bin.leftovers import LIBRARIES_OF_LEFTOVERS, bin_leftovers
from workflow_lib.bin.marker_split import split_by_markers
from workflow_lib.bin.metric import MIN_PIECES, Pieces, whiten, whitening
from workflow_lib.bin.neighbours import NeighbourQuality, find_lists
from workflow_lib.bin.refine import refine
from workflow_lib.bin.relatives import Relatives
from workflow_lib.bin.similarity import ThresholdedSimilarity
from workflow_lib.bin.split_merge import refine_by_likelihood
from workflow_lib.bin.threshold import Threshold, label_free
from workflow_lib.blocks import block_pool, one_blas_thread
from workflow_lib.embed.base import unit_rows
from workflow_lib.markers.counts import MarkerCounts

logger = logging.getLogger(__name__)

_SHARE_CONTIGS = 2000  # contigs that the share which can be binned is measured on, at most
_SHARE_BLOCK = 256
_MIN_STEPS, _CONTIGS_A_STEP = 1000, 50  # of K-medoid
_FIRST_RECALL = 0.9  # of neighbours, in a round that only has to tell whether there are some bins
_NO_MEDOID = "not within the threshold of any of the medoids tried (bin.max_steps at most)"
_UNKNOWN = "likelier of a genome without a bin than of any bin"


@dataclass(frozen=True)
class BinningOptions:
    """How to bin; the keys of the configuration's section `bin`.

    Attributes
    ----------
    min_bin_size : contigs below which a bin is dropped, unless it has `min_bin_length`.
    min_bin_length : bp.
    max_steps : medoids tried at most; None: 1,000, or one for every 50 contigs where that is more.
    iterations : passes that refine a medoid.
    depth_weight : share of depth in the similarity, 0 to below 1; None: what the sample tells (`depth_share`).
    refine_passes : passes of `refine` after K-medoid; 0: none. A percentile threshold has none.
    adapt_from : bins of a first round from which on the space is adapted (`adapt`); 0: never. With no given threshold.
    neighbours_from : contigs from which on K-medoid compares those that are near each other only (`find_lists`; not on
        a GPU), and later steps a contig with near bins only (`near_bins`); 0: never.
    neighbours_recall : share of a contig's neighbours within the threshold that it is to find then.
    device : "cpu", "cuda" or "cuda:N": of K-medoid.
    mixture_rounds : rounds of splitting and merging bins by likelihood (`refine_by_likelihood`), where the space was
        adapted; 0: none.
    seed : of everything random.
    """

    min_bin_size: int = 10
    min_bin_length: int = 200_000
    max_steps: int | None = None
    iterations: int = 3
    depth_weight: float | None = None
    refine_passes: int = 5
    adapt_from: int = 2
    mixture_rounds: int = 4
    neighbours_from: int = 100_000
    neighbours_recall: float = 0.995
    device: str = "cpu"
    seed: int = 1

    def steps_for(self, n: int) -> int:
        """Medoids tried at most for n contigs."""
        return max(_MIN_STEPS, n // _CONTIGS_A_STEP) if self.max_steps is None else self.max_steps

    def is_large(self, n: int) -> bool:
        """Whether n contigs are too many to be compared with all bins."""
        return 0 < self.neighbours_from <= n

    def has_lists(self, n: int) -> bool:
        """Whether n contigs are too many to be compared with each other; on a GPU no number is."""
        return self.is_large(n) and self.device == "cpu"


@dataclass(frozen=True)
class Binning:
    """Bins of n contigs and how they came about.

    Attributes
    ----------
    labels : int64 (n,) 0 for the longest bin, 1 for the next, ...; -1 is unbinned.
    reasons : n texts, why a contig is unbinned; empty where it is binned.
    vectors : float32 (n, D) the fused unit rows that were binned.
    threshold : what joined them.
    can_bin_share : share of contigs with enough others within the threshold, or long enough, to make a bin.
    n_dropped : bins that were too small.
    libraries : names of the libraries that entered.
    depth_share : share of depth in the similarity; 0 without depth.
    depth_noise : standard deviation of log depth within a genome, a library.
    learned : what was learned of the space from the sample: "nothing", "whitening", or "adaptation".
    pieces : halves of contigs in the space of `vectors`.
    neighbours : what K-medoid found of all neighbours; None where it compared all pairs.
    has_mixture : whether bins were split, merged and refined by likelihood.
    gc_folds : library -> how much GC content changes its depth (`gc_bias.gc_folds`), where that was taken off.
    """

    labels: np.ndarray
    reasons: list[str]
    vectors: np.ndarray
    threshold: Threshold
    can_bin_share: float
    n_dropped: int
    libraries: list[str]
    depth_share: float
    depth_noise: list[float]
    learned: str
    pieces: Pieces
    neighbours: NeighbourQuality | None = None
    has_mixture: bool = False
    gc_folds: dict[str, float] = field(default_factory=dict)

    @property
    def n_bins(self) -> int:
        """Number of bins kept."""
        return int(self.labels.max(initial=-1)) + 1


def assign_bins(
    vectors: np.ndarray,
    lengths: np.ndarray,
    pieces: Pieces,
    options: BinningOptions,
    *,
    depth: Depth | None = None,
    gc: np.ndarray | None = None,
    threshold: Threshold | None = None,
    markers: MarkerCounts | None = None,
    relatives: Relatives | None = None,
) -> Binning:
    """Bin contigs: the last of `binnings`."""
    return binnings(
        vectors, lengths, pieces, options, depth=depth, gc=gc, threshold=threshold, markers=markers, relatives=relatives
    )[-1]


def binnings(
    vectors: np.ndarray,
    lengths: np.ndarray,
    pieces: Pieces,
    options: BinningOptions,
    *,
    depth: Depth | None = None,
    gc: np.ndarray | None = None,
    threshold: Threshold | None = None,
    markers: MarkerCounts | None = None,
    relatives: Relatives | None = None,
) -> list[Binning]:
    """Bin contigs, and keep what each step found.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows, the embeddings; n may be 0.
    lengths : int64 (n,) bp.
    pieces : halves of some of these contigs.
    options : how to bin.
    depth : of these contigs; None bins on composition alone.
    gc : float64 (n,) share of G and C, NaN where it has none: depth is freed of GC bias from the second binning on
        (`without_gc_bias`). None: depth is taken as it is.
    threshold : None finds one from the halves. One with method "percentile" holds for the embeddings as they are: they
        are then neither whitened nor joined with depth. A "fixed" one holds for the whitened vectors with depth,
        in the share that is given or found.
    markers : single-copy genes of these contigs, for the mixture; what it returns is not split by them.
    relatives : nearest reference species of these contigs, for the mixture.

    Returns
    -------
    The binning in the whitened space (not of a large sample that is adapted), that in the adapted space where there is
    one, and that after the mixture where there is one. Bins are kept with `min_bin_size` contigs or `min_bin_length`
    bp.
    """
    if threshold is not None and threshold.method == "percentile":  # as published
        return [_bin_in(vectors, pieces, lengths, None, options, threshold, learned="nothing")]
    learned = "whitening" if len(pieces) >= MIN_PIECES else "nothing"
    may_adapt = threshold is None and options.adapt_from and learned != "nothing"
    bin_whitened = partial(_bin_in, *whiten(vectors, pieces), lengths, depth, threshold=threshold, learned=learned)
    first = options
    if may_adapt and options.has_lists(len(vectors)):  # the densest bins tell whether there are enough
        steps = min(options.steps_for(len(vectors)), _MIN_STEPS)
        recall = min(options.neighbours_recall, _FIRST_RECALL)
        first = replace(options, max_steps=steps, neighbours_recall=recall, refine_passes=0)
    found = [bin_whitened(options=first)]
    if may_adapt and found[0].n_bins < options.adapt_from and first is not options:
        found = [bin_whitened(options=options)]
    if may_adapt and found[0].n_bins >= options.adapt_from:
        logger.info("%d bins: enough genomes to adapt the space to them and bin again", found[0].n_bins)
        del bin_whitened
        unbiased, folds = _without_gc_bias(depth, gc, lengths, found[0])
        if first is not options:
            found.clear()  # no binning in full; its vectors go before others are made
        adapted = _bin_in(*adapt(vectors, pieces), lengths, unbiased, options, None, learned="adaptation")
        found.append(replace(adapted, gc_folds=folds))
        if adapted.n_bins and options.mixture_rounds:
            unbiased, folds = _without_gc_bias(depth if adapted.depth_share else None, gc, lengths, adapted)
            settled = _refine_by_likelihood(adapted, vectors, pieces, lengths, unbiased, options, markers, relatives)
            found.append(replace(settled, gc_folds=folds))
    return found


def _without_gc_bias(
    depth: Depth | None, gc: np.ndarray | None, lengths: np.ndarray, binning: Binning
) -> tuple[Depth | None, dict[str, float]]:
    """Depth for the next binning, and what GC changed of it; as it is where none is used, or no GC is known."""
    if depth is None or gc is None or not binning.depth_share:
        return depth, {}
    unbiased = without_gc_bias(depth, gc, lengths, binning.labels)
    return unbiased, gc_folds(depth, unbiased)


def _bin_in(
    vectors: np.ndarray,
    pieces: Pieces,
    lengths: np.ndarray,
    depth: Depth | None,
    options: BinningOptions,
    threshold: Threshold | None,
    *,
    learned: str,
) -> Binning:
    """Bin contigs in one space: vectors and pieces are in it already, depth joins them here."""
    profile = depth_profile(depth, vectors, lengths) if depth is not None and len(vectors) else None
    share = depth_share(vectors, pieces, profile, given=options.depth_weight, seed=options.seed)
    pieces = fuse_pieces(pieces, profile, share, seed=options.seed)
    vectors = fuse(vectors, profile, share, seed=options.seed)
    libraries = profile.libraries if profile else []
    noise = [float(value) for value in profile.noise] if profile else []
    if threshold is None:
        threshold = label_free(vectors, pieces, seed=options.seed)
    can_bin = _can_bin_share(vectors, lengths, threshold.value, options)
    logger.info(
        "similarity is %.0f%% depth (%d libraries) and %.0f%% composition; threshold %.4f (%s), it can bin %.1f%% of "
        "the contigs", 100 * share, len(libraries), 100 - 100 * share, threshold.value, threshold.method, 100 * can_bin,
    )  # fmt: skip
    found, neighbours = _find_medoids(vectors, threshold.value, options)
    embedded = vectors.any(axis=1)
    labels, reasons, n_dropped = _keep_bins(found, lengths, embedded, options)
    if options.refine_passes and threshold.method != "percentile":
        labels, reasons, n_smaller = _refine(vectors, labels, reasons, lengths, threshold.value, options)
        n_dropped += n_smaller
    return Binning(
        labels, reasons, vectors, threshold, can_bin, n_dropped, libraries, share, noise, learned, pieces, neighbours
    )


def _find_medoids(
    vectors: np.ndarray, threshold: float, options: BinningOptions
) -> tuple[np.ndarray, NeighbourQuality | None]:
    """Labels of K-medoid, bins of one contig included; and what it found of all neighbours, None where all pairs."""
    lists = None
    if options.has_lists(len(vectors)) and threshold > 0:
        lists = find_lists(vectors, threshold, recall=options.neighbours_recall, seed=options.seed)
    steps = options.steps_for(len(vectors))
    labels = kmedoid(
        vectors, threshold, min_bin_size=1, max_steps=steps, iterations=options.iterations, lists=lists,
        device=options.device,
    )  # fmt: skip
    if labels.max(initial=-1) + 1 == steps:
        logger.info(
            "K-medoid ended at %d steps (bin.max_steps); %d contigs are in no bin yet",
            *(steps, np.count_nonzero(labels == UNBINNED)),
        )
    return labels, lists.quality if lists else None


def _refine(
    vectors: np.ndarray,
    labels: np.ndarray,
    reasons: list[str],
    lengths: np.ndarray,
    threshold: float,
    options: BinningOptions,
) -> tuple[np.ndarray, list[str], int]:
    """Labels after `refine`, a reason for every unbinned contig, bins that have become too small."""
    near_only = options.is_large(len(vectors))
    refined = refine(vectors, labels, lengths, threshold, passes=options.refine_passes, near_only=near_only)
    return _keep_again(refined, reasons, lengths, vectors.any(axis=1), options)


def split_binning_by_markers(
    binning: Binning, lengths: np.ndarray, markers: MarkerCounts, options: BinningOptions
) -> Binning:
    """The binning after `split_by_markers`; `markers` and `lengths` are of the same contigs."""
    found = split_by_markers(binning.labels, binning.vectors, lengths, markers)
    embedded = binning.vectors.any(axis=1)
    labels, reasons, n_dropped = _keep_again(found, binning.reasons, lengths, embedded, options)
    return replace(binning, labels=labels, reasons=reasons, n_dropped=binning.n_dropped + n_dropped)


def _keep_again(
    found: np.ndarray, reasons: list[str], lengths: np.ndarray, embedded: np.ndarray, options: BinningOptions
) -> tuple[np.ndarray, list[str], int]:
    """As `_keep_bins`; a contig that no bin has taken keeps its reason."""
    labels, new_reasons, n_dropped = _keep_bins(found, lengths, embedded, options)
    reasons = [new if was != UNBINNED else old for old, new, was in zip(reasons, new_reasons, found, strict=True)]
    return labels, reasons, n_dropped


def _refine_by_likelihood(
    binning: Binning,
    vectors: np.ndarray,
    pieces: Pieces,
    lengths: np.ndarray,
    depth: Depth | None,
    options: BinningOptions,
    markers: MarkerCounts | None,
    relatives: Relatives | None,
) -> Binning:
    """The binning after `refine_by_likelihood`; `vectors` and `pieces` are the embeddings as they are."""
    with one_blas_thread():
        whitened = vectors @ whitening(pieces.vectors)
    profile = None
    if depth is not None:
        depth = without_common_bias(pool_alike(depth, lengths, binning.labels), lengths, binning.labels)
        profile = depth_profile(depth, unit_rows(whitened), lengths)
    find = partial(
        refine_by_likelihood, whitened, profile or no_libraries(len(lengths)), lengths, rounds=options.mixture_rounds,
        markers=markers, relatives=relatives, near_only=options.is_large(len(vectors)),
    )  # fmt: skip
    found = find(binning.labels)
    if len(binning.libraries) >= LIBRARIES_OF_LEFTOVERS:
        sizes = {"min_bin_size": options.min_bin_size, "min_bin_length": options.min_bin_length}
        extended = bin_leftovers(
            found, binning.vectors, binning.pieces, lengths,
            lambda vectors, threshold: _find_medoids(vectors, threshold, options)[0], **sizes, seed=options.seed,
        )  # fmt: skip
        found = find(extended) if extended is not found else found
    if markers is not None:
        found = find(split_by_markers(found, binning.vectors, lengths, markers))
    # A contig long enough is a bin of its own.
    long = np.flatnonzero((found == UNBINNED) & (lengths >= options.min_bin_length) & vectors.any(axis=1))
    found[long] = found.max() + 1 + np.arange(len(long))
    labels, reasons, n_dropped = _keep_bins(found, lengths, vectors.any(axis=1), options, outside=_UNKNOWN)
    return replace(binning, labels=labels, reasons=reasons, n_dropped=n_dropped, has_mixture=True)


def _keep_bins(
    found: np.ndarray,
    lengths: np.ndarray,
    embedded: np.ndarray,
    options: BinningOptions,
    *,
    outside: str = _NO_MEDOID,
) -> tuple[np.ndarray, list[str], int]:
    """Labels by decreasing length of the bins that are kept, a reason for every other contig, bins dropped.

    `outside` is the reason of a contig that was found in no bin.
    """
    n_found = int(found.max(initial=-1)) + 1
    counts = np.bincount(found[found >= 0], minlength=n_found)
    total = np.bincount(found[found >= 0], weights=lengths[found >= 0], minlength=n_found).astype(np.int64)
    kept = (counts >= options.min_bin_size) | (total >= options.min_bin_length)
    order = np.argsort(-np.where(kept, total, -1), kind="stable")[: np.count_nonzero(kept)]
    number = np.full(n_found + 1, UNBINNED, dtype=np.int64)  # the last one serves label -1
    number[order] = np.arange(len(order))
    labels = number[found]
    reasons = [""] * len(found)
    for row in np.flatnonzero(labels == UNBINNED):
        bin_of_row = found[row]
        if not embedded[row]:
            reasons[row] = "nothing to embed in its sequence"
        elif bin_of_row < 0:
            reasons[row] = outside
        elif counts[bin_of_row] == 1:
            reasons[row] = "no other contig is in its bin"
        else:
            reasons[row] = (
                f"its bin is too small: {counts[bin_of_row]} contigs of {options.min_bin_size}, "
                f"{total[bin_of_row]} bp of {options.min_bin_length}"
            )
    return labels, reasons, int(np.count_nonzero(counts > 1) - np.count_nonzero(kept & (counts > 1)))


def _can_bin_share(vectors: np.ndarray, lengths: np.ndarray, threshold: float, options: BinningOptions) -> float:
    """Share of contigs that have `min_bin_size` contigs within the threshold, themselves included, or are long enough.

    Measured on up to 2,000 contigs spread over all; 0 for no contig.
    """
    n = len(vectors)
    if not n:
        return 0.0
    chosen = np.unique(np.linspace(0, n - 1, min(n, _SHARE_CONTIGS)).astype(np.int64))
    with block_pool() as map_blocks:
        similarity = ThresholdedSimilarity(threshold, largest_norm=1.0, dim=vectors.shape[1], map_blocks=map_blocks)
        blocks = [chosen[start : start + _SHARE_BLOCK] for start in range(0, len(chosen), _SHARE_BLOCK)]
        counts = np.concatenate([similarity.neighbour_counts(vectors[block], vectors) for block in blocks])
    alone = (lengths[chosen] >= options.min_bin_length) & (counts > 0)
    return float(np.mean((counts >= options.min_bin_size) | alone))

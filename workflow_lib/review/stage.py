"""The review of a sample's given bins, from its files to its files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from workflow_lib.bin.adapt import adapt
from workflow_lib.bin.depth_share import depth_share
from workflow_lib.bin.fuse import Depth, depth_profile, fuse
from workflow_lib.bin.gc_bias import without_gc_bias
from workflow_lib.bin.inputs import gc_content, read_depth, read_pieces, read_sequence_facts, read_status
from workflow_lib.bin.metric import Pieces, whiten
from workflow_lib.bin_folders import read_bins
from workflow_lib.errors import InputError
from workflow_lib.review.contigs import ContigVerdicts, judge_contigs
from workflow_lib.review.genomes import BinVerdicts, judge_bins
from workflow_lib.review.outputs import Review, write_review
from workflow_lib.store import read_store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReviewInputs:
    """Files of a sample: the bins that were given, and what novabin knows of the contigs; `depth` may be None."""

    bins: str | Path
    contigs: str | Path
    status: str | Path
    embeddings: str | Path
    pieces: str | Path
    depth: str | Path | None = None


@dataclass(frozen=True)
class ReviewOptions:
    """How to judge.

    Attributes
    ----------
    false_alarm : see `contigs.judge_contigs` and `genomes.judge_bins`.
    depth_weight, adapt_from, seed : as for binning; `adapt_from` counts the bins that were given.
    """

    false_alarm: float = 0.01
    depth_weight: float | None = None
    adapt_from: int = 2
    seed: int = 1


def review_sample(
    inputs: ReviewInputs, options: ReviewOptions, *, contigs: str | Path, bins: str | Path, merges: str | Path
) -> Review:
    """Judge the bins that were given and write contigs.tsv, bins.tsv and merges.tsv (see docs/output.md).

    Raises
    ------
    InputError
        when the bins are of other contigs, or a file cannot be read.
    """
    store = read_store(inputs.embeddings)
    lengths, bases = read_sequence_facts(inputs.contigs, store.names)
    depth = read_depth(inputs.depth, store) if inputs.depth else None
    status = read_status(inputs.status)
    contigs_of_sample = {row.contig for row in status}
    given = read_bins(inputs.bins, contigs_of_sample)
    unknown = sorted(set(given) - contigs_of_sample)
    if unknown:
        raise InputError(
            f"{len(unknown)} of its {len(given)} contigs are not in the sample, e.g. {', '.join(unknown[:3])}",
            path=inputs.bins,
            remedy="give bins of the very contigs that samples.tsv names",
        )
    judged = {given[name] for name in store.names if name in given}
    names = list(dict.fromkeys(given[row.contig] for row in status if row.contig in given))
    names.sort(
        key=lambda name: name not in judged
    )  # bins of filtered contigs only come last: there is nothing to judge
    number = {name: i for i, name in enumerate(names)}
    labels = np.array([number[given[name]] if name in given else -1 for name in store.names], dtype=np.int64)
    logger.info(
        "%d contigs in %d bins, %d of them can be judged", len(given), len(names), np.count_nonzero(labels >= 0)
    )
    if depth is not None:
        depth = without_gc_bias(depth, gc_content(bases), lengths, labels)
    vectors = _space(store.vectors, read_pieces(inputs.pieces), lengths, depth, len(names), options)
    of_contigs, of_bins = judge(vectors, labels, lengths, false_alarm=options.false_alarm)
    of_bins = _with_unjudged(of_bins, len(names))
    review = Review(status, given, store.names, names, labels, lengths, of_contigs, of_bins)
    write_review(review, contigs=contigs, bins=bins, merges=merges)
    return review


def judge(
    vectors: np.ndarray, labels: np.ndarray, lengths: np.ndarray, *, false_alarm: float = 0.01
) -> tuple[ContigVerdicts, BinVerdicts]:
    """Judge contigs, with these verdicts bins, and contigs again, those of a bin to be split by the part they are in.

    Parameters
    ----------
    vectors, labels, lengths, false_alarm : as for `contigs.judge_contigs`.

    Returns
    -------
    The verdicts. `other_bins` of the contigs name bins; a contig misplaced in its part that fits the other part names
    its own bin.
    """
    n_bins = int(labels.max(initial=-1)) + 1
    found = judge_contigs(vectors, labels, lengths, false_alarm=false_alarm)
    of_bins = judge_bins(vectors, labels, lengths, found.verdicts, false_alarm=false_alarm)
    if of_bins.split.any():
        second = (of_bins.parts == 2) & np.append(of_bins.split, False)[labels]
        found = judge_contigs(vectors, np.where(second, labels + n_bins, labels), lengths, false_alarm=false_alarm)
    other = np.where(found.other_bins >= n_bins, found.other_bins - n_bins, found.other_bins)
    return (
        ContigVerdicts(found.verdicts, found.distances, found.expected, found.p_values, other, found.other_distances),
        of_bins,
    )


def _with_unjudged(verdicts: BinVerdicts, n_bins: int) -> BinVerdicts:
    """The verdicts with those of further bins, of which nothing is known."""
    further = n_bins - len(verdicts.split)
    return replace(
        verdicts,
        distances=np.append(verdicts.distances, np.full(further, np.nan)),
        p_values=np.append(verdicts.p_values, np.full(further, np.nan)),
        split=np.append(verdicts.split, np.zeros(further, dtype=bool)),
    )


def _space(
    vectors: np.ndarray, pieces: Pieces, lengths: np.ndarray, depth: Depth | None, n_bins: int, options: ReviewOptions
) -> np.ndarray:
    """The vectors that novabin would bin: adapted to the sample where there are enough bins, joined with depth."""
    learn = adapt if options.adapt_from and n_bins >= options.adapt_from else whiten
    vectors, pieces = learn(vectors, pieces)
    profile = depth_profile(depth, vectors, lengths) if depth is not None and len(vectors) else None
    share = depth_share(vectors, pieces, profile, given=options.depth_weight, seed=options.seed)
    return fuse(vectors, profile, share, seed=options.seed)

"""The bin stage of one sample, from its files to its files."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.bin.assign import Binning, BinningOptions, binnings, split_binning_by_markers
from workflow_lib.bin.inputs import gc_content, read_depth, read_pieces, read_sequence_facts, read_status
from workflow_lib.bin.marker_split import choose_binning
from workflow_lib.bin.outputs import (
    describe_bins,
    write_assignments,
    write_bins_table,
    write_contigs_table,
    write_summary,
    zero_bins_reason,
)
from workflow_lib.bin.read_counts import refuse_read_counts
from workflow_lib.bin.relatives import read_relatives
from workflow_lib.bin.threshold import Threshold, class_center_percentiles, read_labelled
from workflow_lib.errors import InputError
from workflow_lib.markers.counts import MarkerCounts, read_counts
from workflow_lib.store import EmbeddingStore, read_store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BinInputs:
    """Files that a sample's bins are made from.

    `depth` is None where no library is counted on the sample, the tables of marker genes where none are sought,
    `relatives` where there is no reference.
    """

    contigs: str | Path
    status: str | Path
    embeddings: str | Path
    pieces: str | Path
    depth: str | Path | None = None
    marker_genes: str | Path | None = None
    marker_families: str | Path | None = None
    relatives: str | Path | None = None


@dataclass(frozen=True)
class BinOutputs:
    """Files that tell of a sample's bins; `summary` is written last."""

    contig2bin: str | Path
    bioboxes: str | Path
    bins: str | Path
    contigs: str | Path
    summary: str | Path


@dataclass(frozen=True)
class ThresholdOptions:
    """How to find the threshold.

    Attributes
    ----------
    method : "label_free", "percentile" or "fixed".
    value : similarity, for fixed.
    percentile : 0 to below 100, for percentile.
    labelled : TSV of sequence and label, for percentile.
    embedder : name and options of the embedder of the sample's contigs, for percentile.
    """

    method: str = "label_free"
    value: float | None = None
    percentile: float = 70
    labelled: str | Path | None = None
    embedder: dict | None = None


def bin_sample(
    sample: str,
    inputs: BinInputs,
    outputs: BinOutputs,
    options: BinningOptions,
    threshold_options: ThresholdOptions,
) -> None:
    """Bin the contigs of a sample and write what there is to say about them.

    Raises
    ------
    InputError
        when the files do not belong together, depth holds numbers of reads, or the threshold asked for cannot be had.
    """
    started = time.monotonic()
    store = read_store(inputs.embeddings)
    lengths, bases = read_sequence_facts(inputs.contigs, store.names)
    depth = read_depth(inputs.depth, store) if inputs.depth else None
    logger.info("%d contigs, %d bp, %s", len(lengths), lengths.sum(), _describe_depth(depth))
    if depth is not None and options.depth_weight != 0 and threshold_options.method != "percentile":  # is used
        refuse_read_counts(depth, store.vectors, lengths)
    threshold = find_threshold(threshold_options, store, has_depth=depth is not None)
    pieces = read_pieces(inputs.pieces)
    markers = None
    if inputs.marker_genes and inputs.marker_families:
        markers = read_counts(inputs.marker_genes, inputs.marker_families, store.names)
    gc = gc_content(bases)
    relatives = read_relatives(inputs.relatives, store.names) if inputs.relatives else None
    found = binnings(
        store.vectors, lengths, pieces, options, depth=depth, gc=gc, threshold=threshold, markers=markers,
        relatives=relatives,
    )  # fmt: skip
    binning = _choose_by_markers(found, markers, lengths, options) if markers else found[-1]
    rows = describe_bins(binning, store.names, lengths, bases, depth)
    write_assignments(outputs.contig2bin, outputs.bioboxes, store.names, binning, sample)
    write_bins_table(outputs.bins, rows, depth.libraries if depth else [])
    counts = write_contigs_table(outputs.contigs, read_status(inputs.status), store.names, binning)
    write_summary(outputs.summary, binning, counts, rows=rows, embedder=store.manifest, relatives=relatives)
    if reason := zero_bins_reason(binning, counts):
        logger.warning("no bins: %s", reason)
    share = 100 * sum(row.length_bp for row in rows) / max(lengths.sum(), 1)
    logger.info(
        "%d bins hold %d contigs, %.1f%% of the bp (%d groups too small), %.1f s",
        *(binning.n_bins, counts["binned"], share, binning.n_dropped, time.monotonic() - started),
    )


def _choose_by_markers(
    found: Sequence[Binning], markers: MarkerCounts, lengths: np.ndarray, options: BinningOptions
) -> Binning:
    """The last of several binnings, each split by markers, or one that is clearly better by its marker genes."""
    if found[-1].threshold.method == "percentile":
        logger.info("a percentile threshold: bins are as published, marker genes do not split them")
        return found[-1]
    if not markers.counts.any():
        logger.info("no marker genes were found: they neither split bins nor choose a binning")
        return found[-1]
    split = [split_binning_by_markers(one, lengths, markers, options) for one in reversed(found)]
    best = choose_binning([one.labels for one in split], markers)
    logger.info("the binning of step %d of %d is kept, by its marker genes", len(found) - best, len(found))
    return split[best]


def _describe_depth(depth) -> str:
    return f"depth in {len(depth.libraries)} libraries" if depth else "no depth: binned by composition only"


def find_threshold(options: ThresholdOptions, store: EmbeddingStore, *, has_depth: bool = False) -> Threshold | None:
    """The threshold that does not come from the sample; None where it does (label_free).

    Raises
    ------
    InputError
        when a fixed value or the labelled sequences are not given, or are embedded by another embedder.
    """
    if options.method == "label_free":
        return None
    if options.method == "fixed":
        if options.value is None:
            raise InputError(
                "bin.threshold.method is fixed, but bin.threshold.value is not given",
                remedy="give a similarity, or set the method to label_free",
            )
        return Threshold("fixed", float(options.value))
    if options.method != "percentile":
        raise InputError(f"found threshold method {options.method!r}, expected label_free, percentile or fixed")
    if options.labelled is None:
        raise InputError(
            "bin.threshold.method is percentile, but bin.threshold.labelled is not given",
            remedy="give a TSV of sequence and label, or set the method to label_free",
        )
    return _labelled_threshold(options, store, has_depth=has_depth)


def _labelled_threshold(options: ThresholdOptions, store: EmbeddingStore, *, has_depth: bool) -> Threshold:
    from workflow_lib.embed import load_embedder

    sequences, labels = read_labelled(options.labelled)
    embedder = load_embedder(**(options.embedder or {}))
    if embedder.fingerprint != store.manifest.get("fingerprint"):
        raise InputError(
            f"the contigs were embedded by another embedder than {embedder.name} ({embedder.fingerprint[:12]})",
            remedy="delete the embeddings of this sample and run again",
        )
    value = float(class_center_percentiles(embedder.embed(sequences), labels, [options.percentile])[0])
    note = (
        f"percentile {options.percentile:g} of {len(sequences)} sequences in {len(set(labels))} classes; as published"
    )
    note += ", the embeddings are neither whitened"
    note += " nor joined with depth: depth is not used" if has_depth else " nor joined with depth"
    logger.info("threshold: %s", note)
    return Threshold("percentile", value, note)

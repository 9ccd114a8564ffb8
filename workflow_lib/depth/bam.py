"""Mean and variance of depth a contig from a sorted BAM or CRAM file, as MetaBAT's depth tool defines them."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np
import pysam

from workflow_lib.depth.alignments import has_index, indexed_reference, match_contigs, open_alignments
from workflow_lib.depth.coverage import BEYOND_END, NO_NM, add_alignments, finish_contig
from workflow_lib.errors import InputError

# Alignments that MetaBAT's tool leaves out; supplementary ones and pairs that do not fit count.
LEFT_OUT = pysam.FUNMAP | pysam.FSECONDARY | pysam.FQCFAIL | pysam.FDUP
SAMPLED_READS = 10_000  # at the head of the file, for the mean read length
LONG_READ = 1_000  # bp; from this mean length on reads are long ones
_BATCH_OPERATIONS = 200_000  # CIGAR operations handed to the compiled code at once: about 30 MB as Python objects
_TASKS_A_PROCESS = 4  # ranges of contigs; several a process, so that none waits long for the last
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cut:
    """Which alignments count: the share of identical bases, the mapping quality; and the bp left out at each end."""

    min_identity: float
    min_mapq: int
    edge: int


@dataclass(frozen=True)
class LibraryDepth:
    """Depth of one library on the contigs of a sample.

    Attributes
    ----------
    mean, variance : float64 (n,) in the order of the contigs asked for; sample variance along a contig.
    found : alignments on these contigs (primary and supplementary, no duplicates, enough mapping quality).
    counted : those of them that reach the identity cut.
    without_nm : those of `found` that have no NM tag.
    """

    mean: np.ndarray
    variance: np.ndarray
    found: int
    counted: int
    without_nm: int


def measure_bam(
    path: str | Path,
    names: list[str],
    lengths: list[int],
    *,
    min_identity: float,
    min_identity_long: float | None = None,
    max_edge: int = 75,
    min_mapq: int = 0,
    assembly: str | Path | None = None,
    threads: int = 1,
) -> LibraryDepth:
    """Mean and variance of depth along each contig from a coordinate-sorted BAM or CRAM file.

    Depth at a position is the number of alignments with an aligned base there. An alignment counts if its share of
    identical bases (coverage.add_alignments) reaches the cut. At each contig end min(max_edge, mean read length) bp are
    left out. The variance is that of a sample (n - 1). Definitions: MetaBAT's jgi_summarize_bam_contig_depths (Kang et
    al. 2019, PeerJ 7:e7359). With an index and several threads ranges of contigs are read by processes of their own;
    the result is the same. Memory: 4 bytes a bp of the longest contig and process, and about 100 MB.

    Parameters
    ----------
    path : BAM or CRAM. Contigs of it that are not asked for are left out.
    names, lengths : contigs, names up to the first blank, bp.
    min_identity : share of identical bases, 0 to 1.
    min_identity_long : the cut instead where reads are 1,000 bp long or more on average; None: the same.
    max_edge : bp. min_mapq : mapping quality.
    assembly : FASTA that the reads were mapped to; CRAM cannot be read without it.
    threads : processes, where there is an index.

    Raises
    ------
    InputError
        when the file is cut short, no BAM or CRAM, not sorted, or made from other contigs.
    """
    start = time.monotonic()
    with indexed_reference(path, assembly) as reference:
        with open_alignments(path, reference) as handle:
            rows = match_contigs(handle, path, names, lengths)
            cut = _choose_cut(handle, path, min_identity, min_identity_long, max_edge, min_mapq)
        indexed = threads > 1 and len(names) > 1 and has_index(path)
        results = (
            _read_ranges(path, reference, rows, cut, threads) if indexed else [_read_stream(path, reference, rows, cut)]
        )
    depth = _gather(results, len(names))
    _log_depth(depth, path, cut, time.monotonic() - start)
    return depth


def _choose_cut(
    handle: pysam.AlignmentFile,
    path: str | Path,
    min_identity: float,
    min_identity_long: float | None,
    max_edge: int,
    min_mapq: int,
) -> Cut:
    """The cut for the mean length of the first reads (secondary and supplementary alignments are not whole reads)."""
    bp, n = 0, 0
    for alignment in handle.fetch(until_eof=True):
        if not alignment.flag & (pysam.FSECONDARY | pysam.FSUPPLEMENTARY) and alignment.query_length:
            bp, n = bp + alignment.query_length, n + 1
            if n == SAMPLED_READS:
                break
    mean_length = bp // n if n else 0
    if min_identity_long is not None and mean_length >= LONG_READ:
        logger.info("%s: reads of %s bp on average, the cut of long reads applies", path, f"{mean_length:,}")
        min_identity = min_identity_long
    return Cut(min_identity, min_mapq, min(max_edge, mean_length))


class _Counter:
    """Takes the alignments of one contig after the other and counts what it saw."""

    def __init__(self, path: str | Path, lengths: Sequence[int], names: Sequence[str], cut: Cut) -> None:
        self.path, self.lengths, self.names, self.cut = path, lengths, names, cut
        self.found = self.counted = self.without_nm = 0
        self._change = np.zeros(max(lengths, default=0) + 1, dtype=np.int32)
        self._clear()

    def _clear(self) -> None:
        self._starts, self._nms, self._ends, self._operations = [], [], [], []

    def add(self, contig: int, alignments: Iterator[pysam.AlignedSegment]) -> tuple[float, float]:
        """Mean and variance of one contig from all its alignments."""
        min_mapq = self.cut.min_mapq
        for alignment in alignments:
            if alignment.flag & LEFT_OUT or alignment.mapping_quality < min_mapq:
                continue
            operations = alignment.cigartuples
            if not operations:
                continue
            try:
                nm = alignment.get_tag("NM")
            except KeyError:
                nm = NO_NM
                self.without_nm += 1
            self._starts.append(alignment.reference_start)
            self._nms.append(nm)
            self._operations.extend(operations)
            self._ends.append(len(self._operations))
            if len(self._operations) >= _BATCH_OPERATIONS:
                self._flush(contig)
        self._flush(contig)
        return finish_contig(self._change, self.lengths[contig], self.cut.edge)

    def _flush(self, contig: int) -> None:
        if not self._starts:
            return
        starts, nms, ends = (np.array(values, dtype=np.int64) for values in (self._starts, self._nms, self._ends))
        operations = np.array(self._operations, dtype=np.int64)
        length = self.lengths[contig]
        counted = add_alignments(self._change, length, starts, nms, ends, operations, self.cut.min_identity)
        if counted == BEYOND_END:
            raise InputError(
                f"an alignment reaches beyond the end of contig {self.names[contig]} ({length:,} bp)",
                path=self.path,
                remedy="the file is damaged or its header was changed: repeat the mapping",
            )
        self.found += len(starts)
        self.counted += counted
        self._clear()


@dataclass(frozen=True)
class _Part:
    """Depth of some contigs: rows int64 (m,), mean and variance float64 (m,), and the three counts of LibraryDepth."""

    rows: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    counts: tuple[int, int, int]


def _part(results: list[tuple[int, float, float]], counter: _Counter) -> _Part:
    table = np.array(results, dtype=np.float64).reshape(-1, 3)
    counts = (counter.found, counter.counted, counter.without_nm)
    return _Part(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], counts)


def _read_stream(path: str | Path, reference: str | None, rows: np.ndarray, cut: Cut) -> _Part:
    """Every contig in one pass over the file, without an index."""
    with open_alignments(path, reference) as handle:
        counter, results = _Counter(path, handle.lengths, handle.references, cut), []
        seen = np.zeros(len(rows), dtype=bool)
        for contig, alignments in groupby(handle.fetch(until_eof=True), key=attrgetter("reference_id")):
            if contig < 0:
                continue
            if seen[contig]:
                raise InputError(
                    f"not sorted by coordinate: contig {handle.references[contig]} comes up again after another one",
                    path=path,
                    remedy=f"samtools sort -o sorted.bam {path}, and give sorted.bam",
                )
            seen[contig] = True
            if rows[contig] >= 0:
                results.append((rows[contig], *counter.add(contig, alignments)))
    return _part(results, counter)


def _read_ranges(path: str | Path, reference: str | None, rows: np.ndarray, cut: Cut, threads: int) -> list[_Part]:
    """The same through the index: ranges of contigs of about the same length, a few for each process."""
    with open_alignments(path, reference) as handle:
        wanted = np.flatnonzero(rows >= 0)
        done = np.cumsum(np.array(handle.lengths, dtype=np.int64)[wanted])
    n_tasks = min(len(wanted), threads * _TASKS_A_PROCESS)
    cuts = np.searchsorted(done, done[-1] * np.arange(1, n_tasks) / n_tasks)
    tasks = [task for task in np.split(wanted, cuts) if len(task)]
    # Forked: a new interpreter would run the script that called this once more.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(min(threads, len(tasks)), mp_context=context) as pool:
        shared = [[value] * len(tasks) for value in (path, reference, cut)]
        return list(pool.map(_read_contigs, tasks, [rows[task] for task in tasks], *shared))


def _read_contigs(contigs: np.ndarray, rows: np.ndarray, path: str | Path, reference: str | None, cut: Cut) -> _Part:
    with open_alignments(path, reference) as handle:
        counter = _Counter(path, handle.lengths, handle.references, cut)
        results = [
            (row, *counter.add(contig, handle.fetch(tid=contig))) for contig, row in zip(contigs, rows, strict=True)
        ]
    return _part(results, counter)


def _gather(parts: list[_Part], n: int) -> LibraryDepth:
    mean, variance = np.zeros(n), np.zeros(n)
    for part in parts:
        mean[part.rows], variance[part.rows] = part.mean, part.variance
    return LibraryDepth(mean, variance, *(sum(part.counts[i] for part in parts) for i in range(3)))


def _log_depth(depth: LibraryDepth, path: str | Path, cut: Cut, seconds: float) -> None:
    share = depth.counted / depth.found if depth.found else 0.0
    logger.info(
        "%s: %s alignments on %s contigs in %.1f s (%s a second), %.1f%% of them at least %g%% identical; %d bp left "
        "out at each end",
        path,
        f"{depth.found:,}",
        f"{len(depth.mean):,}",
        seconds,
        f"{depth.found / max(seconds, 1e-9):,.0f}",
        100 * share,
        100 * cut.min_identity,
        cut.edge,
    )
    if not depth.found and len(depth.mean):
        logger.warning("%s: no alignment on any contig; the depth of this library is 0 everywhere", path)
    elif depth.found and not depth.counted:
        logger.warning("%s: no alignment reaches %g%% identity; depth is 0 everywhere", path, 100 * cut.min_identity)
    if depth.without_nm:
        logger.warning(
            "%s: %s alignments have no NM tag, so their mismatches are not known; `samtools calmd` adds it",
            path,
            f"{depth.without_nm:,}",
        )

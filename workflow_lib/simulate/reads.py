"""Paired short reads with errors, as FASTQ; fast, and the same bytes for the same seed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from workflow_lib.files import atomic_gzip
from workflow_lib.simulate.community import READ_LENGTH, Community
from workflow_lib.simulate.streams import random_stream

logger = logging.getLogger(__name__)

_INSERT_MEAN, _INSERT_SD = 350, 50  # bp
_SHORT_SHARE, _SHORT_INSERTS = 0.02, (50, 140)  # fragments shorter than a read, in bp: the adapter is read
_BAD_SHARE = 0.01  # reads of low quality throughout
_ADAPTERS = (b"AGATCGGAAGAGCACACGTCTGAACTCCAGTCA", b"AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGT")  # Illumina TruSeq, R1 and R2
_QUALITIES = np.array([37, 23, 12, 2])  # Phred scores, binned as recent instruments write them
# Share of the bases with a score of 23, 12 or less, at the first and the last base of a read.
_WORSE_FIRST, _WORSE_LAST = np.array([0.05, 0.01, 0.0005]), np.array([0.30, 0.06, 0.003])
_WORSE_BAD = np.array([0.98, 0.90, 0.35])  # the same all over a bad read
_BLOCK = 1 << 15  # pairs made at a time, about 60 MB
_U16 = 1 << 16

# Letters to codes 0..3; any other letter, an N above all, to 4.
_CODES = np.full(256, 4, dtype=np.uint8)
_CODES[list(b"ACGTacgt")] = [0, 1, 2, 3] * 2
_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.uint8)


def write_read_pairs(paths: tuple[str | Path, str | Path], community: Community, *, library: int, seed: int) -> int:
    """Write the read pairs of one library as two gzip FASTQ files and return how many there are.

    Fragments are about normal (350, 50) bp and spread evenly over the place of their contig in the genome, so that
    reads run over a contig's ends. Errors are substitutions at the rate that a base's quality states: 0.3% on
    average, rising along the read. 2% of the fragments are shorter than a read and show the adapter; 1% of the reads
    are bad throughout.

    Parameters
    ----------
    paths : files of the first and second reads.
    community : genomes, contigs and numbers of pairs.
    library : position of the library in `community.libraries`.
    seed : random seed; each library has a random stream of its own.
    """
    start = time.monotonic()
    rng = random_stream(seed, "reads", library)
    text, middles, limits = _draw_middles(community, library, rng)
    with ExitStack() as stack:
        handles = [stack.enter_context(atomic_gzip(path)) for path in paths]
        for first in range(0, len(middles), _BLOCK):
            block = slice(first, first + _BLOCK)
            reads = _draw_block(text, middles[block], limits[:, block], rng)
            for mate, (handle, codes) in enumerate(zip(handles, reads, strict=True)):
                handle.write(_format_block(codes, community.libraries[library], first, mate, rng))
    seconds = time.monotonic() - start
    logger.info("%s: wrote %d read pairs in %.1f s", community.libraries[library], len(middles), seconds)
    return len(middles)


def _draw_middles(community: Community, library: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Bases of all genomes end to end (uint8 codes); for each pair, in random order, its middle and sequence's ends."""
    sources = [sequence for genome in community.genomes for sequence in genome.sequences]
    ends = np.cumsum([len(sequence) for sequence in sources])
    first = np.cumsum([0] + [len(genome.sequences) for genome in community.genomes])
    row = np.array([first[contig.genome] + contig.source for contig in community.contigs])
    offset = ends[row] - np.array([len(sources[i]) for i in row])
    begin = offset + [contig.start for contig in community.contigs]
    contig = rng.permutation(np.repeat(np.arange(len(row)), community.pairs[:, library]))
    middles = begin[contig] + (rng.random(len(contig)) * community.lengths[contig]).astype(np.int64)
    text = _CODES[np.frombuffer(b"".join(sources), dtype=np.uint8)]
    return text, middles, np.stack([offset, ends[row]])[:, contig]


def _draw_block(
    text: np.ndarray, middles: np.ndarray, limits: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """True bases of the first and the second reads of a block: uint8 codes (pairs, READ_LENGTH), adapters included."""
    n = len(middles)
    inserts = (_INSERT_MEAN + _INSERT_SD * rng.standard_normal(n)).astype(np.int64)
    short = rng.random(n) < _SHORT_SHARE
    inserts[short] = rng.integers(*_SHORT_INSERTS, size=int(short.sum()))
    inserts = np.minimum(np.maximum(inserts, _SHORT_INSERTS[0]), limits[1] - limits[0])
    begin = np.clip(middles - inserts // 2, limits[0], limits[1] - inserts)
    flipped = rng.random(n) < 0.5
    site = np.arange(READ_LENGTH)
    for mate, adapter in enumerate(_ADAPTERS):
        reverse = flipped ^ bool(mate)
        origin = np.where(reverse, begin + inserts - 1, begin)
        step = np.where(reverse, -1, 1)
        place = origin[:, None] + step[:, None] * site
        codes = text[np.clip(place, 0, len(text) - 1)]
        codes[reverse] = _COMPLEMENT[codes[reverse]]
        yield _read_through(codes, inserts, adapter, rng)


def _read_through(codes: np.ndarray, inserts: np.ndarray, adapter: bytes, rng: np.random.Generator) -> np.ndarray:
    """Put the adapter, then random bases, behind the end of fragments shorter than the read."""
    tail = np.concatenate([_CODES[np.frombuffer(adapter, dtype=np.uint8)], np.zeros(READ_LENGTH, dtype=np.uint8)])
    for i in np.flatnonzero(inserts < READ_LENGTH):
        beyond = READ_LENGTH - int(inserts[i])
        codes[i, inserts[i] :] = tail[:beyond]
        if beyond > len(adapter):
            codes[i, inserts[i] + len(adapter) :] = rng.integers(0, 4, size=beyond - len(adapter))
    return codes


def _sequence(codes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What the instrument reads of the true bases: letters and quality characters, uint8 of the shape of `codes`."""
    progress = np.linspace(0, 1, READ_LENGTH) ** 2
    worse = _WORSE_FIRST + progress[:, None] * (_WORSE_LAST - _WORSE_FIRST)
    drawn = rng.integers(0, _U16, size=codes.shape, dtype=np.uint16)
    bad = rng.random(len(codes)) < _BAD_SHARE
    level = np.zeros(codes.shape, dtype=np.uint8)
    for usual, in_bad in zip((worse * _U16).astype(np.uint16).T, (_WORSE_BAD * _U16).astype(np.uint16), strict=True):
        level += drawn < np.where(bad[:, None], in_bad, usual)
    error = np.minimum(10 ** (-_QUALITIES / 10) * _U16, 0.75 * _U16).astype(np.uint16)
    wrong = rng.integers(0, _U16, size=codes.shape, dtype=np.uint16) < error[level]
    wrong &= codes < 4
    codes = codes.copy()
    codes[wrong] = (codes[wrong] + rng.integers(1, 4, size=int(wrong.sum()), dtype=np.uint8)) % 4
    level[codes == 4] = len(_QUALITIES) - 1  # an N is read with the worst score
    return _LETTERS[codes], (33 + _QUALITIES).astype(np.uint8)[level]


def _format_block(codes: np.ndarray, library: str, first: int, mate: int, rng: np.random.Generator) -> bytes:
    """FASTQ text of a block; names have the same width, so that the text is a matrix of bytes."""
    letters, qualities = _sequence(codes, rng)
    n = len(codes)
    digits = 48 + (np.arange(first + 1, first + n + 1)[:, None] // 10 ** np.arange(8, -1, -1)) % 10
    parts = [f"@{library}.".encode(), digits, f"/{mate + 1}\n".encode(), letters, b"\n+\n", qualities, b"\n"]
    columns = [
        np.broadcast_to(np.frombuffer(part, dtype=np.uint8), (n, len(part))) if isinstance(part, bytes) else part
        for part in parts
    ]
    return np.concatenate(columns, axis=1, dtype=np.uint8, casting="unsafe").tobytes()

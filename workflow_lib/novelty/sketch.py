"""A k-mer sketch of the reference genomes: which of them share sequence with a contig, at contig lengths.

FracMinHash (Irber et al. 2022, bioRxiv 2022.01.11.475838): of all canonical k-mers those are kept whose hash is in the
lowest 1/scale of its range, so that the same k-mers are kept of every sequence. With containment C of a segment's
hashes in a genome, the identity of what they share is about C^(1/k) (Ondov et al. 2016, Genome Biol. 17:132).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.embed.base import as_bytes
from workflow_lib.embed.kmers import base_codes, compiled
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta
from workflow_lib.files import sha256_lines
from workflow_lib.manifest import MANIFEST_NAME, read_manifest, write_manifest
from workflow_lib.novelty.identity import MIN_SHARED, K, Matches
from workflow_lib.store import array_writer, write_array
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)

SEGMENT = 10_000  # bp; longer sequences are compared in parts, so that a shared part of a long contig shows
_VERSION = 1  # of the hash
_HASHES, _CODES = "hashes.npy", "genomes.npy"
_BATCH = 1 << 22  # hashes that are looked up at a time
_MOST_PAIRS = 1 << 22  # of hashes with genomes, that are sorted at a time
_MERGED = 1 << 24  # hashes that are merged at a time, about
_BASE_CODES = base_codes()


@compiled("int64(uint8[::1], uint8[::1], int64, uint64, uint64[::1])")
def _hash_kmers(text, codes, k, limit, kept):  # pragma: no cover -- compiled
    """Write the hashes up to `limit` of the canonical k-mers; give back how many."""
    bits = np.uint64(2 * k)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    top = np.uint64(2 * (k - 1))
    forward, backward, run, n = np.uint64(0), np.uint64(0), 0, 0
    for i in range(len(text)):
        code = np.uint64(codes[text[i]])
        if code == np.uint64(4):
            run = 0
            continue
        forward = ((forward << np.uint64(2)) | code) & mask
        backward = (backward >> np.uint64(2)) | ((code ^ np.uint64(1)) << top)
        run += 1
        if run < k:
            continue
        # The finaliser of splitmix64 (Steele, Lea & Flood 2014): every bit depends on every bit.
        x = min(forward, backward)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
        if x <= limit:
            kept[n] = x
            n += 1
    return n


@compiled("void(uint64[::1], uint64[::1], int64[::1], int64[::1])")
def _find_runs(hashes, wanted, first, counts):  # pragma: no cover -- compiled
    """Write where the rows of `hashes` begin that equal each wanted hash, and how many there are; both ascending."""
    low = 0  # no row before it is as large as the wanted hash
    for i in range(len(wanted)):
        step = 1
        while low + step < len(hashes) and hashes[low + step] < wanted[i]:
            low += step
            step *= 2
        high = min(low + step, len(hashes))
        while low < high:
            middle = (low + high) // 2
            if hashes[middle] < wanted[i]:
                low = middle + 1
            else:
                high = middle
        end = low
        while end < len(hashes) and hashes[end] == wanted[i]:
            end += 1
        first[i], counts[i] = low, end - low


@compiled("void(int32[::1], int64[::1], int64[::1], int32[::1])")
def _gather(codes, first, counts, found):  # pragma: no cover -- compiled
    """Write the genomes of the runs that `_find_runs` found."""
    n = 0
    for i in range(len(first)):
        for row in range(first[i], first[i] + counts[i]):
            found[n] = codes[row]
            n += 1


def hash_sequence(sequence: bytes, scale: int) -> np.ndarray:
    """Hashes kept of a sequence, uint64, ascending and distinct, about length / scale; the same on both strands."""
    text = np.frombuffer(bytearray(sequence), dtype=np.uint8)
    kept = np.empty(len(text), dtype=np.uint64)
    n = _hash_kmers(text, _BASE_CODES, K, np.uint64((1 << 64) // scale - 1), kept)
    return np.unique(kept[:n])


def cut_segments(sequence: bytes) -> list[bytes]:
    """Parts of a sequence, as even as can be, of about `SEGMENT` bp; a sequence below one and a half is one part."""
    n = max(1, round(len(sequence) / SEGMENT))
    bounds = [i * len(sequence) // n for i in range(n + 1)]
    return [sequence[bounds[i] : bounds[i + 1]] for i in range(n)]


@dataclass(frozen=True)
class Sketch:
    """Hashes of G genomes.

    Attributes
    ----------
    hashes : uint64 (H,), ascending. codes : int32 (H,), position in `genomes`; both may be memory maps.
    genomes : G names. scale : one of how many k-mers is kept.
    sketch_id : twelve digits that tell this sketch from any other; of the writer.
    """

    hashes: np.ndarray
    codes: np.ndarray
    genomes: list[str]
    scale: int
    sketch_id: str

    def match(self, sequences: Iterable[bytes | str], genomes: list[str]) -> Matches:
        """What sequences share with genomes.

        Parameters
        ----------
        genomes : names by whose order the result numbers genomes; others of the sketch are passed over.

        Memory: one sequence, 64 bytes for each of a batch of 4 million hashes (200 Mbp at a scale of 50), 45 for each
        of 4 million pairs of a hash with a genome that has it (of more where one segment has them), and what is shared.
        """
        position = {name: code for code, name in enumerate(genomes)}
        order = np.array([position.get(name, -1) for name in self.genomes], dtype=np.int64)
        owners, sizes, found = [], [], [(np.zeros(0, np.int64),) * 3]
        batch: list[np.ndarray] = []
        n_wanted = 0
        for owner, sequence in enumerate(sequences):
            for segment in cut_segments(as_bytes([sequence])[0]):
                batch.append(hash_sequence(segment, self.scale))
                n_wanted += len(batch[-1])
                owners.append(owner)
                sizes.append(len(batch[-1]))
                if n_wanted >= _BATCH:
                    found += self._count(batch, len(owners) - len(batch))
                    batch, n_wanted = [], 0
        found += self._count(batch, len(owners) - len(batch))
        segment, code, shared = (np.concatenate(values) for values in zip(*found, strict=True))
        kept = order[code] >= 0
        owner, size = (np.array(values, dtype=np.int64) for values in (owners, sizes))
        return Matches(owner, size, segment[kept], order[code[kept]], shared[kept])

    def _count(self, batch: list[np.ndarray], first_segment: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(segment, position in `genomes`, hashes shared), int64, of all pairs with `MIN_SHARED` of these segments.

        Hashes are looked up in ascending order, so that the sketch is read once a batch and from its beginning to its
        end: it may be larger than the memory.
        """
        if not batch:
            return []
        wanted = np.concatenate(batch)
        by_hash = np.argsort(wanted, kind="stable")
        first, counts = (np.empty(len(wanted), dtype=np.int64) for _ in range(2))
        _find_runs(self.hashes, wanted[by_hash], first, counts)
        if counts.sum() > _MOST_PAIRS and len(batch) > 1:  # sequence that very many genomes share
            half = len(batch) // 2
            del wanted, by_hash, first, counts
            return self._count(batch[:half], first_segment) + self._count(batch[half:], first_segment + half)
        codes = np.empty(counts.sum(), dtype=np.int32)
        _gather(self.codes, first, counts, codes)
        segment = np.repeat(np.arange(len(batch)), [len(hashes) for hashes in batch])[by_hash]
        pairs, shared = np.unique(np.repeat(segment, counts) * len(self.genomes) + codes, return_counts=True)
        pairs, shared = pairs[shared >= MIN_SHARED], shared[shared >= MIN_SHARED]
        return [(pairs // len(self.genomes) + first_segment, pairs % len(self.genomes), shared)]


def sketch_genomes(genomes: Iterable[Genome], *, scale: int) -> Sketch:
    """Sketch genomes from their FASTA files.

    Memory: 24 bytes a hash while they are sorted, 12 after; a genome of 4 Mbp at a scale of 50 has 80,000.
    """
    read = ((genome.name, (record.sequence for record in read_fasta(genome.fasta))) for genome in genomes)
    return sketch_sequences(read, scale=scale)


def sketch_sequences(genomes: Iterable[tuple[str, Iterable[bytes]]], *, scale: int) -> Sketch:
    """Sketch genomes, each a name and its sequences; memory as of `sketch_genomes`."""
    start, names, hashes, n_bp = time.monotonic(), [], [np.zeros(0, np.uint64)], 0
    for name, sequences in genomes:
        parts = [np.zeros(0, np.uint64)]
        for sequence in sequences:
            parts.append(hash_sequence(sequence, scale))
            n_bp += len(sequence)
        names.append(name)
        hashes.append(np.unique(np.concatenate(parts)))
    codes = np.repeat(np.arange(len(names), dtype=np.int32), [len(part) for part in hashes[1:]])
    joined = np.concatenate(hashes)
    order = np.argsort(joined, kind="stable")
    joined, codes = joined[order], codes[order]
    digests = hashlib.sha256(joined.data).hexdigest(), hashlib.sha256(codes.data).hexdigest()
    identity = _identify(digests, scale, names)
    seconds = time.monotonic() - start
    logger.info("%d genomes (%d bp) sketched to %d hashes in %.1f s", len(names), n_bp, len(joined), seconds)
    return Sketch(joined, codes, names, scale, identity)


def _identify(digests: tuple[str, str], scale: int, genomes: list[str]) -> str:
    """The `sketch_id`; `digests`: SHA-256 of the hashes and of the codes."""
    return sha256_lines([*digests, f"{_VERSION} {K} {scale}", *genomes])[:12]


def write_sketch(folder: str | Path, sketch: Sketch) -> None:
    """Write a sketch to `folder`; the manifest comes last."""
    folder = Path(folder)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    write_array(folder / _HASHES, sketch.hashes)
    write_array(folder / _CODES, sketch.codes)
    _write_manifest(folder, sketch.scale, sketch.genomes, sketch.sketch_id)


def merge_sketches(folder: str | Path, parts: Sequence[Sketch]) -> None:
    """Write to `folder` one sketch of the genomes of all parts, in their order; as of `sketch_genomes` of them all.

    Parameters
    ----------
    parts : of one scale, at least one; their arrays may be memory maps.

    Memory: 32 bytes a hash of a block of 16 million, about.
    """
    folder, start = Path(folder), time.monotonic()
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    scale, names = parts[0].scale, [name for part in parts for name in part.genomes]
    shape, digests = (sum(len(part.hashes) for part in parts),), (hashlib.sha256(), hashlib.sha256())
    with (
        array_writer(folder / _HASHES, np.uint64, shape) as write_hashes,
        array_writer(folder / _CODES, np.int32, shape) as write_codes,
    ):
        for block in _merged_blocks(parts):
            for values, digest, write in zip(block, digests, (write_hashes, write_codes), strict=True):
                digest.update(values.data)
                write(values)
    identity = _identify(tuple(digest.hexdigest() for digest in digests), scale, names)
    _write_manifest(folder, scale, names, identity)
    seconds = time.monotonic() - start
    logger.info("%d sketches of %d genomes merged to %d hashes in %.1f s", len(parts), len(names), *shape, seconds)


def _merged_blocks(parts: Sequence[Sketch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the hashes and genomes of all parts in ranges of hashes, sorted."""
    n_blocks = sum(len(part.hashes) for part in parts) // _MERGED + 1
    # Hashes are evenly distributed: so are ranges of their values.
    largest = (1 << 64) // parts[0].scale
    ends = np.array([largest * (block + 1) // n_blocks for block in range(n_blocks - 1)], dtype=np.uint64)
    cuts = [np.concatenate([[0], np.searchsorted(part.hashes, ends), [len(part.hashes)]]) for part in parts]
    firsts = np.cumsum([0, *(len(part.genomes) for part in parts)], dtype=np.int32)[:-1]
    for block in range(n_blocks):
        rows = [slice(*cut[block : block + 2]) for cut in cuts]
        hashes = np.concatenate([part.hashes[own] for part, own in zip(parts, rows, strict=True)])
        codes = np.concatenate([part.codes[own] + first for part, own, first in zip(parts, rows, firsts, strict=True)])
        order = np.argsort(hashes, kind="stable")
        yield hashes[order], codes[order]


def _write_manifest(folder: Path, scale: int, genomes: list[str], sketch_id: str) -> None:
    content = {"version": _VERSION, "k": K, "scale": scale, "genomes": genomes, "sketch_id": sketch_id}
    write_manifest(folder, content, checksums=[_HASHES, _CODES], sealed=True)


def read_sketch(folder: str | Path) -> Sketch:
    """Read and verify a sketch; its arrays are memory maps.

    Raises
    ------
    InputError
        when it is unfinished, damaged, or of another version of the hash.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, sealed=True)
    if (manifest.get("version"), manifest.get("k")) != (_VERSION, K):
        raise InputError(
            f"a sketch of version {manifest.get('version')} and k {manifest.get('k')}, expected {_VERSION} and {K}",
            path=folder / MANIFEST_NAME,
            remedy=f"delete {folder} and run again",
        )
    # Compiled code takes plain, writable arrays: maps whose pages would be copied on a write, and nothing writes.
    hashes, codes = (np.load(folder / name, mmap_mode="c").view(np.ndarray) for name in (_HASHES, _CODES))
    return Sketch(hashes, codes, manifest["genomes"], int(manifest["scale"]), manifest["sketch_id"])

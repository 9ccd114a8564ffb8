"""A k-mer sketch of the reference genomes: which of them share sequence with a contig, at contig lengths.

FracMinHash (Irber et al. 2022, bioRxiv 2022.01.11.475838): of all canonical k-mers those are kept whose hash is in the
lowest 1/scale of its range, so that the same k-mers are kept of every sequence. With containment C of a segment's
hashes in a genome, the identity of what they share is about C^(1/k) (Ondov et al. 2016, Genome Biol. 17:132).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable
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
from workflow_lib.store import write_array
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)

SEGMENT = 10_000  # bp; longer sequences are compared in parts, so that a shared part of a long contig shows
_VERSION = 1  # of the hash
_HASHES, _CODES = "hashes.npy", "genomes.npy"
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


@compiled("int64(uint64[::1], uint64[::1], int64[::1])")
def _find_runs(hashes, wanted, first):  # pragma: no cover -- compiled
    """Write the first row of `hashes` (ascending) of each wanted hash, -1 where there is none; return how many rows."""
    total = 0
    for i in range(len(wanted)):
        low, high = 0, len(hashes)
        while low < high:
            middle = (low + high) // 2
            if hashes[middle] < wanted[i]:
                low = middle + 1
            else:
                high = middle
        first[i] = -1
        if low < len(hashes) and hashes[low] == wanted[i]:
            first[i] = low
            while low < len(hashes) and hashes[low] == wanted[i]:
                total += 1
                low += 1
    return total


@compiled("void(uint64[::1], int32[::1], int64[::1], int32[::1])")
def _gather(hashes, codes, first, found):  # pragma: no cover -- compiled
    """Write the genomes of the runs that `_find_runs` found."""
    n = 0
    for i in range(len(first)):
        row = first[i]
        while row >= 0 and row < len(hashes) and hashes[row] == hashes[first[i]]:
            found[n] = codes[row]
            n += 1
            row += 1


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

        Memory: one sequence, and what is shared.
        """
        position = {name: code for code, name in enumerate(genomes)}
        order = np.array([position.get(name, -1) for name in self.genomes], dtype=np.int64)
        owners, sizes, segments, codes, shared = [], [], [], [], []
        for owner, sequence in enumerate(sequences):
            for segment in cut_segments(as_bytes([sequence])[0]):
                wanted = hash_sequence(segment, self.scale)
                found, counts = self._count(wanted)
                found = order[found]
                kept = (counts >= MIN_SHARED) & (found >= 0)
                segments.append(np.full(kept.sum(), len(owners), dtype=np.int64))
                codes.append(found[kept])
                shared.append(counts[kept])
                owners.append(owner)
                sizes.append(len(wanted))
        return Matches(
            *(np.array(values, dtype=np.int64) for values in (owners, sizes)),
            *(np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (segments, codes, shared)),
        )

    def _count(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(positions in `genomes`, hashes shared) of the genomes that share any of `wanted`."""
        first = np.empty(len(wanted), dtype=np.int64)
        found = np.empty(_find_runs(self.hashes, wanted, first), dtype=np.int32)
        _gather(self.hashes, self.codes, first, found)
        return np.unique(found, return_counts=True)


def sketch_genomes(genomes: Iterable[Genome], *, scale: int) -> Sketch:
    """Sketch genomes from their FASTA files.

    Memory: 24 bytes a hash while they are sorted, 12 after; a genome of 4 Mbp at a scale of 50 has 80,000.
    """
    start, names, hashes, n_bp = time.monotonic(), [], [np.zeros(0, np.uint64)], 0
    for genome in genomes:
        parts = [np.zeros(0, np.uint64)]
        for record in read_fasta(genome.fasta):
            parts.append(hash_sequence(record.sequence, scale))
            n_bp += len(record.sequence)
        names.append(genome.name)
        hashes.append(np.unique(np.concatenate(parts)))
    codes = np.repeat(np.arange(len(names), dtype=np.int32), [len(part) for part in hashes[1:]])
    joined = np.concatenate(hashes)
    order = np.argsort(joined, kind="stable")
    joined, codes = joined[order], codes[order]
    digest = hashlib.sha256(joined.data)
    digest.update(codes.data)
    identity = sha256_lines([digest.hexdigest(), f"{_VERSION} {K} {scale}", *names])[:12]
    seconds = time.monotonic() - start
    logger.info("%d genomes (%d bp) sketched to %d hashes in %.1f s", len(names), n_bp, len(joined), seconds)
    return Sketch(joined, codes, names, scale, identity)


def write_sketch(folder: str | Path, sketch: Sketch) -> None:
    """Write a sketch to `folder`; the manifest comes last."""
    folder = Path(folder)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    write_array(folder / _HASHES, sketch.hashes)
    write_array(folder / _CODES, sketch.codes)
    content = {"version": _VERSION, "k": K, "scale": sketch.scale, "genomes": sketch.genomes}
    write_manifest(folder, content | {"sketch_id": sketch.sketch_id}, checksums=[_HASHES, _CODES])


def read_sketch(folder: str | Path) -> Sketch:
    """Read and verify a sketch; its arrays are memory maps.

    Raises
    ------
    InputError
        when it is unfinished, damaged, or of another version of the hash.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if (manifest.get("version"), manifest.get("k")) != (_VERSION, K):
        raise InputError(
            f"a sketch of version {manifest.get('version')} and k {manifest.get('k')}, expected {_VERSION} and {K}",
            path=folder / MANIFEST_NAME,
            remedy=f"delete {folder} and run again",
        )
    # Compiled code takes plain, writable arrays: maps whose pages would be copied on a write, and nothing writes.
    hashes, codes = (np.load(folder / name, mmap_mode="c").view(np.ndarray) for name in (_HASHES, _CODES))
    return Sketch(hashes, codes, manifest["genomes"], int(manifest["scale"]), manifest["sketch_id"])

"""The interface of all embedders, and what their implementations share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from workflow_lib.errors import InputError

_BLOCK_ROWS = 4096  # held in float64 at a time


@runtime_checkable
class Embedder(Protocol):
    """What every embedder offers.

    Attributes
    ----------
    name : the name it is loaded by.
    dim : number of columns of its vectors.
    fingerprint : hex digest of everything that decides a vector: weights, tokenizer, pooling, options, algorithm
        version. Vectors of different fingerprints are never compared or joined. Device and threads do not count.
    """

    name: str
    dim: int
    fingerprint: str

    def embed(self, sequences: Sequence[str | bytes]) -> np.ndarray:
        """Embed sequences (any case; IUPAC codes allowed).

        Returns
        -------
        float32 (n, dim), C-contiguous, unit rows in the order of the input; a row of zeros where a sequence has nothing
        to embed (empty, all N, shorter than a k-mer). A vector does not depend on the other sequences of the call.
        """
        ...


def compute_fingerprint(content: dict, arrays: Iterable[np.ndarray] = ()) -> str:
    """Hex SHA-256 of JSON-able `content` and of the dtype, shape and bytes of `arrays`, in order."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def runs_on_cpu_only(name: str, device: str) -> InputError:
    """The error of an embedder that is asked to run on another device."""
    return InputError(
        f"{name} runs on the CPU only, the device asked for is {device!r}", remedy="set embed.device to cpu"
    )


def as_bytes(sequences: Sequence[str | bytes]) -> list[bytes]:
    """Sequences as bytes; a character outside ASCII becomes '?', which is no base.

    Raises
    ------
    TypeError
        when one string is given in place of a list of them.
    """
    if isinstance(sequences, str | bytes):
        raise TypeError("expected a list of sequences, found one string; put it into a list")
    return [s.encode("ascii", "replace") if isinstance(s, str) else s for s in sequences]


def unit_rows(vectors: np.ndarray, *, no_length: float = 0.0) -> np.ndarray:
    """Scale the rows of float (..., d) to length 1, as float32; rows no longer than `no_length` become zeros."""
    scaled = np.zeros(vectors.shape, dtype=np.float32)
    rows, scaled_rows = (array.reshape(-1, vectors.shape[-1]) for array in (vectors, scaled))
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS].astype(np.float64)
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        np.divide(
            block, lengths, out=scaled_rows[start : start + _BLOCK_ROWS], where=lengths > no_length, casting="same_kind"
        )
    return scaled

"""Vectors of a labelled set: whole sequences, their halves (to adapt the metric) and their beginnings (for length)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.bin.adapt import adapt, smooth
from workflow_lib.bin.metric import Pieces
from workflow_lib.embed import Embedder, embed_records, load_embedder
from workflow_lib.embed.sample import choose_pieces
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta
from workflow_lib.files import atomic_path, scratch_folder
from workflow_lib.scoreboard.labelled import LabelledSet

logger = logging.getLogger(__name__)

MAX_PIECES = 2000  # sequences whose halves are embedded
MIN_HALF = 1000  # bp
_ROUNDING = 1e-5  # difference of two vectors of one sequence in different batches
_LONG_ENOUGH = 0.25  # share of the sequences that the longest measured length must leave


@dataclass(frozen=True)
class SetVectors:
    """An embedded labelled set.

    Attributes
    ----------
    embedder, fingerprint : what made the vectors.
    labels : n species names.
    vectors : float32 (n, d) unit rows.
    pieces : halves of some sequences.
    prefix_rows : int64 (m,) sequences that are at least as long as the longest prefix.
    prefixes : bp -> float32 (m, d).
    """

    embedder: str
    fingerprint: str
    labels: np.ndarray
    vectors: np.ndarray
    pieces: Pieces
    prefix_rows: np.ndarray
    prefixes: dict[int, np.ndarray]

    def adapted(self) -> np.ndarray:
        """The vectors adapted to the set they belong to, without labels: its axes, then its neighbours (`adapt`)."""
        return smooth(adapt(self.vectors, self.pieces)[0])

    def write(self, path: str | Path) -> None:
        """Write everything as one .npz file."""
        with atomic_path(path) as temporary, open(temporary, "wb") as handle:
            np.savez(
                handle,
                embedder=np.array([self.embedder, self.fingerprint]),
                labels=self.labels,
                vectors=self.vectors,
                pieces_rows=self.pieces.rows,
                pieces_lengths=self.pieces.lengths,
                pieces_vectors=self.pieces.vectors,
                prefix_rows=self.prefix_rows,
                **{f"prefix_{n_bp}": vectors for n_bp, vectors in self.prefixes.items()},
            )

    @classmethod
    def read(cls, path: str | Path) -> SetVectors:
        """Read what `write` wrote; InputError for another file."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                content = dict(archive)
            name, fingerprint = content["embedder"].tolist()
            pieces = Pieces(*(content[f"pieces_{part}"] for part in ("rows", "lengths", "vectors")))
            prefixes = {
                int(key.removeprefix("prefix_")): value
                for key, value in content.items()
                if key.startswith("prefix_") and key != "prefix_rows"
            }
            arrays = content["labels"], content["vectors"], pieces, content["prefix_rows"], prefixes
        except (OSError, ValueError, KeyError) as error:
            remedy = "delete it and run again"
            raise InputError(f"not the vectors of a labelled set ({error})", path=path, remedy=remedy) from error
        return cls(name, fingerprint, *arrays)


def embed_set(
    embedder: Embedder,
    labelled: LabelledSet,
    *,
    lengths: Sequence[int],
    shard_folder: str | Path,
    shard_mbp: float = 8,
) -> SetVectors:
    """Embed the sequences of a set, halves of up to 2000 of them, and their first bp at several lengths.

    Lengths are measured on the same sequences: those that are at least as long as the longest length that a quarter of
    the sequences reach; lengths above it are left out.

    Parameters
    ----------
    embedder : of `load_embedder`.
    lengths : bp.
    shard_folder, shard_mbp : as in `embed_records`; finished shards are not computed again.
    """
    n_bp = labelled.lengths
    sequences = labelled.sequences

    def embed(texts: Iterator[bytes], kind: str) -> np.ndarray:
        records = (("", text) for text in texts)
        return embed_records(embedder, records, shard_folder=shard_folder, shard_mbp=shard_mbp, kind=kind)[1]

    vectors = embed(iter(sequences), "whole")
    _warn_of_no_difference(vectors, embedder.name)
    rows = choose_pieces(n_bp, n_pieces=MAX_PIECES, min_piece=MIN_HALF)
    halves = embed((half for row in rows for half in _halves(sequences[row])), "half")
    pairs = halves.reshape(len(rows), 2, embedder.dim)
    told = pairs.any(axis=2).all(axis=1)  # a half without a direction teaches nothing
    pieces = Pieces(rows[told], n_bp[rows[told]] // 2, pairs[told])
    prefix_rows, usable = choose_lengths(n_bp, lengths)
    prefixes = {length: embed((sequences[row][:length] for row in prefix_rows), "prefix") for length in usable}
    return SetVectors(
        embedder.name, embedder.fingerprint, np.array(labelled.labels), vectors, pieces, prefix_rows, prefixes
    )


def _warn_of_no_difference(vectors: np.ndarray, name: str) -> None:
    """Tell of unit rows, float32 (n, d), that are empty or all the same: every measure of them is 0, or chance."""
    n_empty = int((~vectors.any(axis=1)).sum())
    if n_empty == len(vectors):
        logger.warning("%s gives none of the %d sequences a vector: are they all N, or too short?", name, n_empty)
    elif np.abs(vectors - vectors[0]).max() < _ROUNDING:
        logger.warning("%s gives all %d sequences the same vector: are they all the same?", name, len(vectors))
    elif n_empty:
        logger.warning("%s gives %d of %d sequences no vector", name, n_empty, len(vectors))


def choose_lengths(n_bp: np.ndarray, lengths: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Rows of the sequences (int64, ascending) and lengths in bp (ascending) at which length is measured."""
    usable = sorted(length for length in lengths if (n_bp >= length).mean() >= _LONG_ENOUGH)
    if not usable:
        return np.zeros(0, dtype=np.int64), []
    return np.flatnonzero(n_bp >= usable[-1]), usable


def _halves(sequence: bytes) -> tuple[bytes, bytes]:
    half = len(sequence) // 2
    return sequence[:half], sequence[-half:]


def train_and_load_vae(labelled: LabelledSet, *, seed: int = 1, threads: int = 1, **options: object) -> Embedder:
    """Train TNF-VAE on the sequences of the set, without their labels, and load it; it is kept in memory only.

    Raises
    ------
    InputError
        for an option that the embedder does not have.
    """
    from workflow_lib.embed.tnf_vae import train_tnf_vae

    with scratch_folder() as folder:
        fasta = folder / "sequences.fa.gz"
        write_fasta(fasta, ((f"s{row}", sequence) for row, sequence in enumerate(labelled.sequences)))
        train_tnf_vae([fasta], folder / "model", seed=seed, threads=threads)
        return load_embedder(folder / "model", threads=threads, **options)

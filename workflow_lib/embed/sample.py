"""The embedding of a sample: the store of its contigs, the halves that calibrate the binning threshold, and the cuts of
long contigs that novelty calls need."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from workflow_lib.embed.base import Embedder
from workflow_lib.embed.cuts import CUT_LENGTH, CUTS_NAME, Cuts, cut_contigs, place_cuts, write_cuts
from workflow_lib.embed.shards import embed_records
from workflow_lib.fasta import read_fasta
from workflow_lib.files import atomic_path
from workflow_lib.manifest import MANIFEST_NAME
from workflow_lib.store import EmbeddingStore, write_store

logger = logging.getLogger(__name__)

PIECES_NAME = "pieces.npz"
ENOUGH_PIECES = 80  # contigs in halves from which on binning learns from them


def embed_fasta(
    embedder: Embedder,
    fasta: str | Path,
    folder: str | Path,
    *,
    shard_folder: str | Path,
    shard_mbp: float,
    n_pieces: int,
    min_piece: int,
    cut_long: bool = True,
) -> EmbeddingStore:
    """Embed the contigs of a FASTA file and write their store; the manifest comes last.

    Beside vectors.npy and contigs.txt, pieces.npz holds the first and second half of up to `n_pieces` contigs, spread
    over the lengths: rows int64 (p,) into the store, lengths int64 (p,) bp of one half, vectors float32 (p, 2, dim);
    and cuts.npz the `Cuts` of long contigs.

    Parameters
    ----------
    embedder, shard_folder, shard_mbp : as in `embed_records`.
    fasta : plain or gzip FASTA.
    folder : of the store; made anew.
    n_pieces : contigs whose halves are embedded at most.
    min_piece : bp that a half must have; half as many where fewer than 80 contigs have halves so long.
    cut_long : whether long contigs are embedded in cuts too; novelty calls need them, binning does not.

    Raises
    ------
    InputError
        when the FASTA file is at fault (see `fasta.read_fasta`).
    """
    folder = Path(folder)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    lengths: list[int] = []

    def contigs() -> Iterator[tuple[str, bytes]]:
        for record in read_fasta(fasta):
            lengths.append(len(record.sequence))
            yield record.name, record.sequence

    shards = {"shard_folder": shard_folder, "shard_mbp": shard_mbp}
    names, vectors = embed_records(embedder, contigs(), **shards)
    rows = choose_pieces(np.array(lengths, dtype=np.int64), n_pieces=n_pieces, min_piece=min_piece)
    if len(rows) < min(ENOUGH_PIECES, n_pieces):  # in a sample of short contigs nothing could be learned else
        rows = choose_pieces(np.array(lengths, dtype=np.int64), n_pieces=n_pieces, min_piece=min_piece // 2)
    n_bp = sum(lengths[row] // 2 * 2 for row in rows)
    _, halves = embed_records(embedder, _halves(fasta, rows), **shards, total_bp=n_bp, kind="half")
    _write_pieces(folder / PIECES_NAME, rows, np.array(lengths, dtype=np.int64), halves)
    if cut_long:
        n_bp = sum(len(place_cuts(length)) for length in lengths) * CUT_LENGTH
        write_cuts(folder / CUTS_NAME, _embed_cuts(embedder, fasta, **shards, total_bp=n_bp))
    manifest = {
        "embedder": embedder.name,
        "fingerprint": embedder.fingerprint,
        "total_bp": sum(lengths),
        "n_zero_vectors": int((~vectors.any(axis=1)).sum()),
        "source": getattr(embedder, "source", {}),  # of a hub model: repository and commit
    }
    store = EmbeddingStore(vectors, names, manifest)
    write_store(folder, store, extra_files=[PIECES_NAME, *([CUTS_NAME] if cut_long else [])])
    return store


def choose_pieces(lengths: np.ndarray, *, n_pieces: int, min_piece: int) -> np.ndarray:
    """Rows of up to `n_pieces` sequences whose halves have `min_piece` bp, even over the ranks of length.

    Parameters
    ----------
    lengths : int64 (n,) bp.

    Returns
    -------
    int64 (p,), ascending.
    """
    eligible = np.flatnonzero(lengths // 2 >= max(min_piece, 1))
    by_length = eligible[np.argsort(lengths[eligible], kind="stable")]
    if len(by_length) > n_pieces:
        ranks = np.linspace(0, len(by_length) - 1, n_pieces).round().astype(np.int64)
        by_length = by_length[ranks]
    return np.sort(by_length)


def _halves(fasta: str | Path, rows: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """First and second half of the records of `rows`, in turn; the middle base of an odd length is left out."""
    chosen = iter(rows.tolist())
    wanted = next(chosen, None)
    for row, record in enumerate(read_fasta(fasta)):
        if wanted is None:
            return
        if row == wanted:
            half = len(record.sequence) // 2
            yield record.name, record.sequence[:half]
            yield record.name, record.sequence[-half:]
            wanted = next(chosen, None)


def _write_pieces(path: Path, rows: np.ndarray, lengths: np.ndarray, halves: np.ndarray) -> None:
    pairs = halves.reshape(len(rows), 2, halves.shape[1])
    whole = pairs.any(axis=2).all(axis=1)  # a half of N only has no direction and calibrates nothing
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, rows=rows[whole], lengths=lengths[rows[whole]] // 2, vectors=pairs[whole])
    logger.info("%d contigs embedded in halves too, to calibrate the threshold", int(whole.sum()))


def _embed_cuts(embedder: Embedder, fasta: str | Path, **shards: object) -> Cuts:
    """`Cuts` of a FASTA file's contigs; `shards` as of `embed_records`."""
    places: list[tuple[int, int]] = []

    def records() -> Iterator[tuple[str, bytes]]:
        for row, start, sequence in cut_contigs(fasta):
            places.append((row, start))
            yield f"{row}|{start}", sequence

    _, vectors = embed_records(embedder, records(), kind="cut", **shards)
    rows, starts = np.array(places, dtype=np.int64).reshape(-1, 2).T.copy()
    return Cuts(rows, starts, vectors)

"""From distances to genomes to scores: means over the k nearest distinct genomes, one a contig or one a bin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from workflow_lib.index import SearchIndex
from workflow_lib.index.base import to_chord
from workflow_lib.index.shards import Shard, tabulate_shard

_BLOCK_ROWS = 65_536  # windows that are read at a time
# Scores are compared between machines and thread counts whose float32 sums differ in the last digits.
_DECIMALS = 6
_MIN_WINDOWS = 3
# An identity of 0.95 lowers the score by 2.4, and no distance exceeds 2: where sequence is shared, identity decides.
_IDENTITY_WEIGHT, _IDENTITY_FLOOR = 16.0, 0.8
_RELATIVE = 0.25  # power of the relative distance


@dataclass(frozen=True)
class Neighbours:
    """What is nearest to each of m queries.

    Attributes
    ----------
    genome : int64 (m,), nearest genome: that of the highest identity, or of the smallest distance where none matches.
    d1 : float64 (m,), distance to it.
    s1 : float64 (m,), mean distance to the k nearest distinct genomes (all, where there are fewer).
    s2 : float64 (m,), the same with each distance divided by the spread of its genome.
    margin : float64 (m,), distance to the nearest genome of another taxon, less d1; NaN where there is no other.
    identity : float64 (m,), of the genome that shares most sequence; 0 where none does.
    score : float64 (m,), what is tested, see `combine_scores`.
    """

    genome: np.ndarray
    d1: np.ndarray
    s1: np.ndarray
    s2: np.ndarray
    margin: np.ndarray
    identity: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Measure:
    """What distances to G genomes are reduced by.

    Attributes
    ----------
    spread : float (G,), see `genome_means`.
    k : distinct genomes of a score.
    taxa : int64 (G,), the taxa between which the margin is measured.
    order : int64 (G,), see `CalibrationSet.name_order`.
    """

    spread: np.ndarray
    k: int
    taxa: np.ndarray
    order: np.ndarray


def combine_scores(s1: np.ndarray, s2: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """The score that is tested: s1^(3/4) s2^(1/4) - 16 max(identity - 0.8, 0); large is novel.

    Near, identity decides: composition cannot tell a strain from a new species. Far, where no sequence is shared, the
    distance does. A geometric mean of plain and relative distance told new taxa better than either.
    """
    relief = _IDENTITY_WEIGHT * np.maximum(identity - _IDENTITY_FLOOR, 0)
    return (s1 ** (1 - _RELATIVE) * s2**_RELATIVE - relief).round(_DECIMALS)


def nearest_genomes(distances: np.ndarray, order: np.ndarray, k: int = 1) -> np.ndarray:
    """int64 (m, k): columns of the smallest of distances (m, G), of equals those first by `order`, as of
    `nearest_means`, in no order."""
    first = distances.argmin(axis=1)[:, None] if k == 1 else np.argpartition(distances, k - 1, axis=1)[:, :k]
    largest = np.take_along_axis(distances, first, axis=1).max(axis=1, keepdims=True)
    tied = np.flatnonzero((distances <= largest).sum(axis=1) > k)
    if len(tied):
        first[tied] = np.lexsort((np.broadcast_to(order, distances.shape)[tied], distances[tied]), axis=1)[:, :k]
    return first


def nearest_means(
    distances: np.ndarray, spread: np.ndarray, k: int, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance, and mean of distance / spread, over the k nearest genomes of each row.

    Parameters
    ----------
    distances : float (m, G). spread : float (G,), or (m, G) where the columns differ from row to row.
    k : at least 1; all genomes where there are fewer.
    order : int64, shaped as `spread`: of equally near genomes the first by it counts, see `CalibrationSet.name_order`.

    Returns
    -------
    two float64 (m,), rounded; NaN where distances are.
    """
    nearest = nearest_genomes(distances, order, min(k, distances.shape[1]))
    found = np.take_along_axis(distances, nearest, axis=1).astype(np.float64)
    relative = found / np.take_along_axis(np.broadcast_to(spread, distances.shape), nearest, axis=1)
    return found.mean(axis=1).round(_DECIMALS), relative.mean(axis=1).round(_DECIMALS)


def genome_means(windows: Shard | Sequence[Shard], genomes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean direction and spread of each genome's windows, in the order of `genomes`.

    The spread is the mean distance of a genome's windows to its mean direction. It is what a distance is measured by: a
    genome that is uneven in itself is far from every query. Fewer than `_MIN_WINDOWS` windows have no spread worth the
    name, and the median of the other genomes' stands for it; a spread below a tenth of the median is raised to that.
    Memory: a block of windows, and the names of a shard.

    Parameters
    ----------
    windows : a store of all of them, or several, each of genomes of its own.

    Returns
    -------
    means : float32 (G, d), unit rows.
    spread : float64 (G,), positive.
    """
    shards = [windows] if isinstance(windows, Shard) else list(windows)
    position = {genome: code for code, genome in enumerate(genomes)}
    sums, counts = np.zeros((len(genomes), int(shards[0].vectors.shape[1]))), np.zeros(len(genomes), dtype=np.int64)
    for codes, vectors in _blocks_of_genomes(shards, position):
        np.add.at(sums, codes, vectors)
        counts += np.bincount(codes, minlength=len(genomes))
    # Windows that cancel each other out would have no mean; nothing real does, and a row of zeros is far from all.
    means = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    total = np.zeros(len(genomes))
    for codes, vectors in _blocks_of_genomes(shards, position):
        np.add.at(total, codes, to_chord(np.einsum("ij,ij->i", vectors, means[codes]).astype(np.float64)))
    spread = total / np.maximum(counts, 1)
    enough = counts >= _MIN_WINDOWS
    median = float(np.median(spread[enough])) if enough.any() else 1.0
    floor = 0.1 * median if median > 0 else 1.0
    return means, np.maximum(np.where(enough, spread, median), floor).round(_DECIMALS)


def _blocks_of_genomes(shards: Sequence[Shard], position: dict[str, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (genomes of windows, int64; their vectors), of the genomes in `position`, without those of zeros."""
    for shard in shards:
        table = tabulate_shard(shard, {})
        known = np.array([position.get(genome, -1) for genome in table.genomes], dtype=np.int64)
        for start in range(0, len(table), _BLOCK_ROWS):
            vectors, codes = shard.vectors[start : start + _BLOCK_ROWS], known[table.codes[start : start + _BLOCK_ROWS]]
            used = (codes >= 0) & vectors.any(axis=1)
            yield codes[used], vectors[used]


def find_neighbours(
    index: SearchIndex,
    vectors: np.ndarray,
    measure: Measure,
    identities: Sequence[tuple[np.ndarray, np.ndarray]],
) -> list[Neighbours]:
    """Search float32 (m, d) unit rows.

    Parameters
    ----------
    identities : float64 (m,) and int64 (m,), of `best_identities`, in several ways.

    Returns
    -------
    Neighbours by each of the identities.

    Memory: one block of the index's search and one of queries x genomes.
    """
    found = [
        summarise_each(distances, measure, [(identity[rows], matched[rows]) for identity, matched in identities])
        for rows, distances in index.genome_distances(vectors, k=measure.k)
    ]
    return [join_neighbours([part[i] for part in found]) for i in range(len(identities))]


def join_neighbours(parts: list[Neighbours]) -> Neighbours:
    """Neighbours of several blocks of queries, one after the other."""
    if not parts:
        empty = np.zeros(0)
        return Neighbours(empty.astype(np.int64), *(empty for _ in fields(Neighbours)[1:]))
    return Neighbours(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def summarise(distances: np.ndarray, measure: Measure, identity: tuple[np.ndarray, np.ndarray]) -> Neighbours:
    """Reduce distances (m, G) of queries to genomes; `identity` is one of those of `find_neighbours`."""
    alike, matched = identity
    genome = np.where(matched >= 0, matched, nearest_genomes(distances, measure.order)[:, 0])
    d1 = distances[np.arange(len(distances)), genome].astype(np.float64).round(_DECIMALS)
    same_taxon = measure.taxa[None, :] == measure.taxa[genome][:, None]
    others = np.where(same_taxon, np.inf, distances).min(axis=1).astype(np.float64)
    margin = np.where(np.isfinite(others), others - d1, np.nan)
    s1, s2 = nearest_means(distances, measure.spread, measure.k, measure.order)
    return Neighbours(genome, d1, s1, s2, margin, alike, combine_scores(s1, s2, alike))


def summarise_each(
    distances: np.ndarray, measure: Measure, identities: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[Neighbours]:
    """`summarise` by each of the identities; rows in which a further one is as the first are not computed again."""
    first = summarise(distances, measure, identities[0])
    found = [first]
    for identity, matched in identities[1:]:
        rows = np.flatnonzero((identity != identities[0][0]) | (matched != identities[0][1]))
        own = summarise(distances[rows], measure, (identity[rows], matched[rows]))
        columns = {name: column.copy() for name, column in vars(first).items()}
        for name, column in columns.items():
            column[rows] = getattr(own, name)
        found.append(Neighbours(**columns))
    return found


def margin_taxa(lineages: list[dict[str, str]]) -> np.ndarray:
    """int64 (G,): genomes of one species share a code; a genome without species is a taxon of its own."""
    known: dict[str, int] = {}
    labels = [lineage.get("species") or f"\0{i}" for i, lineage in enumerate(lineages)]
    return np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.int64)

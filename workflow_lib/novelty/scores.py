"""From distances to genomes to scores: the mean over the k nearest distinct genomes, one a query or one a bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workflow_lib.index import SearchIndex

# Scores are compared between machines and thread counts whose float32 sums differ in the last digits.
_DECIMALS = 6


@dataclass(frozen=True)
class Neighbours:
    """What is nearest to each of m queries.

    Attributes
    ----------
    genome : int64 (m,), nearest genome.
    d1 : float64 (m,), distance to it.
    s1 : float64 (m,), mean distance to the k nearest distinct genomes (all, where there are fewer): the score.
    margin : float64 (m,), distance to the nearest genome of another taxon, less d1; NaN where there is no other.
    """

    genome: np.ndarray
    d1: np.ndarray
    s1: np.ndarray
    margin: np.ndarray


def nearest_mean(distances: np.ndarray, k: int) -> np.ndarray:
    """Mean of the k smallest distances of each row, float64 (m,), rounded; of all where there are fewer than k.

    Infinite distances (nothing found) make an infinite mean.
    """
    k = min(k, distances.shape[1])
    smallest = np.partition(distances, k - 1, axis=1)[:, :k] if k < distances.shape[1] else distances
    return smallest.mean(axis=1, dtype=np.float64).round(_DECIMALS)


def find_neighbours(index: SearchIndex, vectors: np.ndarray, *, k: int, taxa: np.ndarray) -> Neighbours:
    """Search float32 (m, d) unit rows; `taxa` int64 (G,) are the taxa between which the margin is measured.

    Memory: one block of the index's search and one of queries x genomes.
    """
    blocks = index.genome_distances(vectors)
    return join_neighbours([summarise(distances, k=k, taxa=taxa) for _, distances in blocks])


def join_neighbours(parts: list[Neighbours]) -> Neighbours:
    """Neighbours of several blocks of queries, one after the other."""
    if not parts:
        empty = np.zeros(0)
        return Neighbours(empty.astype(np.int64), empty, empty, empty)
    return Neighbours(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def summarise(distances: np.ndarray, *, k: int, taxa: np.ndarray) -> Neighbours:
    """Reduce distances (m, G) of queries to genomes."""
    genome = distances.argmin(axis=1)
    d1 = distances[np.arange(len(distances)), genome].astype(np.float64).round(_DECIMALS)
    others = np.where(taxa[None, :] == taxa[genome][:, None], np.inf, distances).min(axis=1).astype(np.float64)
    margin = np.where(np.isfinite(others), others - d1, np.nan)
    return Neighbours(genome, d1, nearest_mean(distances, k), margin)


def margin_taxa(lineages: list[dict[str, str]]) -> np.ndarray:
    """int64 (G,): genomes of one species share a code; a genome without species is a taxon of its own."""
    known: dict[str, int] = {}
    labels = [lineage.get("species") or f"\0{i}" for i, lineage in enumerate(lineages)]
    return np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.int64)

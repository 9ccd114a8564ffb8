"""From shared k-mers to identities: how much of a contig or bin a reference genome has, and how alike it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

K = 21  # a chance match of two genomes is rare (4^21 k-mers), and 3 of 10 k-mers survive at 95% identity
MIN_SHARED = 3  # hashes that a segment and a genome share before it counts as matched: fewer come by chance
# Share of a query's hashes that lie in matched segments from which on the identity counts in full: of a genome of which
# the reference has an eighth, strains match in an eighth of their contigs; one conserved gene in a bin is no relative.
FULL_SHARE = 0.1
# Share of a query's hashes, in segments that match a genome, from which on the query can be known by it: an integrated
# phage, or a foreign contig in a bin, is less. Genomes of a species share at least half of their sequence (Parks et al.
# 2020, Nat. Biotechnol. 38:1079), and reference genomes are often two thirds of one.
KNOWN_SHARE = 1 / 3
SPECIES_IDENTITY = 0.95  # of genomes of one species (Jain et al. 2018, Nat. Commun. 9:5114)
# Contigs from which on a bin has a place: its mean is then nearer to that of its own genome than single windows are.
# Cuts of one contig do not count: it may be a plasmid.
MIN_PLACED = 8
_DECIMALS = 6

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # group, genome, identity and share, of `pair_identities`


@dataclass(frozen=True)
class Matches:
    """What the segments of queries share with genomes, sparse: E pairs with at least `MIN_SHARED` hashes in common.

    Attributes
    ----------
    owner, size : int64 (S,), the query of a segment, and its number of hashes.
    segment, genome, shared : int64 (E,), position of the segment, of the genome, and how many hashes they share.
    """

    owner: np.ndarray
    size: np.ndarray
    segment: np.ndarray
    genome: np.ndarray
    shared: np.ndarray

    @classmethod
    def none(cls) -> Matches:
        """No matches of no segments."""
        return cls(*(np.zeros(0, dtype=np.int64) for _ in range(5)))

    def where(self, hits: np.ndarray) -> Matches:
        """The same segments with the pairs of `hits`, bool (E,), only."""
        return Matches(self.owner, self.size, self.segment[hits], self.genome[hits], self.shared[hits])


def pair_identities(matches: Matches, groups: np.ndarray, n_genomes: int, *, parts: np.ndarray | None = None) -> Pairs:
    """Identity of every group of queries with every genome that any of its segments matches.

    identity = (sum of shared / sum of size)^(1/k) over the segments that match the genome, times min(1, share /
    `FULL_SHARE`), where share is that of the matched segments in the group's hashes.

    Parameters
    ----------
    groups : int64 (queries,), group of each query (a contig of its own, or a bin); -1: in none.
    parts : float64 (groups,), share of a larger whole that each group is; 1 if not given.

    Returns
    -------
    group, genome : int64 (pairs,), sorted. identity, share : float64 (pairs,), 0 to 1.
    """
    of_segment = groups[matches.owner]
    totals = np.bincount(of_segment[of_segment >= 0], matches.size[of_segment >= 0], minlength=1)
    of_hit = of_segment[matches.segment]
    used = of_hit >= 0
    keys, pair = np.unique(of_hit[used] * n_genomes + matches.genome[used], return_inverse=True)
    shared = np.bincount(pair, matches.shared[used], minlength=len(keys))
    size = np.bincount(pair, matches.size[matches.segment[used]], minlength=len(keys))
    group, genome = np.divmod(keys, n_genomes)
    share = size / totals[group] * (1 if parts is None else parts[group])
    identity = ((shared / size) ** (1 / K) * np.minimum(share / FULL_SHARE, 1)).round(_DECIMALS)
    return group, genome, identity, share


def best_identities(pairs: Pairs, n_groups: int, order: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The highest identity of each group, float64 (n_groups,), 0 where there is none, and its genome, int64, -1.

    Of equals the first genome by `order`, int64 (G,), counts; None: by number.
    """
    group, genome, identity, _ = pairs
    places = genome if order is None else order[genome]
    best, nearest = np.zeros(n_groups), np.full(n_groups, -1, dtype=np.int64)
    order = np.lexsort((-places, identity))  # so that the last of a group is its best, the first genome of equals
    best[group[order]], nearest[group[order]] = identity[order], genome[order]
    return best, nearest


def keep_placed(pairs: Pairs, candidates: np.ndarray, distances: np.ndarray, spread: np.ndarray) -> Pairs:
    """The pairs whose genome is one of the group's nearest, and no farther from it than that genome's windows are.

    A bin that matches a genome from whose composition it is far holds contigs of that genome, but is none of its kind.

    Parameters
    ----------
    candidates : int64 (groups, C), nearest genomes. distances : float (groups, C), of the groups' means to theirs.
    spread : float64 (G,), see `scores.genome_means`.
    """
    group, genome, *_ = pairs
    near = (candidates[group] == genome[:, None]) & (distances[group] <= spread[candidates[group]])
    kept = near.any(axis=1)
    return tuple(values[kept] for values in pairs)


def keep_large(pairs: Pairs) -> Pairs:
    """The pairs that are of at least `KNOWN_SHARE` of the group."""
    kept = pairs[3] >= KNOWN_SHARE
    return tuple(values[kept] for values in pairs)

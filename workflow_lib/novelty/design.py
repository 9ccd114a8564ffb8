"""Which genomes calibrate which test, what each leaves out, and what counts as one unit."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice, zip_longest

import numpy as np

from workflow_lib.blocks import cut_blocks, one_blas_thread
from workflow_lib.index.base import to_chord
from workflow_lib.novelty.alike import ONE_SPECIES, Alike
from workflow_lib.taxonomy import RANKS

TEST_RANKS = tuple(reversed(RANKS))[:-1]  # species ... phylum; everything is known at the rank of domain
_SPECIES, _GENUS = TEST_RANKS[:2]
REFERENCE, KNOWN = "reference", "known"
TESTS = (REFERENCE, *TEST_RANKS, KNOWN)
# No test: the highest taxon in use is left out, as of a query that is novel at every rank. For measuring power.
OUTSIDE = "outside"
CALIBRATED = (*TESTS, OUTSIDE)


CALIBRATION_GENOMES = 2000  # that calibrate a test at most; the smallest p-value is one in as many taxa
# Genomes of one species that calibrate a test at most: they are one unit, and what they share grows with their square.
_MOST_STRAINS = 20
# Without this many genomes that show how near members of a taxon are, every nameless genome might be of it.
_MIN_PAIRS = 20
_NEAR_LEVEL = 0.95
_BLOCK_ROWS = 256


@dataclass(frozen=True)
class Design:
    """The calibration of every test over G genomes.

    The null hypothesis of rank r is "the taxon of rank r of the query is in the index". A genome calibrates it when its
    taxon of rank r stays in the index after its own taxon of the next lower rank in use is left out (at the lowest rank
    the genome itself). What is left out is the unit; genomes of one species are near or far from each other together,
    so that they are one unit too. `reference` leaves out the genome alone and needs no taxonomy. `known` is
    the null hypothesis "the species of the query is not in the index", calibrated on species left out whose genus (the
    next rank in use) stays: the new species that are hardest to tell from known ones.

    Attributes
    ----------
    units : int64 (len(CALIBRATED), G); unit of a genome, -1 where it does not calibrate the test.
    """

    units: np.ndarray
    _codes: dict[str, np.ndarray]
    _lower: dict[str, str | None]
    _means: np.ndarray | None
    _limits: dict[str, float]
    _above_species: str | None
    _alike: Alike | None = None
    _joined: dict[str, np.ndarray] | None = None

    def with_alike(self, alike: Alike) -> Design:
        """The same, where genomes of one species by what they share are left out together, and are one unit.

        Taxa that a pair of such genomes links (`Alike.join`) are left out together where they are above species.
        """
        joined = {rank: alike.join(codes) for rank, codes in self._codes.items()}
        units = self.units.copy()
        for own, test in zip(units, CALIBRATED, strict=True):
            unit = self._lower.get(test) or test
            if unit in joined:
                own[own >= 0] = joined[unit][own >= 0]
        # Genomes of a genus share a rRNA operon each: as holders they would leave nothing of it.
        genus = self._codes[_GENUS]
        kept = (genus[alike.held] < 0) | (genus[alike.held] != genus[alike.holder])
        alike = replace(alike, held=alike.held[kept], holder=alike.holder[kept])
        return replace(self, units=units, _alike=alike, _joined=joined)

    def name_codes(self) -> list[np.ndarray]:
        """Codes, int64 (G,), of the names at each rank; -1 where there is none."""
        return list(self._codes.values())

    def excluded(self, test: str, genome: int) -> np.ndarray:
        """bool (G,): the genomes left out when `genome` calibrates `test`; all where it cannot."""
        lower = self._lower[test]
        codes = self._codes
        if self._joined and lower not in (None, _SPECIES):
            codes = codes | {lower: self._joined[lower]}
        excluded = _excluded(codes, lower, genome, strict=test == KNOWN)
        nameless = excluded & (codes[lower] < 0) if lower in self._limits else np.zeros(len(excluded), dtype=bool)
        if nameless.any():
            nearest = _nearest(self._means, np.flatnonzero(nameless), np.flatnonzero(excluded & ~nameless))
            excluded[nameless] = nearest <= self._limits[lower]
        if self._alike is not None and lower is not None:
            self._exclude_alike(excluded, test, genome)
        return excluded

    def _exclude_alike(self, excluded: np.ndarray, test: str, genome: int) -> None:
        """Leave out what is of the genome's species by sequence, and everything where nothing is left of its taxon.

        Of `known` the safe side is to leave out too little: names that may be of two close species stay.
        """
        own = self._alike.of(genome)
        alike = self._alike.other[own]
        if test == KNOWN:
            alike = alike[(self._codes[_SPECIES][alike] < 0) | (self._alike.identity[own] >= ONE_SPECIES)]
        excluded[alike] = True
        if test != KNOWN:
            self._exclude_holders(excluded)
        rank = self._above_species if test == KNOWN else test
        above = self._codes.get(rank, np.zeros(len(excluded)))  # at no rank: any genome
        if excluded[above == above[genome]].all():  # no new species of a genus that is there, and so on
            excluded[:] = True

    def _exclude_holders(self, excluded: np.ndarray) -> None:
        """Leave out genomes of other genera that have a part of what is left out: contaminated ones, for the most.

        A novel taxon has no windows in the index. Left in, these would make it look near to what is not of it.
        """
        excluded[self._alike.holder[excluded[self._alike.held]]] = True


def make_design(lineages: list[dict[str, str]], means: np.ndarray | None = None) -> Design:
    """Work out the design from the taxonomy of the indexed genomes (rank -> name; missing ranks are unknown).

    Parameters
    ----------
    means : float32 (G, d), unit rows, see `scores.genome_means`. With them a genome without a name at a rank counts as
        a possible member of a taxon only where it is as near to it as 95% of the named members are to their nearest;
        without, wherever its names do not forbid it.
    """
    n = len(lineages)
    codes = {rank: encode_names([lineage.get(rank) for lineage in lineages]) for rank in TEST_RANKS}
    in_use = [rank for rank in TEST_RANKS if (codes[rank] >= 0).any()]
    lower: dict[str, str | None] = {REFERENCE: None, KNOWN: _SPECIES if _SPECIES in in_use else None}
    above = in_use[1] if in_use[:1] == [_SPECIES] and len(in_use) > 1 else None
    units = np.full((len(CALIBRATED), n), -1, dtype=np.int64)
    if n > 1:
        units[TESTS.index(REFERENCE)] = np.arange(n)
    for position, rank in enumerate(in_use):
        lower[rank] = in_use[position - 1] if position else None
        units[TESTS.index(rank)] = _rank_units(codes, rank, lower[rank], strict=False)
    if _SPECIES in in_use:
        units[TESTS.index(KNOWN)] = _rank_units(codes, above, _SPECIES, strict=True)
    if in_use:
        lower[OUTSIDE] = in_use[-1]
        units[CALIBRATED.index(OUTSIDE)] = _rank_units(codes, None, in_use[-1], strict=False)
    has_nameless = [rank for rank in in_use if (codes[rank] < 0).any()]
    limits = {} if means is None else {rank: _near_limit(codes, rank, means) for rank in has_nameless}
    limits = {rank: limit for rank, limit in limits.items() if limit is not None}
    return Design(units, codes, lower, means, limits, above)


def limit_genomes(design: Design, names: list[str], most: int) -> Design:
    """The design with at most `most` genomes a test: one of each unit, then a second of each, and so on.

    Units are drawn by a hash of the first of their names, whatever their size, and genomes within them by a hash of
    theirs, so that tests share genomes. Of a named species twenty genomes calibrate a test at most.

    Parameters
    ----------
    names : of the G genomes.
    """
    hashes = [hashlib.sha256(name.encode()).digest() for name in names]
    order = np.array(sorted(range(len(names)), key=hashes.__getitem__), dtype=np.int64)
    species = design._codes[_SPECIES]
    units = np.full_like(design.units, -1)
    for chosen, own in zip(units, design.units, strict=True):
        members: dict[int, list[int]] = {}
        strains: Counter[int] = Counter()
        for genome in order[own[order] >= 0].tolist():
            strains[species[genome]] += 1
            if species[genome] < 0 or strains[species[genome]] <= _MOST_STRAINS:
                members.setdefault(int(own[genome]), []).append(genome)
        drawn = sorted(members.values(), key=lambda genomes: hashes[min(genomes, key=names.__getitem__)])
        turns = (genome for turn in zip_longest(*drawn) for genome in turn if genome is not None)
        kept = np.fromiter(islice(turns, most), dtype=np.int64)
        chosen[kept] = own[kept]
    return replace(design, units=units)


def _near_limit(codes: dict[str, np.ndarray], rank: str, means: np.ndarray) -> float | None:
    """Distance within which 95% of the genomes have their nearest of the same taxon; None where too few show it.

    Of a taxon above species, only genomes of other species count.
    """
    species = codes[_SPECIES]
    found = []
    for members in _members(codes[rank]):
        own = means[members].astype(np.float64)
        alone = np.arange(len(members)) if rank == _SPECIES else species[members]
        for rows in cut_blocks(len(members), _BLOCK_ROWS):
            with one_blas_thread():
                similarity = own[rows] @ own.T
            similarity[alone[rows, None] == alone] = -np.inf
            nearest = similarity.max(axis=1)
            found.append(to_chord(nearest[nearest > -np.inf]))
    found = np.concatenate([np.zeros(0), *found])
    return float(np.quantile(found, _NEAR_LEVEL)) if len(found) >= _MIN_PAIRS else None


def _nearest(means: np.ndarray, genomes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance, float64, of each of some genomes to the nearest of others."""
    return to_chord((means[genomes].astype(np.float64) @ means[others].T.astype(np.float64)).max(axis=1))


def _rank_units(codes: dict[str, np.ndarray], rank: str | None, lower: str | None, *, strict: bool) -> np.ndarray:
    """int64 (G,) units: the genomes whose taxon of `rank` (None: any) has a member that is not left out."""
    taxa = codes[lower or rank]
    units = np.full(len(taxa), -1, dtype=np.int64)
    for members in [np.arange(len(taxa))] if rank is None else _members(codes[rank]):
        names = np.arange(len(members)) if lower is None else codes[lower][members]
        named = np.flatnonzero(names >= 0)
        if len(np.unique(names[named])) > 1:  # one of another name is never left out
            kept = named
        elif strict:
            kept = named[: len(named) if len(named) < len(members) else 0]
        else:
            own = {name: column[members] for name, column in codes.items()}
            maybe = named if len(named) < len(members) else named[:0]
            kept = [genome for genome in maybe if not _excluded(own, lower, genome, strict=False).all()]
        units[members[kept]] = taxa[members[kept]]
    return units


def _members(codes: np.ndarray) -> list[np.ndarray]:
    """Genomes, int64 ascending, of every taxon that has a code."""
    order = np.argsort(codes, kind="stable")
    named = order[codes[order] >= 0]
    return np.split(named, np.flatnonzero(np.diff(codes[named])) + 1)


def _excluded(codes: dict[str, np.ndarray], lower: str | None, genome: int, *, strict: bool) -> np.ndarray:
    """Genomes of the same `lower` taxon; unless `strict`, also those that might be of it, for want of a name.

    Leaving out too much makes calibration scores larger: novelty p-values err to the safe side. For the opposite test
    the safe side is to leave out too little: nameless genomes go only where their sequence says so (`Design.excluded`).
    """
    n = len(codes[_SPECIES])
    if lower is None:
        return np.arange(n) == genome
    same = codes[lower] == codes[lower][genome]
    if strict:
        return same
    differs = np.zeros(n, dtype=bool)
    for rank in TEST_RANKS[TEST_RANKS.index(lower) + 1 :]:
        column = codes[rank]
        differs |= (column >= 0) & (column[genome] >= 0) & (column != column[genome])
    return same | ((codes[lower] < 0) & ~differs)


def encode_names(names: list[str | None]) -> np.ndarray:
    """int64 codes of names in order of appearance; -1 for None."""
    known: dict[str, int] = {}
    return np.array([-1 if name is None else known.setdefault(name, len(known)) for name in names], dtype=np.int64)

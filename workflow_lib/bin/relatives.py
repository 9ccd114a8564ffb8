"""What the nearest reference species of contigs say of bins: contigs of one genome have the same relatives."""

from __future__ import annotations

import csv
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from workflow_lib.bin.groups import rows_of_bins
from workflow_lib.bin.inputs import REMEDY
from workflow_lib.bin.kmedoid import UNBINNED
from workflow_lib.errors import InputError

logger = logging.getLogger(__name__)

NO_SPECIES = -1
_RELATED = 0.9  # identity below which contigs share no more than genes that many species have
_SURE_IDENTITY = 0.96  # from which a contig is of that species: others of the genus are farther, at 0.95 or below
_SURE_HASHES = 10  # of a contig: with fewer its identity is known to no more than 0.02
_SURE_MARGIN = 0.02  # of identity, by which the next species has to be farther
_STRAY = 0.05  # share of contigs whose relatives tell nothing of their genome: doubled, moved between genomes, chance
_PRIOR = 1.0  # contigs of the average of all that every bin is taken to hold beside its own
_LEAST_COMMON = 10  # contigs of the sample with a species, below which it is one of the rare ones, taken together
_LEAST_SURE = 5  # contigs that are surely of a species, before they tell of their bin
_LEAST_OF_NEAR = 0.4  # share of the contigs near a species that are sure, where a genome of that species is there
_LEAST_PART = 0.2  # share of the sure contigs of a bin that a second species needs to be a genome of its own
_LEAST_SHARE = 0.1  # share of the contigs of a bin that are surely of its species


@dataclass(frozen=True)
class Relatives:
    """The nearest reference species of n contigs.

    Attributes
    ----------
    species : int64 (n,) number of the species, `NO_SPECIES` where the reference has nothing like the contig.
    is_sure : bool (n,) whether the contig is of that species rather than of one that is near it.
    """

    species: np.ndarray
    is_sure: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """How many contigs have a relative, and how many of these are sure."""
        return {"contigs": int(np.count_nonzero(self.species != NO_SPECIES)), "sure": int(self.is_sure.sum())}

    def where(self, known: np.ndarray) -> Relatives:
        """The same, but none of contigs that are not `known`, bool (n,)."""
        return Relatives(np.where(known, self.species, NO_SPECIES), self.is_sure & known)

    def of(self, rows: np.ndarray) -> Relatives:
        """Those of some rows."""
        return Relatives(self.species[rows], self.is_sure[rows])


def no_relatives(n: int) -> Relatives:
    """Of n contigs for which none were sought."""
    return Relatives(np.full(n, NO_SPECIES, dtype=np.int64), np.zeros(n, dtype=bool))


def read_relatives(path: str | Path, names: list[str]) -> Relatives:
    """Read the table of `relatives.find.find_relatives`.

    Parameters
    ----------
    names : of the contigs, in the order of the table.

    Raises
    ------
    InputError
        when it is damaged, or its contigs are not these, in this order.
    """
    types = {"contig": str, "species": str, "hashes": np.int64}
    identities = {"identity": [""], "next_identity": [""]}
    try:
        table = pd.read_csv(
            path, sep="\t", usecols=[*types, *identities], dtype=types, keep_default_na=False, na_values=identities,
            quoting=csv.QUOTE_NONE,
        )  # fmt: skip
        identity, others = (table[column].fillna(0).to_numpy(np.float64) for column in identities)
    except ValueError as error:
        raise InputError(f"is not a table of relatives ({error})", path=path, remedy=REMEDY) from error
    if table["contig"].tolist() != names:
        raise InputError(
            f"the relatives are of {len(table)} contigs, {len(names)} are embedded; or other names, or another order",
            path=path,
            remedy=REMEDY,
        )
    known, species = np.unique(table["species"].to_numpy(object), return_inverse=True)
    species = np.where((identity < _RELATED) | (known[species] == ""), NO_SPECIES, species.astype(np.int64))
    margin = (identity - others).round(6)  # 0.96 - 0.94 is less than 0.02
    is_sure = (species != NO_SPECIES) & (table["hashes"].to_numpy() >= _SURE_HASHES)
    is_sure &= (identity >= _SURE_IDENTITY) & (margin >= _SURE_MARGIN)
    found = Relatives(species, is_sure)
    logger.info(
        "%d of %d contigs have a relative in the reference, %d are surely of one of its species",
        *(found.counts["contigs"], len(names), found.counts["sure"]),
    )
    return found


@dataclass(frozen=True)
class Evidence:
    """Logarithm of how likely relatives are in each of K bins, over 0.05 times their share in the sample.

    Attributes
    ----------
    of_none : float64 (K,) of contigs without relatives.
    of_absent : float64 (K,) of a species that the bin does not have.
    of_present : float64 (R, K), sparse: what is added of the species that it has; the first row is of all rare ones.
    row : int64 (T,) which row is that of a species.
    of_unknown : in a genome that may be any.
    """

    of_none: np.ndarray
    of_absent: np.ndarray
    of_present: csr_array
    row: np.ndarray
    of_unknown: float = -math.log(_STRAY)

    def look_up(self, species: np.ndarray, bins: np.ndarray | slice) -> np.ndarray:
        """Of contigs with these species (m,) in some bins: float64 (m, bins)."""
        found = np.repeat(self.of_none[bins][None, :], len(species), axis=0)
        related = np.flatnonzero(species != NO_SPECIES)
        if len(related):
            present = self.of_present[self.row[species[related]]][:, bins]
            found[related] = self.of_absent[bins] + present.toarray()
        return found


def weigh_relatives(relatives: Relatives, labels: np.ndarray, n_bins: int) -> Evidence:
    """The evidence of relatives, from those of the contigs in the bins.

    A contig of a bin has a species, or none, with the probability that its contigs have it (with one contig of the
    average of all beside them), but for a share of 0.05 of stray ones, that have what any contig may have. Species of
    few contigs are one: each alone would be likeliest in the bin that it is in, right or wrong.
    """
    related = relatives.species != NO_SPECIES
    of_species = np.bincount(relatives.species[related])
    row = np.where(of_species < _LEAST_COMMON, 0, np.cumsum(of_species >= _LEAST_COMMON))
    code = np.zeros(len(related), dtype=np.int64)  # 0: none
    code[related] = row[relatives.species[related]] + 1
    n_codes = int(row.max(initial=0)) + 2
    of_all = np.maximum(np.bincount(code, minlength=n_codes), 1) / max(len(code), 1)
    member = np.flatnonzero(labels != UNBINNED)
    total = np.bincount(labels[member], minlength=n_bins) + _PRIOR
    keys, counts = np.unique(code[member] * n_bins + labels[member], return_counts=True)
    present, of = np.divmod(keys, n_bins)
    odds = (1 - _STRAY) / _STRAY
    of_absent = np.log1p(odds * _PRIOR / total)
    values = np.log1p(odds * (counts / of_all[present] + _PRIOR) / total[of])
    of_none = of_absent.copy()
    of_none[of[present == 0]] = values[present == 0]
    has = present > 0
    more = csr_array((values[has] - of_absent[of[has]], (present[has] - 1, of[has])), shape=(n_codes - 1, n_bins))
    return Evidence(of_none, of_absent, more, row)


def species_of_bins(relatives: Relatives, labels: np.ndarray, n_bins: int) -> np.ndarray:
    """The species that the sure contigs of each bin have, int64 (K,), or `NO_SPECIES`.

    It has to be that of more than half of them, of at least 5, and of a tenth of the contigs; see `_count_sure` too.
    """
    found = np.full(n_bins, NO_SPECIES, dtype=np.int64)
    for label, rows in enumerate(rows_of_bins(labels, n_bins)):
        species, counts, n_sure = _count_sure(relatives, rows)
        if len(species):
            most = counts.argmax()
            if counts[most] >= _LEAST_SHARE * len(rows) and 2 * counts[most] > n_sure:
                found[label] = species[most]
    return found


def _count_sure(relatives: Relatives, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Species with 5 sure contigs among some, how many they have, and how many contigs are sure of any species.

    Two fifths of the contigs near a species have to be sure. Of a genome that is as far from two species few are.
    """
    species, is_sure = relatives.species[rows], relatives.is_sure[rows]
    related = species != NO_SPECIES
    near, of, n_near = np.unique(species[related], return_inverse=True, return_counts=True)
    counts = np.bincount(of, is_sure[related], minlength=len(near)).astype(np.int64)
    kept = (counts >= _LEAST_SURE) & (counts >= _LEAST_OF_NEAR * n_near)
    return near[kept], counts[kept], int(is_sure.sum())


def split_by_species(relatives: Relatives, labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Give a species a bin of its own, where many of its sure contigs are in a bin of another one, or in none.

    In a bin a second species needs 5 sure contigs and a fifth of all that are sure there; among those without a bin it
    needs 5, and to be the species of no bin; see `_count_sure` too.

    Returns
    -------
    labels, the new bins having the highest numbers; a bin keeps the contigs that are not sure. How many bins are new.
    """
    labels = labels.copy()
    first = fresh = int(labels.max(initial=UNBINNED)) + 1
    binned = species_of_bins(relatives, labels, first)
    for label, rows in enumerate([np.flatnonzero(labels == UNBINNED), *rows_of_bins(labels)], start=UNBINNED):
        species, counts, n_sure = _count_sure(relatives, rows)
        if label == UNBINNED:
            apart = species[~np.isin(species, binned)]
        else:
            large = counts >= _LEAST_PART * n_sure
            apart = species[large][np.argsort(-counts[large], kind="stable")][1:]
        sure = rows[relatives.is_sure[rows]]
        for second in apart:
            labels[sure[relatives.species[sure] == second]] = fresh
            fresh += 1
    return labels, fresh - first

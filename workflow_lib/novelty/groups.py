"""Groups of contigs, or of the cuts of one contig, each tested as one by the mean of its vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from workflow_lib.index.base import to_chord
from workflow_lib.novelty.calibration_set import CalibrationSet
from workflow_lib.novelty.identity import MIN_PLACED, Matches, Pairs, best_identities, keep_placed, pair_identities
from workflow_lib.novelty.scores import Neighbours, join_neighbours, summarise
from workflow_lib.novelty.stand_ins import StandIns
from workflow_lib.novelty.strata import Composition, compose_bin, format_stratum
from workflow_lib.novelty.tested import RankTests

# A bin is taken for a mixture when its contigs point more ways than those of 99.5% of the calibration genomes.
_MIXED_LEVEL = 0.005


@dataclass(frozen=True)
class Groups:
    """m groups as their tests see them.

    Attributes
    ----------
    members : of each, positions in `StandIns`, of which the test takes some.
    compositions : of each, which ones.
    """

    members: list[np.ndarray]
    compositions: list[Composition]

    @classmethod
    def of(cls, contigs: list[np.ndarray], stand_ins: StandIns, calibration: CalibrationSet) -> Groups:
        """Groups of contigs (positions)."""
        members, levels = [stand_ins.of(own) for own in contigs], tuple(calibration.levels.tolist())
        compositions = [
            compose_bin([stand_ins.names[i] for i in own], stand_ins.bp[own], stand_ins.stratum[own], levels)
            for own in members
        ]
        return cls(members, compositions)

    @property
    def n_vectors(self) -> np.ndarray:
        """int64 (m,), vectors of which each is the mean."""
        return np.array([sum(map(len, one.members.values())) for one in self.compositions], dtype=np.int64)

    def used(self, row: int) -> np.ndarray:
        """int64: positions in `StandIns` of what stands for a group."""
        chosen = self.compositions[row].members.values()
        return self.members[row][np.concatenate([np.zeros(0, dtype=np.int64), *chosen])]

    def longer(self, stand_ins: StandIns) -> np.ndarray:
        """bool (m,), groups with a member that is longer than the pieces of its stratum."""
        return np.array([stand_ins.longer[own].any() for own in self.members], dtype=bool)

    def alike(self) -> list[np.ndarray]:
        """Rows of groups that share their calibration, int64 each; groups of nothing are left out."""
        rows: dict[tuple, list[int]] = {}
        for row, one in enumerate(self.compositions):
            if one.members:
                rows.setdefault((*one.levels.items(), *one.weights.items()), []).append(row)
        return [np.array(own) for own in rows.values()]


def find_group_vectors(groups: Groups, stand_ins: StandIns) -> np.ndarray:
    """float64 (m, d): mean vectors, plain within a stratum, strata by their share of the length; zeros: of nothing."""
    found = np.zeros((len(groups.members), stand_ins.dim))
    for row, (members, one) in enumerate(zip(groups.members, groups.compositions, strict=True)):
        for stratum, own in one.members.items():
            found[row] += one.weights[stratum] * stand_ins.vectors(members[own]).mean(axis=0)
    return found


def find_group_neighbours(
    groups: Groups, vectors: np.ndarray, calibration: CalibrationSet, matches: Matches, taxa: np.ndarray
) -> Neighbours:
    """What is nearest to each group that has members, by the mean directions of the genomes.

    Parameters
    ----------
    vectors : of `find_group_vectors`. matches : owners in the order of `StandIns`; empty: identities are not looked at.
    taxa : int64 (G,), between which the margin is measured.

    Memory: the distances of one group.
    """
    pairs, n_vectors, found = _group_pairs(groups, matches, len(calibration.means)), groups.n_vectors, []
    for row in np.flatnonzero(n_vectors):
        length = max(np.linalg.norm(vectors[row]), 1e-12)
        distances = to_chord(calibration.means @ vectors[row] / length)[None, :]
        own = _best_identity(pairs, row, distances, calibration, is_placed=n_vectors[row] >= MIN_PLACED)
        found.append(summarise(distances, calibration.spread, k=int(calibration.k), taxa=taxa, identity=own))
    return join_neighbours(found)


def hold_groups(
    tests: RankTests,
    rows: np.ndarray,
    groups: Groups,
    neighbours: Neighbours,
    calibration: CalibrationSet,
    longer: np.ndarray,
) -> None:
    """Test the groups that have members against genomes' own pieces grouped alike (`CalibrationSet.bin_scores`).

    Parameters
    ----------
    rows : int64 (m,), of the groups among the queries of `tests`.
    neighbours : of `find_group_neighbours`. longer : bool (m,), groups whose opposite test is not made.
    """
    place = np.cumsum(groups.n_vectors > 0) - 1
    for own in groups.alike():
        like = partial(calibration.bins, groups.compositions[own[0]])
        scores, genomes = neighbours.score[place[own]], neighbours.genome[place[own]]
        tests.add(rows[own], like, scores, genomes, longer[own])


def find_mixed(groups: Groups, vectors: np.ndarray, calibration: CalibrationSet) -> np.ndarray:
    """bool (m,): groups less even than all but `_MIXED_LEVEL` of the genomes; none where too few can say so."""
    mixed = np.zeros(len(vectors), dtype=bool)
    for own in groups.alike():
        squares = calibration.bin_evenness(groups.compositions[own[0]])
        squares = np.sort(squares[np.isfinite(squares)])
        below = np.searchsorted(squares, np.einsum("ij,ij->i", vectors[own], vectors[own]), side="right")
        mixed[own] = (1 + below) / (len(squares) + 1) <= _MIXED_LEVEL
    return mixed


def format_groups(groups: Groups, bounds: np.ndarray) -> list[str]:
    """Vectors used of each stratum, e.g. `2500-4999:8;5000-9999:2`."""
    return [
        ";".join(f"{format_stratum(stratum, bounds)}:{len(own)}" for stratum, own in one.members.items())
        for one in groups.compositions
    ]


def _group_pairs(groups: Groups, matches: Matches, n_genomes: int) -> Pairs:
    """`pair_identities` of what stands for each group."""
    of = np.full(matches.owner.max(initial=-1) + 1, -1, dtype=np.int64)
    for row in range(len(groups.members)):
        used = groups.used(row)
        of[used[used < len(of)]] = row
    return pair_identities(matches, of, n_genomes)


def _best_identity(
    pairs: Pairs, row: int, distances: np.ndarray, calibration: CalibrationSet, *, is_placed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The highest identity of a group, float64 (1,), and its genome, int64 (1,), as in `CalibrationSet.bin_scores`."""
    own = slice(*np.searchsorted(pairs[0], [row, row + 1]))
    found = np.zeros(own.stop - own.start, dtype=np.int64), pairs[1][own], pairs[2][own]
    if is_placed:
        nearest = np.argsort(distances, axis=1, kind="stable")[:, : calibration.bin_candidates.shape[2]]
        found = keep_placed(found, nearest, np.take_along_axis(distances, nearest, axis=1), calibration.spread)
    return best_identities(*found, 1)

"""What the calls need of the calibration: scores a test, stratum and simulated bin, and its file."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.index import SearchIndex
from workflow_lib.index.base import to_chord
from workflow_lib.novelty.conformal import Calibration
from workflow_lib.novelty.design import CALIBRATED, REFERENCE
from workflow_lib.novelty.identity import MIN_PLACED, Matches, Pairs, best_identities, keep_placed, pair_identities
from workflow_lib.novelty.scores import combine_scores, nearest_means
from workflow_lib.novelty.strata import Composition, class_range, find_stratum

CALIBRATION_NAME = "calibration.npz"
# Of what the arrays mean. 2: pieces for which nothing is found are infinitely far, and have a nearest genome.
# 3: genomes of the species of the one that calibrates are left out whatever their names.
# 4: so are those that hold a part of what is left out; lengths of pieces.
_VERSION = 4


@dataclass(frozen=True)
class CalibrationSet:
    """Everything the calls need of the calibration; T tests (`CALIBRATED`), G genomes, of which B calibrate, S strata,
    L levels, C candidates, P pieces, E pairs of a piece's segment and a genome that shares sequence with it.

    Attributes
    ----------
    k : int64 (), genomes over which a score is the mean.
    bounds : int64 (S + 1,), bp.
    levels : int64 (L,), numbers of pieces of simulated bins.
    calibrating : int64 (B,), positions of these genomes among the G.
    units : int64 (T, B), see `Design`.
    piece_genome : int64 (P,), position among the B. piece_length : int64 (P,), bp.
    piece_scores : float64 (T, P), NaN where a piece does not calibrate a test, inf where an approximate search found
        fewer than k genomes.
    piece_distances : float32 (T, P), to the nearest genome that a test does not leave out; NaN as the scores, inf where
        none was found.
    piece_nearest : int64 (T, P), that genome, or the one that shares most sequence; where none was found the one whose
        mean is nearest; -1 where there is no score.
    foreign : int64 (B,), which of the B contaminates a genome's simulated bins. contamination : float64 (B,), how much.
    name_order : int64 (G,), place of each genome by name: of equally alike genomes the first is the nearest.
    means, spread : float32 (G, d) and float64 (G,), of the genomes' windows, see `scores.genome_means`.
    bin_candidates : int64 (T, B, C), genomes near a genome's pieces that its test does not leave out.
    bin_products : float32 (T, B, S, L, C), inner products of the mean vector of the first `levels` pieces of a genome
        in a stratum, contaminated, with the means of its candidate genomes; NaN where a genome has too few pieces or
        does not calibrate the test; -inf where there are fewer candidates.
    bin_norms : float32 (B, S x L, S x L), inner products of those mean vectors with each other.
    segment_piece, segment_size, hit_segment, hit_genome, hit_shared : int64, see `identity.Matches`; owners are pieces.
    hit_allowed : bool (T, E), pairs whose genome is not left out by a test.
    """

    k: np.ndarray
    bounds: np.ndarray
    levels: np.ndarray
    calibrating: np.ndarray
    units: np.ndarray
    piece_genome: np.ndarray
    piece_length: np.ndarray
    piece_scores: np.ndarray
    piece_distances: np.ndarray
    piece_nearest: np.ndarray
    foreign: np.ndarray
    contamination: np.ndarray
    name_order: np.ndarray
    means: np.ndarray
    spread: np.ndarray
    bin_candidates: np.ndarray
    bin_products: np.ndarray
    bin_norms: np.ndarray
    segment_piece: np.ndarray
    segment_size: np.ndarray
    hit_segment: np.ndarray
    hit_genome: np.ndarray
    hit_shared: np.ndarray
    hit_allowed: np.ndarray

    @property
    def has_identity(self) -> bool:
        """Whether scores hold identities: those of queries then must too."""
        return len(self.segment_piece) > 0

    @property
    def calibration_id(self) -> str:
        """Twelve digits that tell this calibration from any other."""
        digest = hashlib.sha256()
        for field in fields(self):
            array = np.ascontiguousarray(getattr(self, field.name))
            digest.update(f"{field.name}{array.dtype.str}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()[:12]

    @cached_property
    def piece_stratum(self) -> np.ndarray:
        """int64 (P,), the length stratum of each piece."""
        return find_stratum(self.piece_length, self.bounds)

    def pieces(
        self, stratum: int, test: str, near: np.ndarray | None = None, *, length_class: int | None = None
    ) -> Calibration:
        """The calibration of a test for contigs of a stratum, or of a length class in it.

        Noise falls with length: contigs of a stratum's lower end, held against all of its pieces, look novel too often.

        Parameters
        ----------
        near : bool (G,), only pieces near such genomes count. length_class : of `strata.find_class`.
        """
        row, pieces = CALIBRATED.index(test), self._rows(stratum, length_class)
        units = self.units[row][self.piece_genome[pieces]]
        if near is not None:
            units = np.where(near[self.piece_nearest[row][pieces]], units, -1)
        return Calibration(self.piece_scores[row][pieces], units)

    def _rows(self, stratum: int, length_class: int | None) -> np.ndarray:
        """Positions, int64, of the pieces of a stratum; of a length class those in its range, or what a genome of the
        stratum has instead: shorter ones, and if there are none either, all."""
        if (stratum, length_class) not in self._rows_of:
            own = kept = self.piece_stratum == stratum
            if length_class is not None:
                low, high = class_range(length_class, int(self.bounds[0]))
                kept = (self.piece_length >= low) & (self.piece_length < high)
                for others in (own & (self.piece_length < low), own):
                    is_there = np.zeros(len(self.calibrating), dtype=bool)
                    is_there[self.piece_genome[kept]] = True
                    kept = kept | (others & ~is_there[self.piece_genome])
            self._rows_of[stratum, length_class] = np.flatnonzero(kept)
        return self._rows_of[stratum, length_class]

    @cached_property
    def _rows_of(self) -> dict[tuple[int, int | None], np.ndarray]:
        return {}

    def bins(self, composition: Composition, test: str, near: np.ndarray | None = None) -> Calibration:
        """The same for bins of a composition."""
        scores, nearest = self.bin_scores(test, composition)
        units = self.units[CALIBRATED.index(test)]
        return Calibration(scores, units if near is None else np.where(near[nearest], units, -1))

    def bin_scores(self, test: str, composition: Composition) -> tuple[np.ndarray, np.ndarray]:
        """Every genome's own pieces as a bin of the composition: scores, float64 (B,), NaN where there is none, and the
        nearest genome, int64 (B,)."""
        products, squares = self._bin_vectors(test, composition)
        # NaN where a piece is missing; a vector of no length, of opposite pieces, has no direction and no score.
        norms = np.sqrt(np.where(squares > 0, squares, np.nan))
        candidates = self.bin_candidates[CALIBRATED.index(test)]
        distances = to_chord(products / norms[:, None])
        s1, s2 = nearest_means(distances, self.spread[candidates], int(self.k), self.name_order[candidates])
        pairs = self._bin_pairs(test, composition)
        if composition.n_contigs >= MIN_PLACED:
            pairs = keep_placed(pairs, candidates, distances, self.spread)
        identity, matched = best_identities(pairs, len(candidates), self.name_order)
        closest = candidates[np.arange(len(candidates)), products.argmax(axis=1)]
        return combine_scores(s1, s2, identity), np.where(matched >= 0, matched, closest)

    def bin_evenness(self, composition: Composition) -> np.ndarray:
        """Squared length, float64 (B,), of the mean vector of every genome's own pieces as a bin of the composition.

        Pieces that point the same way have a long mean; those of two genomes do not.
        """
        return self._bin_vectors(REFERENCE, composition)[1]

    def _bin_vectors(self, test: str, composition: Composition) -> tuple[np.ndarray, np.ndarray]:
        """Products float64 (B, C) of the bins' mean vectors with the genomes' means, and their squares (B,).

        A bin's vector is the weighted sum of its strata's mean vectors, so that its products with the genomes' means
        are weighted sums of the stored ones.
        """
        n_levels = len(self.levels)
        weights = np.zeros((len(self.bounds) - 1) * n_levels)
        for stratum, weight in composition.weights.items():
            weights[stratum * n_levels + composition.levels[stratum]] = weight
        used = np.flatnonzero(weights)
        shape = len(self.bin_norms), len(weights), self.bin_products.shape[-1]
        products = self.bin_products[CALIBRATED.index(test)].reshape(shape)[:, used]
        similarities = np.einsum("gsc,s->gc", products, weights[used])
        squares = np.einsum("gst,s,t->g", self.bin_norms[:, used][:, :, used], weights[used], weights[used])
        return similarities, squares

    def _bin_pairs(self, test: str, composition: Composition) -> Pairs:
        """Identities of every genome's bin of a composition with the genomes that share sequence with it.

        A genome's own pieces are compared with what the test does not leave out, those that contaminate its bin with
        all genomes but their own.
        """
        chosen = np.zeros(len(self.bounds) - 1, dtype=np.int64)
        for stratum, level in composition.levels.items():
            chosen[stratum] = self.levels[level]
        own = self._cached_pairs(test, tuple(chosen.tolist()), is_foreign=False)
        foreign = self._cached_pairs(REFERENCE, tuple(chosen.tolist()), is_foreign=True)
        return tuple(np.concatenate(values) for values in zip(own, foreign, strict=True))

    def _cached_pairs(self, test: str, chosen: tuple[int, ...], *, is_foreign: bool) -> Pairs:
        key = (test, chosen, is_foreign)
        if key not in self._pairs:
            member = self._piece_order < np.array(chosen)[self.piece_stratum]
            owner, parts = self.piece_genome, 1 - self.contamination
            if is_foreign:
                contaminated = np.argsort(self.foreign)  # the genome whose bins another one's pieces contaminate
                owner, parts = contaminated[owner], self.contamination
            groups, n = np.where(member, owner, -1), len(self.means)
            self._pairs[key] = pair_identities(self._matches(test), groups, n, parts=parts)
        return self._pairs[key]

    @cached_property
    def _pairs(self) -> dict[tuple[str, tuple[int, ...], bool], Pairs]:
        return {}

    @cached_property
    def _piece_order(self) -> np.ndarray:
        """int64 (P,): how many pieces of the same genome and stratum come before."""
        keys = self.piece_genome * (len(self.bounds) - 1) + self.piece_stratum
        order = np.argsort(keys, kind="stable")
        place = np.arange(len(keys)) - np.searchsorted(keys[order], keys[order])
        result = np.empty_like(place)
        result[order] = place
        return result

    @property
    def matches(self) -> Matches:
        """What pieces share with any genome, their own too."""
        return Matches(self.segment_piece, self.segment_size, self.hit_segment, self.hit_genome, self.hit_shared)

    def _matches(self, test: str) -> Matches:
        return self.matches.where(self.hit_allowed[CALIBRATED.index(test)])

    def calibrated_strata(self, min_units: int) -> np.ndarray:
        """bool (S,): strata in which at least `min_units` genomes calibrate the test `reference`."""
        n_strata = len(self.bounds) - 1
        return np.array([self.pieces(s, REFERENCE).n_units >= min_units for s in range(n_strata)], dtype=bool)


def write_calibration(path: str | Path, calibration: CalibrationSet) -> None:
    """Write the calibration as .npz, atomically; the same content gives the same bytes."""
    buffer = io.BytesIO()
    arrays = {field.name: getattr(calibration, field.name) for field in fields(calibration)}
    np.savez(buffer, version=_VERSION, **arrays)
    with atomic_open(path, "wb") as handle:
        handle.write(buffer.getbuffer())


def read_calibration(folder: str | Path, index: SearchIndex) -> CalibrationSet:
    """Read the calibration of a loaded index from its folder; refuse one that belongs to another index."""
    path = Path(folder) / CALIBRATION_NAME
    remedy = "build and calibrate the index anew"
    if CALIBRATION_NAME not in index.manifest.get("checksums", {}):
        raise InputError("the index has no calibration", path=path, remedy=remedy)
    with np.load(path, allow_pickle=False) as arrays:
        version = int(arrays["version"]) if "version" in arrays else 1
        if version != _VERSION:
            raise InputError(f"a calibration of version {version}, expected {_VERSION}", path=path, remedy=remedy)
        calibration = CalibrationSet(**{field.name: arrays[field.name] for field in fields(CalibrationSet)})
    if calibration.calibration_id != index.manifest.get("calibration_id"):
        raise InputError("this calibration is not the one of the manifest beside it", path=path, remedy=remedy)
    if len(calibration.means) != len(index.table.genomes):
        raise InputError(f"is of {len(calibration.means)} genomes, the index has others", path=path)
    return calibration

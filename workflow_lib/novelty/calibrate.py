"""Calibration: pieces of reference genomes searched in the index with their own genome, or taxon, left out."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.index import SearchIndex
from workflow_lib.index.base import to_chord
from workflow_lib.index.windows import parse_window
from workflow_lib.novelty.conformal import Calibration
from workflow_lib.novelty.design import CALIBRATED, REFERENCE, make_design
from workflow_lib.novelty.identity import Matches, find_identities
from workflow_lib.novelty.scores import combine_scores, nearest_means
from workflow_lib.novelty.strata import Composition, count_levels, find_stratum
from workflow_lib.store import EmbeddingStore

logger = logging.getLogger(__name__)

CALIBRATION_NAME = "calibration.npz"
# Nearest genomes kept of a simulated bin, beyond k: the nearest of a mixture of its strata is among them, for all that
# matters. If it ever is not, the next one takes its place.
_N_CANDIDATES = 8


@dataclass(frozen=True)
class CalibrationSet:
    """Everything the calls need of the calibration; T tests (`CALIBRATED`), G genomes, S strata, L levels,
    C candidates, P pieces, E pairs of a piece's segment and a genome that shares sequence with it.

    Attributes
    ----------
    k : int64 (), genomes over which a score is the mean.
    bounds : int64 (S + 1,), bp.
    levels : int64 (L,), numbers of pieces of simulated bins.
    units : int64 (T, G), see `Design`.
    piece_genome, piece_stratum : int64 (P,).
    piece_scores : float64 (T, P), NaN where a piece does not calibrate a test.
    piece_distances : float32 (T, P), to the nearest genome that a test does not leave out; NaN as the scores.
    means, spread : float32 (G, d) and float64 (G,), of the genomes' windows, see `scores.genome_means`.
    bin_candidates : int64 (T, G, C), genomes near a genome's pieces that its test does not leave out.
    bin_products : float32 (T, G, S, L, C), inner products of the mean vector of the first `levels` pieces of a genome
        in a stratum with the means of its candidate genomes; NaN where a genome has too few pieces or does not
        calibrate the test; -inf where there are fewer candidates.
    bin_norms : float32 (G, S x L, S x L), inner products of those mean vectors with each other.
    segment_piece, segment_size, hit_segment, hit_genome, hit_shared : int64, see `identity.Matches`; owners are pieces.
    hit_allowed : bool (T, E), pairs whose genome is not left out by a test.
    """

    k: np.ndarray
    bounds: np.ndarray
    levels: np.ndarray
    units: np.ndarray
    piece_genome: np.ndarray
    piece_stratum: np.ndarray
    piece_scores: np.ndarray
    piece_distances: np.ndarray
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

    def pieces(self, test: str, stratum: int) -> Calibration:
        """The calibration of a test for single contigs of a stratum."""
        rows = self.piece_stratum == stratum
        units = self.units[CALIBRATED.index(test)][self.piece_genome[rows]]
        return Calibration(self.piece_scores[CALIBRATED.index(test)][rows], units)

    def bin_scores(self, test: str, composition: Composition) -> np.ndarray:
        """Scores, float64 (G,), of every genome's own pieces as a bin of the composition; NaN where there is none."""
        products, squares = self._bin_vectors(test, composition)
        # NaN where a piece is missing; a vector of no length, of opposite pieces, has no direction and no score.
        norms = np.sqrt(np.where(squares > 0, squares, np.nan))
        spread = self.spread[self.bin_candidates[CALIBRATED.index(test)]]
        s1, s2 = nearest_means(to_chord(products / norms[:, None]), spread, int(self.k))
        return combine_scores(s1, s2, self._bin_identities(test, composition))

    def bin_evenness(self, composition: Composition) -> np.ndarray:
        """Squared length, float64 (G,), of the mean vector of every genome's own pieces as a bin of the composition.

        Pieces that point the same way have a long mean; those of two genomes do not.
        """
        return self._bin_vectors(REFERENCE, composition)[1]

    def _bin_vectors(self, test: str, composition: Composition) -> tuple[np.ndarray, np.ndarray]:
        """Products float64 (G, C) of the bins' mean vectors with the genomes' means, and their squares (G,).

        A bin's vector is the weighted sum of its strata's mean vectors, so that its products with the genomes' means
        are weighted sums of the stored ones.
        """
        n_levels = len(self.levels)
        weights = np.zeros((len(self.bounds) - 1) * n_levels)
        for stratum, weight in composition.weights.items():
            weights[stratum * n_levels + composition.levels[stratum]] = weight
        used = np.flatnonzero(weights)
        products = self.bin_products[CALIBRATED.index(test)].reshape(len(self.means), len(weights), -1)[:, used]
        similarities = np.einsum("gsc,s->gc", products, weights[used])
        squares = np.einsum("gst,s,t->g", self.bin_norms[:, used][:, :, used], weights[used], weights[used])
        return similarities, squares

    def _bin_identities(self, test: str, composition: Composition) -> np.ndarray:
        """Identity, float64 (G,), of every genome's pieces of a composition with the nearest genome not left out."""
        chosen = np.zeros(len(self.bounds) - 1, dtype=np.int64)
        for stratum, level in composition.levels.items():
            chosen[stratum] = self.levels[level]
        return self._cached_identities(test, tuple(chosen.tolist()))

    def _cached_identities(self, test: str, chosen: tuple[int, ...]) -> np.ndarray:
        if (test, chosen) not in self._identities:
            member = self._piece_order < np.array(chosen)[self.piece_stratum]
            groups, n = np.where(member, self.piece_genome, -1), len(self.means)
            self._identities[test, chosen] = find_identities(self._matches(test), groups, n, n)[0]
        return self._identities[test, chosen]

    @cached_property
    def _identities(self) -> dict[tuple[str, tuple[int, ...]], np.ndarray]:
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

    def _matches(self, test: str) -> Matches:
        whole = Matches(self.segment_piece, self.segment_size, self.hit_segment, self.hit_genome, self.hit_shared)
        return whole.where(self.hit_allowed[CALIBRATED.index(test)])

    def bins(self, test: str, composition: Composition) -> Calibration:
        """The calibration of a test for bins of a composition."""
        return Calibration(self.bin_scores(test, composition), self.units[CALIBRATED.index(test)])

    def calibrated_strata(self, min_units: int) -> np.ndarray:
        """bool (S,): strata in which at least `min_units` genomes calibrate the test `reference`."""
        n_strata = len(self.bounds) - 1
        return np.array([self.pieces(REFERENCE, s).n_units >= min_units for s in range(n_strata)], dtype=bool)


def calibrate(
    index: SearchIndex,
    means: np.ndarray,
    spread: np.ndarray,
    pieces: EmbeddingStore,
    *,
    k: int,
    n_pieces: int,
    matches: Matches | None = None,
) -> CalibrationSet:
    """Search the calibration pieces in the index, each with what its test leaves out left out.

    Parameters
    ----------
    means, spread : of `genome_means`, in the order of the index's genomes.
    pieces : of `embed_reference`; the rows of a genome lie together; zero vectors are passed over.
    k : distinct genomes whose mean distance is the score.
    n_pieces : pieces a genome and stratum, the size of the largest simulated bin.
    matches : what the pieces share with the index's genomes, owners in the order of `pieces`; None: not looked at.

    Memory: the pieces of one genome x G distances, and T x G x S x L x C + G x (S x L)^2 floats of simulated bins (5 MB
    at 500 genomes, 110 MB at 10,000).
    """
    start = time.monotonic()
    index.check_embedder(pieces.manifest)
    table, bounds = index.table, np.array(pieces.manifest["strata"], dtype=np.int64)
    position = {genome: code for code, genome in enumerate(table.genomes)}
    parts = [parse_window(name) for name in pieces.names]
    genomes = np.array([position.get(genome, -1) for genome, *_ in parts], dtype=np.int64)
    lengths = np.array([end - begin for *_, begin, end in parts], dtype=np.int64)
    rows = np.flatnonzero((genomes >= 0) & pieces.vectors.any(axis=1))
    rows = rows[np.argsort(genomes[rows], kind="stable")]
    matches = Matches.none() if matches is None else _select_owners(matches, rows)
    work = _Work(index, means, spread, k, bounds, count_levels(n_pieces), genomes[rows], lengths[rows], matches)
    for block in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(genomes[rows])) + 1):
        if len(block):
            work.add_genome(block, np.ascontiguousarray(pieces.vectors[rows[block]]))
    result = work.result()
    n_known = {test: len(np.unique(row[row >= 0])) for test, row in zip(CALIBRATED, result.units, strict=True)}
    logger.info(
        "%d pieces of %d genomes (%d bp) searched in %.1f s; units a test: %s",
        *(len(rows), len(np.unique(genomes[rows])), lengths[rows].sum(), time.monotonic() - start),
        ", ".join(f"{test} {n}" for test, n in n_known.items()),
    )
    return result


def _select_owners(matches: Matches, rows: np.ndarray) -> Matches:
    """The matches of some pieces, with owners numbered and ordered as `rows` (positions of the pieces) are."""
    place = np.full(max(rows.max(initial=-1), matches.owner.max(initial=-1)) + 1, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    owner = place[matches.owner]
    segments = np.flatnonzero(owner >= 0)
    segments = segments[np.argsort(owner[segments], kind="stable")]
    number = np.full(len(owner), -1, dtype=np.int64)
    number[segments] = np.arange(len(segments))
    segment = number[matches.segment]
    hits = np.flatnonzero(segment >= 0)
    hits = hits[np.argsort(segment[hits], kind="stable")]
    return Matches(owner[segments], matches.size[segments], segment[hits], matches.genome[hits], matches.shared[hits])


class _Work:
    """The arrays of a `CalibrationSet` while they are filled, genome by genome."""

    def __init__(self, index: SearchIndex, means, spread, k: int, bounds, levels, genomes, lengths, matches) -> None:
        self.index, self.means, self.spread, self.k = index, means, spread, k
        self.design = make_design(index.table.lineages)
        self.bounds, self.levels, self.genomes = bounds, levels, genomes
        n_genomes, n_strata = len(index.table.genomes), len(bounds) - 1
        self.strata = find_stratum(lengths, bounds)
        self.s1, self.s2 = (np.full((len(CALIBRATED), len(genomes)), np.nan) for _ in range(2))
        self.nearest = np.full((len(CALIBRATED), len(genomes)), np.nan, dtype=np.float32)
        self.matches, self.hit_owner = matches, matches.owner[matches.segment]
        self.hit_allowed = np.zeros((len(CALIBRATED), len(self.hit_owner)), dtype=bool)
        self.n_candidates = min(_N_CANDIDATES + k, max(n_genomes - 1, 1))
        shape = (len(CALIBRATED), n_genomes, n_strata, len(levels), self.n_candidates)
        self.products = np.full(shape, np.nan, dtype=np.float32)
        self.norms = np.full((n_genomes, n_strata * len(levels), n_strata * len(levels)), np.nan, dtype=np.float32)
        self.candidates = np.zeros((len(CALIBRATED), n_genomes, self.n_candidates), dtype=np.int64)

    def add_genome(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Fill in one genome, of which `rows` are the pieces."""
        from threadpoolctl import threadpool_limits

        genome = int(self.genomes[rows[0]])
        vectors_of_bins = self._mean_vectors(self.strata[rows], vectors)
        with threadpool_limits(1, "blas"):  # as BLAS rounds differently for each number of threads
            self.norms[genome] = vectors_of_bins @ vectors_of_bins.T
            self._add_tests(rows, genome, vectors, vectors_of_bins)

    def _distances(self, vectors: np.ndarray, *, without: np.ndarray | None = None) -> np.ndarray:
        return np.concatenate([block for _, block in self.index.genome_distances(vectors, without=without)])

    def _add_tests(self, rows: np.ndarray, genome: int, vectors: np.ndarray, vectors_of_bins: np.ndarray) -> None:
        distances = self._distances(vectors)
        for position, test in enumerate(CALIBRATED):
            if self.design.units[position, genome] < 0:
                continue
            excluded = self.design.excluded(test, genome)
            allowed = np.flatnonzero(~excluded)
            if len(allowed) < min(self.k, distances.shape[1]):
                continue  # a mean over fewer genomes than a query's would be too small
            near = distances[:, allowed]
            if np.isinf(near).any():  # an approximate index looks further, past what is left out
                near = self._distances(vectors, without=excluded)[:, allowed]
            found = nearest_means(near, self.spread[allowed], self.k)
            self.s1[position, rows], self.s2[position, rows] = found
            self.nearest[position, rows] = near.min(axis=1)
            hits = slice(*np.searchsorted(self.hit_owner, [rows[0], rows[-1] + 1]))
            self.hit_allowed[position, hits] = np.isin(self.matches.genome[hits], allowed)
            self._add_products(position, genome, vectors_of_bins, allowed)

    def _mean_vectors(self, strata: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """float32 (S x L, d): means of the first pieces of each stratum; NaN where there are too few."""
        means = np.full((len(self.bounds) - 1, len(self.levels), vectors.shape[1]), np.nan, dtype=np.float32)
        for stratum in np.unique(strata):
            own = vectors[strata == stratum]
            for level, count in enumerate(self.levels):
                if len(own) >= count:
                    means[stratum, level] = own[:count].mean(axis=0)
        return means.reshape(-1, vectors.shape[1])

    def _add_products(self, test: int, genome: int, vectors: np.ndarray, allowed: np.ndarray) -> None:
        products = vectors @ self.means[allowed].T
        largest = np.nan_to_num(products, nan=-1).max(axis=0)
        nearest = np.argsort(-largest, kind="stable")[: self.n_candidates]
        padded = np.where(np.isnan(products[:, :1]), np.nan, np.full((len(vectors), self.n_candidates), -np.inf))
        padded[:, : len(nearest)] = products[:, nearest]
        self.candidates[test, genome, : len(nearest)] = allowed[nearest]
        self.products[test, genome] = padded.reshape(self.products.shape[2:])

    def _scores(self) -> np.ndarray:
        """float64 (T, P): the scores that are tested."""
        pieces, n_genomes = np.arange(len(self.genomes)), len(self.index.table.genomes)
        identities = [
            find_identities(self.matches.where(allowed), pieces, len(pieces), n_genomes)[0]
            for allowed in self.hit_allowed
        ]
        return combine_scores(self.s1, self.s2, np.array(identities).reshape(self.s1.shape))

    def result(self) -> CalibrationSet:
        return CalibrationSet(
            k=np.array(self.k, dtype=np.int64),
            bounds=self.bounds,
            levels=np.array(self.levels, dtype=np.int64),
            units=self.design.units,
            piece_genome=self.genomes,
            piece_stratum=self.strata,
            piece_scores=self._scores(),
            piece_distances=self.nearest,
            means=self.means,
            spread=self.spread,
            bin_candidates=self.candidates,
            bin_products=self.products,
            bin_norms=self.norms,
            segment_piece=self.matches.owner,
            segment_size=self.matches.size,
            hit_segment=self.matches.segment,
            hit_genome=self.matches.genome,
            hit_shared=self.matches.shared,
            hit_allowed=self.hit_allowed,
        )


def write_calibration(path: str | Path, calibration: CalibrationSet) -> None:
    """Write the calibration as .npz, atomically; the same content gives the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **{field.name: getattr(calibration, field.name) for field in fields(calibration)})
    with atomic_open(path, "wb") as handle:
        handle.write(buffer.getbuffer())


def read_calibration(folder: str | Path, index: SearchIndex) -> CalibrationSet:
    """Read the calibration of a loaded index from its folder; refuse one that belongs to another index."""
    path = Path(folder) / CALIBRATION_NAME
    remedy = "build and calibrate the index anew"
    if CALIBRATION_NAME not in index.manifest.get("checksums", {}):
        raise InputError("the index has no calibration", path=path, remedy=remedy)
    with np.load(path, allow_pickle=False) as arrays:
        missing = [field.name for field in fields(CalibrationSet) if field.name not in arrays]
        if missing:
            raise InputError(f"lacks {', '.join(missing)}", path=path, remedy=remedy)
        calibration = CalibrationSet(**{field.name: arrays[field.name] for field in fields(CalibrationSet)})
    if calibration.calibration_id != index.manifest.get("calibration_id"):
        raise InputError("this calibration is not the one of the manifest beside it", path=path, remedy=remedy)
    if calibration.units.shape != (len(CALIBRATED), len(index.table.genomes)):
        raise InputError(f"calibrates {calibration.units.shape[1]} genomes, the index has others", path=path)
    return calibration

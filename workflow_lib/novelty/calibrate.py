"""Calibration: pieces of reference genomes searched in the index with their own genome, or taxon, left out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import numpy as np

from workflow_lib.blocks import one_blas_thread
from workflow_lib.files import sha256_lines
from workflow_lib.index import SearchIndex
from workflow_lib.index.base import to_chord
from workflow_lib.index.windows import parse_window
from workflow_lib.novelty.alike import find_alike, warn_of_names
from workflow_lib.novelty.calibration_set import CalibrationSet
from workflow_lib.novelty.design import CALIBRATED, REFERENCE, TESTS, Design, make_design
from workflow_lib.novelty.identity import Matches, best_identities, pair_identities
from workflow_lib.novelty.scores import combine_scores, nearest_genomes, nearest_means
from workflow_lib.novelty.strata import count_levels, find_stratum
from workflow_lib.store import EmbeddingStore
from workflow_lib.taxonomy import RANKS

logger = logging.getLogger(__name__)

# Nearest genomes kept of a simulated bin, beyond k: the nearest of a mixture of its strata is among them, for all that
# matters. If it ever is not, the next one takes its place.
_N_CANDIDATES = 8
_MOST_LOST = 0.01  # share of pieces for which no genome is found, from which on that is told
_SEARCHED = 256  # pieces that are searched at a time: each time all windows are read


def calibrate(
    index: SearchIndex,
    means: np.ndarray,
    spread: np.ndarray,
    pieces: EmbeddingStore,
    *,
    k: int,
    n_pieces: int,
    contamination: float = 0.0,
    matches: Matches | None = None,
    design: Design | None = None,
) -> CalibrationSet:
    """Search the calibration pieces in the index, each with what its test leaves out left out.

    Parameters
    ----------
    means, spread : of `genome_means`, in the order of the index's genomes.
    pieces : of `embed_reference`; the rows of a genome lie together; zero vectors, and genomes that calibrate no test,
        are passed over.
    k : distinct genomes whose mean distance is the score.
    n_pieces : pieces a genome and stratum, the size of the largest simulated bin.
    contamination : largest share of another genome's pieces in a simulated bin; the shares go evenly from 0 to it.
    matches : what the pieces share with the index's genomes, owners in the order of `pieces`; None: not looked at.
    design : which genomes calibrate which test; None: all that can (`make_design`).

    Memory: four times 256 pieces x G distances (0.5 GB at 110,000 genomes; of approximate kinds about seven times the
    pieces of a genome x G besides), and T x B x S x L x C + B x (S x L)^2
    floats of bins simulated of B calibrating genomes (5 MB at 500, 110 MB at 10,000).
    """
    start = time.monotonic()
    index.check_embedder(pieces.manifest)
    table, bounds = index.table, np.array(pieces.manifest["strata"], dtype=np.int64)
    design = make_design(table.lineages, means) if design is None else design
    calibrating = np.flatnonzero((design.units >= 0).any(axis=0))
    position = {table.genomes[code]: number for number, code in enumerate(calibrating)}
    parts = [parse_window(name) for name in pieces.names]
    genomes = np.array([position.get(genome, -1) for genome, *_ in parts], dtype=np.int64)
    lengths = np.array([end - begin for *_, begin, end in parts], dtype=np.int64)
    rows = np.flatnonzero((genomes >= 0) & pieces.vectors.any(axis=1))
    rows = rows[np.argsort(genomes[rows], kind="stable")]
    matches = Matches.none() if matches is None else _select_owners(matches, rows)
    alike = find_alike(matches, genomes[rows], calibrating, table.genome_bp)
    warn_of_names(alike, design.name_codes(), table.genomes, table.lineages)
    design = design.with_alike(alike)
    work = _Work(
        *(index, means, spread, k, bounds, count_levels(n_pieces), genomes[rows], lengths[rows], matches),
        design=design,
        calibrating=calibrating,
        contamination=_draw_contamination(list(position), contamination, seed=int(pieces.manifest["seed"])),
    )
    work.add_pieces(pieces.vectors, rows)
    result = work.result()
    n_known = {test: len(np.unique(row[row >= 0])) for test, row in zip(CALIBRATED, result.units, strict=True)}
    logger.info(
        "%d pieces of %d genomes (%d bp) searched in %.1f s; units a test: %s",
        *(len(rows), len(np.unique(genomes[rows])), lengths[rows].sum(), time.monotonic() - start),
        ", ".join(f"{test} {n}" for test, n in n_known.items()),
    )
    _warn_of_lost(result.piece_scores[: len(TESTS)], index)
    return result


def _warn_of_lost(scores: np.ndarray, index: SearchIndex) -> None:
    """Say of how many pieces an approximate index found too few genomes, of the test of which it is most."""
    lost, tested = np.isposinf(scores).sum(axis=1), (~np.isnan(scores)).sum(axis=1)
    worst = int((lost / np.maximum(tested, 1)).argmax())
    if lost[worst] > _MOST_LOST * tested[worst]:
        logger.warning(
            "%s %s finds no genome near %.1f%% of the pieces that calibrate the test of %s, once their taxon is left "
            "out: they count as infinitely far, so that p-values are larger and less is called novel, or known; raise "
            "index.nprobe (IVF, IMI, ScaNN) or index.ef_search (HNSW), or set index.factory to Flat",
            *(index.factory, index.plan.parameters, 100 * lost[worst] / tested[worst], CALIBRATED[worst]),
        )


def _draw_contamination(names: list[str], largest: float, *, seed: int) -> np.ndarray:
    """float64 (B,): even steps from 0 to `largest`, in the order of a hash of the genomes' names.

    So that it does not matter in which order genomes came into the index.
    """
    hashes = [sha256_lines([str(seed), name]) for name in names]
    return np.linspace(0, largest, len(names))[_rank(hashes)]


def _rank(keys: list) -> np.ndarray:
    """int64 (n,): the place of each key, all different, when they are sorted."""
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return ranks


def _choose_foreign(lineages: list[dict[str, str]], names: list[str]) -> np.ndarray:
    """int64 (B,): the genome half the list away when sorted by lineage and name, hardly ever one of the same taxon."""
    order = np.argsort(
        _rank([(*(one.get(rank, "") for rank in RANKS), name) for one, name in zip(lineages, names, strict=True)])
    )
    foreign = np.empty_like(order)
    foreign[order] = np.roll(order, len(order) // 2)
    return foreign


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


def _join_blocks(blocks: list[np.ndarray], most: int) -> Iterator[list[np.ndarray]]:
    """Yield runs of blocks of rows that have `most` rows together, or fewer; a larger one alone."""
    run, n = [], 0
    for block in blocks:
        if run and n + len(block) > most:
            yield run
            run, n = [], 0
        run.append(block)
        n += len(block)
    yield run


class _Work:
    """The arrays of a `CalibrationSet` while they are filled, genome by genome."""

    def __init__(
        self,
        index: SearchIndex,
        means: np.ndarray,
        spread: np.ndarray,
        k: int,
        bounds: np.ndarray,
        levels: tuple[int, ...],
        genomes: np.ndarray,
        lengths: np.ndarray,
        matches: Matches,
        *,
        design: Design,
        calibrating: np.ndarray,
        contamination: np.ndarray,
    ) -> None:
        self.index, self.means, self.spread, self.k = index, means, spread, k
        self.design, self.calibrating, self.contamination = design, calibrating, contamination
        table = index.table
        self.name_order = _rank(table.genomes)
        self.foreign = _choose_foreign(
            *([own[code] for code in calibrating] for own in (table.lineages, table.genomes))
        )
        self.bounds, self.levels, self.genomes, self.lengths = bounds, levels, genomes, lengths
        n_genomes, n_strata = len(calibrating), len(bounds) - 1
        self.strata = find_stratum(lengths, bounds)
        self.s1, self.s2 = (np.full((len(CALIBRATED), len(genomes)), np.nan) for _ in range(2))
        self.distance = np.full((len(CALIBRATED), len(genomes)), np.nan, dtype=np.float32)
        self.nearest = np.full((len(CALIBRATED), len(genomes)), -1, dtype=np.int64)
        self.matches, self.hit_owner = matches, matches.owner[matches.segment]
        self.units = design.units[:, calibrating]
        self.hit_allowed = np.zeros((len(CALIBRATED), len(self.hit_owner)), dtype=bool)
        self.n_candidates = min(_N_CANDIDATES + k, max(len(index.table.genomes) - 1, 1))
        shape = (len(CALIBRATED), n_genomes, n_strata, len(levels), self.n_candidates)
        self.products = np.full(shape, np.nan, dtype=np.float32)
        self.norms = np.full((n_genomes, n_strata * len(levels), n_strata * len(levels)), np.nan, dtype=np.float32)
        self.candidates = np.zeros((len(CALIBRATED), n_genomes, self.n_candidates), dtype=np.int64)

    def add_pieces(self, vectors: np.ndarray, rows: np.ndarray) -> None:
        """Fill in all genomes; `rows`: those of the pieces in `vectors`, (n, d), of a genome at a time."""
        if not len(rows):
            return
        blocks = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(self.genomes)) + 1)
        own = {int(self.genomes[block[0]]): block for block in blocks}

        def read(block: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(vectors[rows[block]])

        for blocks_of_some in _join_blocks(blocks, _SEARCHED):
            some = np.concatenate(blocks_of_some)
            distances = self._distances(read(some))
            for block in blocks_of_some:
                foreign = own.get(int(self.foreign[self.genomes[block[0]]]), block[:0])
                self.add_genome(block, read(block), distances[block - some[0]], foreign, read(foreign))

    def add_genome(
        self,
        rows: np.ndarray,
        vectors: np.ndarray,
        distances: np.ndarray,
        foreign: np.ndarray,
        strangers: np.ndarray,
    ) -> None:
        """Fill in one genome, of which `rows` are the pieces, with their distances, (n, G), to all genomes, and
        `foreign` those that contaminate its bins."""
        genome = int(self.genomes[rows[0]])
        share = self.contamination[genome]
        own, other = self._mean_vectors(self.strata[rows], vectors), self._mean_vectors(self.strata[foreign], strangers)
        bins = np.where(np.isnan(other), own, (1 - share) * own + share * other).astype(np.float32)
        with one_blas_thread():  # as BLAS rounds differently for each number of threads
            self.norms[genome] = bins @ bins.T
            self._add_tests(rows, genome, vectors, distances, bins @ self.means.T)

    def _distances(self, vectors: np.ndarray) -> np.ndarray:
        return np.concatenate([block for _, block in self.index.genome_distances(vectors, k=self.k)])

    def _add_tests(
        self, rows: np.ndarray, genome: int, vectors: np.ndarray, distances: np.ndarray, products: np.ndarray
    ) -> None:
        code, n_genomes = int(self.calibrating[genome]), distances.shape[1]
        has_gaps = np.isinf(distances).any()
        closeness = np.nan_to_num(products, nan=-1).max(axis=0)
        hits = slice(*np.searchsorted(self.hit_owner, [rows[0], rows[-1] + 1]))
        # Pieces that contaminate other bins are compared as this test does, whether they calibrate it or not.
        self.hit_allowed[CALIBRATED.index(REFERENCE), hits] = self.matches.genome[hits] != code
        tests = []
        for position, test in enumerate(CALIBRATED):
            if self.design.units[position, code] >= 0:
                excluded = self.design.excluded(test, code)
                # A mean over fewer genomes than a query's would be too small.
                if n_genomes - np.count_nonzero(excluded) >= min(self.k, n_genomes):
                    tests.append((position, excluded))
                else:
                    self.units[position, genome] = -1
        # An approximate index looks past what is left out.
        searched = {number for number, (_, out) in enumerate(tests) if has_gaps and np.isinf(distances[:, ~out]).any()}
        further = self.index.genome_distances_for_each(
            vectors, [tests[number][1] for number in sorted(searched)], k=self.k
        )
        for number, (position, excluded) in enumerate(tests):
            near = next(further) if number in searched else np.where(excluded, np.float32(np.inf), distances)
            found = nearest_means(near, self.spread, self.k, self.name_order)
            self.s1[position, rows], self.s2[position, rows] = found
            nearest = nearest_genomes(near, self.name_order)[:, 0]
            self.distance[position, rows] = near[np.arange(len(rows)), nearest]
            lost = np.flatnonzero(np.isinf(self.distance[position, rows]))
            if len(lost):
                nearest[lost] = self._nearest_means(vectors[lost], excluded)
            self.nearest[position, rows] = nearest
            self.hit_allowed[position, hits] = ~excluded[self.matches.genome[hits]]
            self._add_products(position, genome, products, np.where(excluded, -np.inf, closeness))

    def _nearest_means(self, vectors: np.ndarray, excluded: np.ndarray) -> np.ndarray:
        """int64 (m,): the genome whose mean is nearest, of those not left out; for pieces that found none."""
        distances = to_chord(vectors @ self.means.T)
        return nearest_genomes(np.where(excluded, np.float32(np.inf), distances), self.name_order)[:, 0]

    def _mean_vectors(self, strata: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """float32 (S x L, d): means of the first pieces of each stratum; NaN where there are too few."""
        means = np.full((len(self.bounds) - 1, len(self.levels), self.means.shape[1]), np.nan, dtype=np.float32)
        for stratum in np.unique(strata):
            own = vectors[strata == stratum]
            for level, count in enumerate(self.levels):
                if len(own) >= count:
                    means[stratum, level] = own[:count].mean(axis=0)
        return means.reshape(-1, self.means.shape[1])

    def _add_products(self, test: int, genome: int, products: np.ndarray, closeness: np.ndarray) -> None:
        """Keep the products (S x L, G) of the genomes whose `closeness` (G,), -inf where left out, is the highest."""
        n_nearest = min(self.n_candidates, np.count_nonzero(closeness > -np.inf))
        least = -np.partition(-closeness, n_nearest - 1)[n_nearest - 1]
        near = np.flatnonzero(closeness >= least)
        nearest = near[np.lexsort((self.name_order[near], -closeness[near]))[:n_nearest]]
        padded = np.where(np.isnan(products[:, :1]), np.nan, np.full((len(products), self.n_candidates), -np.inf))
        padded[:, :n_nearest] = products[:, nearest]
        self.candidates[test, genome, :n_nearest] = nearest
        self.products[test, genome] = padded.reshape(self.products.shape[2:])

    def _scores(self) -> tuple[np.ndarray, np.ndarray]:
        """The scores that are tested, float64 (T, P), and the nearest genome, int64 (T, P)."""
        pieces, n_genomes = np.arange(len(self.genomes)), len(self.index.table.genomes)
        found = [
            best_identities(
                pair_identities(self.matches.where(allowed), pieces, n_genomes), len(pieces), self.name_order
            )
            for allowed in self.hit_allowed
        ]
        identity, matched = (np.array([one[i] for one in found]).reshape(self.s1.shape) for i in range(2))
        matched = np.where(np.isnan(self.s1), -1, matched)
        return combine_scores(self.s1, self.s2, identity), np.where(matched >= 0, matched, self.nearest)

    def result(self) -> CalibrationSet:
        scores, nearest = self._scores()
        return CalibrationSet(
            k=np.array(self.k, dtype=np.int64),
            bounds=self.bounds,
            levels=np.array(self.levels, dtype=np.int64),
            calibrating=self.calibrating,
            units=self.units,
            piece_genome=self.genomes,
            piece_length=self.lengths,
            piece_scores=scores,
            piece_distances=self.distance,
            piece_nearest=nearest,
            foreign=self.foreign,
            contamination=self.contamination,
            name_order=self.name_order,
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

"""One interface for every kind of index: search checked vectors, save with a manifest that proves what was saved."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from workflow_lib import __version__
from workflow_lib.errors import InputError
from workflow_lib.files import sha256_lines
from workflow_lib.index.factories import Plan
from workflow_lib.index.genome_search import nearest_for_each, nearest_of_genomes
from workflow_lib.index.windows import WindowTable, write_ids
from workflow_lib.manifest import MANIFEST_NAME, write_manifest

logger = logging.getLogger(__name__)

INDEX_NAME, IDS_NAME = "index.faiss", "ids.tsv"
UNCALIBRATED_NAME = "index.json"  # the manifest of an index before its calibration, and of one that grew since
METRIC = "chord"  # sqrt(2 - 2 cos): Euclidean distance of unit vectors, 0 to 2
_UNIT_TOLERANCE = 1e-3  # of a row's squared norm: float32 sums over thousands of columns stay far below
_N_PROBES = 4  # of indexed windows, and as many of random vectors
_PROBE_NEIGHBOURS = 3
_ZERO_QUERY = "a query vector is zero: it has no direction and no neighbours"
# What the identity of an index is made of: its rows, how they were made, and how they are searched.
_IDENTITY = ("fingerprint", "factory", "parameters", "metric", "window", "vectors_sha256", "ids_sha256")
# Chord near zero: an error of 1e-7 in the cosine is 4e-4 in the distance; other processors sum in other orders.
_PROBE_TOLERANCE = 2e-3


class SearchIndex(ABC):
    """Nearest windows and nearest genomes of query vectors.

    Distances are chords, sqrt(2 - 2 cos), in [0, 2]; near zero they are exact to about 5e-4 (float32 products).

    Attributes
    ----------
    table : what the rows are.
    manifest : embedder (name), fingerprint, dim, window and what the builder added; after `save` or `load_index` all.
    """

    file_name = INDEX_NAME
    searched_by = "FAISS"  # the library, for the log

    def __init__(self, table: WindowTable, manifest: dict, plan: Plan) -> None:
        self.table, self.manifest, self.plan = table, manifest, plan

    @classmethod
    @abstractmethod
    def from_vectors(
        cls, vectors: np.ndarray, table: WindowTable, manifest: dict, plan: Plan, *, device: str = "cpu"
    ) -> SearchIndex:
        """Index float32 (n, d) unit rows, of which `table` has the identities."""

    @classmethod
    @abstractmethod
    def from_file(
        cls, path: Path, table: WindowTable, manifest: dict, plan: Plan, *, device: str = "cpu", mmap: bool = True
    ) -> SearchIndex:
        """Read what `write_file` wrote."""

    @abstractmethod
    def write_file(self, path: Path) -> None:
        """Write the index proper to `path`, atomically."""

    @abstractmethod
    def add(self, vectors: np.ndarray) -> None:
        """Append unit rows without training anew; `extend_index` adds them to the table too.

        Raises
        ------
        InputError
            when the kind cannot grow.
        """

    def with_parameters(self, parameters: dict[str, int]) -> SearchIndex:
        """The same index, searched with other parameters; an exact one has none."""
        return self

    @abstractmethod
    def _search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Search checked, non-zero unit rows with k <= n."""

    @abstractmethod
    def _genome_distances(self, vectors: np.ndarray, wanted: np.ndarray, k: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of distances of checked, non-zero unit rows to every genome, the k nearest of bool (G,) `wanted` above
        all."""

    @property
    def factory(self) -> str:
        """The kind, with its sizes."""
        return self.plan.factory

    @property
    def dim(self) -> int:
        """Number of columns of a vector."""
        return int(self.manifest["dim"])

    @property
    def index_id(self) -> str:
        """Twelve digits that tell this index from any other; empty before `save`."""
        return self.manifest.get("index_id", "")

    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest windows.

        Parameters
        ----------
        vectors : float32 (m, d), unit rows; a row of zeros has no neighbours.
        k : neighbours, at least 1; more than n are as good as n.

        Returns
        -------
        distances : float32 (m, min(k, n)), ascending in a row; inf for a row of zeros.
        rows : int64 (m, min(k, n)), rows of `table`; -1 for a row of zeros, and at the end of a row, with the distance
            inf, where an approximate index found fewer.

        Raises
        ------
        InputError
            when the vectors have another width, NaN, or rows that are no unit vectors; when k < 1.
        """
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1 neighbour")
        usable = check_vectors(vectors, self.dim, what="query vectors")
        k = min(k, len(self.table))
        distances = np.full((len(vectors), k), np.inf, dtype=np.float32)
        rows = np.full((len(vectors), k), -1, dtype=np.int64)
        if usable.any():
            distances[usable], rows[usable] = self._search(np.ascontiguousarray(vectors[usable]), k)
        return distances, rows

    def genome_distances(
        self, vectors: np.ndarray, *, without: np.ndarray | None = None, k: int = 1
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Distance of every query to the nearest window of every genome, in blocks of bounded memory.

        Parameters
        ----------
        vectors : float32 (m, d), unit rows, none of zeros.
        without : bool (G,), genomes that are passed over: their distances are inf, and an approximate index looks
            further until it has found enough of the others.
        k : nearest genomes that matter to the caller.

        Yields
        ------
        rows : the slice of queries; the slices follow each other and cover all m.
        distances : float32 (b, G); inf where an approximate index found no window of a genome. It looks further until
            it has found k + 15 genomes, all of them, or all that its lists hold.

        Raises
        ------
        InputError
            as `search`, and for a row of zeros.
        """
        if not check_vectors(vectors, self.dim, what="query vectors").all():
            raise InputError(_ZERO_QUERY)
        wanted = np.ones(len(self.table.genomes), dtype=bool) if without is None else ~without
        for rows, distances in self._genome_distances(np.ascontiguousarray(vectors), wanted, k):
            distances[:, ~wanted] = np.inf
            yield rows, distances

    def genome_distances_for_each(
        self, vectors: np.ndarray, without: Sequence[np.ndarray], *, k: int = 1
    ) -> Iterator[np.ndarray]:
        """Yield what `genome_distances` gives, float32 (m, G), for one choice of genomes passed over after the other.

        What an approximate index has searched for the last choice it does not search again: several cost little more
        than one. Memory: as of `genome_search.nearest_for_each`, for all queries at once.
        """
        if not check_vectors(vectors, self.dim, what="query vectors").all():
            raise InputError(_ZERO_QUERY)
        found = self._genome_distances_for_each(np.ascontiguousarray(vectors), [~one for one in without], k)
        for one, distances in zip(without, found, strict=True):
            distances[:, one] = np.inf
            yield distances

    def _genome_distances_for_each(
        self, vectors: np.ndarray, wanted: Sequence[np.ndarray], k: int
    ) -> Iterator[np.ndarray]:
        """Distances of all of checked, non-zero unit rows, for one bool (G,) `wanted` after the other."""
        for one in wanted:
            yield np.concatenate([block for _, block in self._genome_distances(vectors, one, k)])

    def check_embedder(self, manifest: dict, *, path: str | Path | None = None) -> None:
        """Refuse queries of another embedder than the index's, told by `manifest` of the query store at `path`."""
        for key, what in (("fingerprint", "embedder fingerprint"), ("dim", "dimension")):
            found, expected = manifest.get(key), self.manifest[key]
            if found != expected:
                raise InputError(
                    f"{what} {_short(found)} ({manifest.get('embedder')}), the index has {_short(expected)} "
                    f"({self.manifest['embedder']}): their distances would mean nothing",
                    path=path,
                    remedy="embed queries and reference with the same model and options, or build the index anew",
                )

    def save(
        self,
        folder: str | Path,
        *,
        extra_files: tuple[str, ...] = (),
        name: str = MANIFEST_NAME,
        written: Path | None = None,
        **content: object,
    ) -> None:
        """Write the index file, ids.tsv and, last, the manifest to `folder`.

        Parameters
        ----------
        extra_files, name, content : as of `save_manifest`.
        written : where the index file is already, on the same disk; it is moved.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        if written is None:
            self.write_file(folder / self.file_name)
        else:
            written.replace(folder / self.file_name)
        ids_sha256 = write_ids(folder / IDS_NAME, self.table)
        self.manifest.update(
            factory=self.factory,
            parameters=self.plan.parameters,
            metric=METRIC,
            distances=self.plan.distances,
            true_distances=self.plan.true_distances,
            n=len(self.table),
            n_genomes=len(self.table.genomes),
            ids_sha256=ids_sha256,
            versions=library_versions(),
        )
        self.manifest["probes"] = self._make_probes()
        self.manifest["index_id"] = sha256_lines([json.dumps(self.manifest[key]) for key in _IDENTITY])[:12]
        self.save_manifest(folder, extra_files=extra_files, name=name, **content)
        logger.info("index %s: %d windows of %d genomes saved", self.index_id, len(self.table), len(self.table.genomes))

    def save_manifest(
        self, folder: str | Path, *, extra_files: tuple[str, ...] = (), name: str = MANIFEST_NAME, **content: object
    ) -> None:
        """Write the manifest alone, of an index that `save` has written.

        Parameters
        ----------
        extra_files : files already in the folder whose checksums the manifest is to hold.
        name : `manifest.json`, or `UNCALIBRATED_NAME` of an index that is yet to be calibrated.
        content : more entries of the manifest, JSON-able.
        """
        self.manifest.update(content)
        write_manifest(
            folder, self.manifest, checksums=[self.file_name, IDS_NAME, *extra_files], name=name, sealed=True
        )

    def set_probes(self, vectors: np.ndarray) -> None:
        """Choose the vectors whose neighbours every load checks: some of the indexed rows, and random ones."""
        generator = np.random.default_rng(0)
        noise = generator.standard_normal((_N_PROBES, self.dim)).astype(np.float32)
        rows = np.linspace(0, len(vectors) - 1, _N_PROBES).astype(np.int64)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        self.manifest["probes"] = [{"vector": vector.tolist()} for vector in np.concatenate([noise, vectors[rows]])]

    def _search_probes(self) -> tuple[np.ndarray, np.ndarray]:
        return self.search(self._probe_vectors(), _PROBE_NEIGHBOURS)

    def _probe_vectors(self) -> np.ndarray:
        return np.array([probe["vector"] for probe in self.manifest["probes"]], dtype=np.float32)

    def _make_probes(self) -> list[dict]:
        """The probes with what they find now; a neighbour that is not there has the row -1 and no distance."""
        distances, rows = self._search_probes()
        return [
            {"vector": v.tolist(), "rows": r.tolist(), "distances": [float(x) for x in d[r >= 0]]}
            for v, r, d in zip(self._probe_vectors(), rows, distances, strict=True)
        ]

    def check_probes(self, path: str | Path) -> None:
        """Repeat the manifest's queries; refuse the index when it finds others than when it was built."""
        expected = self.manifest["probes"]
        for probe, distances, rows in zip(expected, *self._search_probes(), strict=True):
            known = np.full(len(rows), np.inf)
            known[: len(probe["distances"])] = probe["distances"]
            same = np.isclose(distances, known, rtol=0, atol=_PROBE_TOLERANCE)
            # Neighbours as near as each other may change places on a processor that rounds differently.
            clear = np.diff(known, prepend=-np.inf, append=np.inf) > 2 * _PROBE_TOLERANCE
            if not same.all() or (rows != probe["rows"])[clear[:-1] & clear[1:]].any():
                raise InputError(
                    "the probe vectors find other neighbours than when the index was built "
                    f"(rows {rows.tolist()} at {distances.tolist()}, expected {probe['rows']} at {probe['distances']})",
                    path=path,
                    remedy="this machine's search library differs from the builder's; build the index here",
                )


class ApproximateIndex(SearchIndex):
    """A kind whose search may miss windows: windows are searched until enough genomes are found."""

    def _genome_distances(self, vectors: np.ndarray, wanted: np.ndarray, k: int) -> Iterator[tuple[slice, np.ndarray]]:
        return nearest_of_genomes(self._search, vectors, self.table.codes, wanted, k)

    def _genome_distances_for_each(
        self, vectors: np.ndarray, wanted: Sequence[np.ndarray], k: int
    ) -> Iterator[np.ndarray]:
        return nearest_for_each(self._search, vectors, self.table.codes, wanted, len(self.table.genomes), k)


def check_vectors(vectors: np.ndarray, dim: int, *, what: str) -> np.ndarray:
    """Check float32 (n, dim) rows, unit or zero, finite; return bool (n,), False for rows of zeros."""
    if vectors.ndim != 2 or vectors.shape[1] != dim or vectors.dtype != np.float32:
        raise InputError(f"{what} are {vectors.dtype} {vectors.shape}, expected float32 (n, {dim})")
    norms = np.einsum("ij,ij->i", vectors, vectors)
    bad = ~(np.abs(norms - 1) <= _UNIT_TOLERANCE) & (norms != 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(f"row {row} of the {what} has the squared norm {norms[row]}, expected 1 or 0")
    return norms > 0


def to_chord(similarities: np.ndarray) -> np.ndarray:
    """Chord distance sqrt(2 - 2 s) of cosine similarities, C-contiguous, same dtype; rounding above 1 counts as 1."""
    squares = np.multiply(similarities, -2, order="C")
    squares += 2
    return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


def library_versions() -> dict[str, str]:
    """Versions of the programs that build and search an index."""
    import faiss

    return {"novabin": __version__, "faiss": faiss.__version__, "numpy": np.__version__}


def _short(value: object) -> str:
    return f"{value[:12]}..." if isinstance(value, str) and len(value) > 12 else str(value)

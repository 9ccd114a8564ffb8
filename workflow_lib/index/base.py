"""One interface for every kind of index: build, search, save, load; everything verified, every mismatch refused."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from workflow_lib import __version__
from workflow_lib.errors import InputError
from workflow_lib.files import sha256_lines
from workflow_lib.index.windows import WindowTable, read_ids, write_ids
from workflow_lib.manifest import MANIFEST_NAME, read_manifest, write_manifest

logger = logging.getLogger(__name__)

INDEX_NAME, IDS_NAME = "index.faiss", "ids.tsv"
METRIC = "chord"  # sqrt(2 - 2 cos): Euclidean distance of unit vectors, 0 to 2
# Factory -> module and class. Every entry must pass tests/protocol/test_index_protocol.py.
KINDS = {"Flat": ("workflow_lib.index.flat", "FlatIndex")}
_UNIT_TOLERANCE = 1e-3  # of a row's squared norm: float32 sums over thousands of columns stay far below
_N_PROBES = 4
_PROBE_NEIGHBOURS = 3
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

    factory: str

    def __init__(self, table: WindowTable, manifest: dict) -> None:
        self.table, self.manifest = table, manifest

    @classmethod
    @abstractmethod
    def from_vectors(cls, vectors: np.ndarray, table: WindowTable, manifest: dict) -> SearchIndex:
        """Index float32 (n, d) unit rows, of which `table` has the identities."""

    @classmethod
    @abstractmethod
    def from_file(cls, path: Path, table: WindowTable, manifest: dict) -> SearchIndex:
        """Read what `write_file` wrote."""

    @abstractmethod
    def write_file(self, path: Path) -> None:
        """Write the index proper to `path`, atomically."""

    @abstractmethod
    def _search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Search checked, non-zero unit rows with k <= n."""

    @abstractmethod
    def _genome_distances(self, vectors: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of distances of checked, non-zero unit rows to every genome."""

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
        rows : int64 (m, min(k, n)), rows of `table`; -1 for a row of zeros.

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

    def genome_distances(self, vectors: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Distance of every query to the nearest window of every genome, in blocks of bounded memory.

        Parameters
        ----------
        vectors : float32 (m, d), unit rows, none of zeros.

        Yields
        ------
        rows : the slice of queries; the slices follow each other and cover all m.
        distances : float32 (b, G); inf where an approximate index found no window of a genome.

        Raises
        ------
        InputError
            as `search`, and for a row of zeros.
        """
        if not check_vectors(vectors, self.dim, what="query vectors").all():
            raise InputError("a query vector is zero: it has no direction and no neighbours")
        yield from self._genome_distances(np.ascontiguousarray(vectors))

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

    def save(self, folder: str | Path, *, extra_files: tuple[str, ...] = (), **content: object) -> None:
        """Write index.faiss, ids.tsv and, last, manifest.json to `folder`.

        Parameters
        ----------
        extra_files : files already in the folder whose checksums the manifest is to hold.
        content : more entries of the manifest, JSON-able.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        self.write_file(folder / INDEX_NAME)
        write_ids(folder / IDS_NAME, self.table)
        ids_sha256 = self.table.digest()
        self.manifest.update(
            content,
            factory=self.factory,
            metric=METRIC,
            n=len(self.table),
            n_genomes=len(self.table.genomes),
            ids_sha256=ids_sha256,
            probes=self._make_probes(),
            versions=_versions(),
        )
        identity = [str(self.manifest[key]) for key in ("fingerprint", "factory", "metric", "window", "vectors_sha256")]
        self.manifest["index_id"] = sha256_lines([*identity, ids_sha256])[:12]
        write_manifest(folder, self.manifest, checksums=[INDEX_NAME, IDS_NAME, *extra_files])
        logger.info("index %s: %d windows of %d genomes saved", self.index_id, len(self.table), len(self.table.genomes))

    def _make_probes(self) -> list[dict]:
        """A few fixed queries with what they find now."""
        generator = np.random.default_rng(0)
        vectors = generator.standard_normal((_N_PROBES, self.dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        distances, rows = self.search(vectors, _PROBE_NEIGHBOURS)
        return [
            {"vector": v.tolist(), "rows": r.tolist(), "distances": d.tolist()}
            for v, r, d in zip(vectors, rows, distances, strict=True)
        ]

    def check_probes(self, path: str | Path) -> None:
        """Repeat the manifest's queries; refuse the index when it finds other distances than when it was built."""
        probes = self.manifest["probes"]
        vectors = np.array([probe["vector"] for probe in probes], dtype=np.float32)
        found, _ = self.search(vectors, _PROBE_NEIGHBOURS)
        expected = np.array([probe["distances"] for probe in probes], dtype=np.float32)
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=_PROBE_TOLERANCE):
            raise InputError(
                "the probe vectors find other neighbours than when the index was built "
                f"(nearest {found[:, 0].tolist()}, expected {expected[:, 0].tolist()})",
                path=path,
                remedy="this machine's search library differs from the builder's; build the index here",
            )


def build_index(vectors: np.ndarray, table: WindowTable, manifest: dict, *, factory: str = "Flat") -> SearchIndex:
    """Build an index of window vectors; windows of zero vectors are left out.

    Parameters
    ----------
    vectors : float32 (n, d), unit rows or zeros, in the order of `table`.
    manifest : embedder, fingerprint, dim, window (bp) and whatever else is to be kept.
    factory : a key of `KINDS`.

    Raises
    ------
    InputError
        for an unknown factory, vectors that do not fit the table, NaN, or nothing to index.
    """
    usable = check_vectors(vectors, int(manifest["dim"]), what="reference vectors")
    if len(vectors) != len(table):
        raise InputError(f"{len(vectors)} vectors but {len(table)} windows")
    if not usable.any():
        raise InputError(
            f"none of the {len(table)} reference windows can be indexed",
            remedy="give reference genomes with contigs longer than a quarter of index.window, or a shorter window",
        )
    if not usable.all():
        logger.warning("%d of %d windows have a zero vector and are left out", (~usable).sum(), len(usable))
        table, vectors = _select(table, usable), vectors[usable]
    kind = _kind(factory, None)
    vectors = np.ascontiguousarray(vectors)
    manifest = dict(manifest, vectors_sha256=hashlib.sha256(vectors.data).hexdigest())
    return kind.from_vectors(vectors, table, manifest)


def load_index(folder: str | Path) -> SearchIndex:
    """Load an index that `SearchIndex.save` wrote, and verify all of it.

    Raises
    ------
    InputError
        with the file and the reason: unfinished, a changed byte, rows that do not fit, an unknown kind, or neighbours
        of the probe vectors that differ from those at build time.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    path = folder / MANIFEST_NAME
    for key in ("factory", "metric", "fingerprint", "dim", "n", "ids_sha256", "probes", "index_id"):
        if key not in manifest:
            raise InputError(f"no entry {key!r}: this is no manifest of an index", path=path, remedy=f"delete {folder}")
    if manifest["metric"] != METRIC:
        raise InputError(
            f"metric {manifest['metric']!r}, expected {METRIC!r}", path=path, remedy="build the index anew"
        )
    table = read_ids(folder / IDS_NAME)
    if table.digest() != manifest["ids_sha256"] or len(table) != manifest["n"]:
        raise InputError("the rows do not match the manifest", path=folder / IDS_NAME, remedy=f"delete {folder}")
    index = _kind(manifest["factory"], path).from_file(folder / INDEX_NAME, table, manifest)
    index.check_probes(path)
    return index


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
    return np.sqrt(np.maximum(2 - 2 * np.ascontiguousarray(similarities), 0))


def _select(table: WindowTable, rows: np.ndarray) -> WindowTable:
    kept, codes = np.unique(table.codes[rows], return_inverse=True)
    return WindowTable(
        genomes=[table.genomes[code] for code in kept],
        lineages=[table.lineages[code] for code in kept],
        codes=codes.astype(np.int64),
        contigs=[table.contigs[row] for row in np.flatnonzero(rows)],
        starts=table.starts[rows],
        ends=table.ends[rows],
    )


def _kind(factory: str, path: Path | None) -> type[SearchIndex]:
    if factory not in KINDS:
        raise InputError(
            f"no index kind {factory!r}, expected one of {', '.join(KINDS)}", path=path, remedy="set index.factory"
        )
    module, name = KINDS[factory]
    return getattr(import_module(module), name)


def _versions() -> dict[str, str]:
    import faiss

    return {"novabin": __version__, "faiss": faiss.__version__, "numpy": np.__version__}


def _short(value: object) -> str:
    return f"{value[:12]}..." if isinstance(value, str) and len(value) > 12 else str(value)

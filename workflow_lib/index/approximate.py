"""Every FAISS index but the exact one: trained, filled, merged and searched behind the one interface."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np

from workflow_lib.blocks import block_pool, cut_blocks, one_blas_thread
from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.index.base import ApproximateIndex
from workflow_lib.index.factories import PARAMETERS, Plan
from workflow_lib.index.read_ahead import expect_scans
from workflow_lib.index.windows import WindowTable

logger = logging.getLogger(__name__)

_QUERIES = 256  # searched at a time
_BLOCK_ROWS = 65_536  # added at a time: FAISS holds their codes and assignments
_OPQ_ROUNDS, _OPQ_ROWS = 10, 10_000
_GPU_NEIGHBOURS = 2048  # of a query, the most that FAISS finds on a GPU; more are sought on the CPU


class FaissIndex(ApproximateIndex):
    """A FAISS index of squared Euclidean distance over unit rows: before any PCA, rows are unit and the metric is L2.

    Distances are the roots of what FAISS reports. Where the manifest's `true_distances` is false they are those of
    transformed or coded vectors: near the chord, and the same for every query and calibration of this index.
    """

    def __init__(
        self, faiss_index: faiss.Index, table: WindowTable, manifest: dict, plan: Plan, device: str = "cpu"
    ) -> None:
        super().__init__(table, manifest, plan)
        if faiss_index.ntotal != len(table) or faiss_index.d != self.dim:
            raise InputError(f"{faiss_index.ntotal} x {faiss_index.d} vectors, expected {len(table)} x {self.dim}")
        self._faiss, self._device = faiss_index, device
        self._gpu = None if device == "cpu" else copy_to_gpu(faiss_index, device, plan.factory)
        for key, value in plan.parameters.items():
            faiss.ParameterSpace().set_index_parameter(self._faiss, PARAMETERS[key], value)
            if self._gpu is not None:
                faiss.GpuParameterSpace().set_index_parameter(self._gpu, PARAMETERS[key], value)

    @classmethod
    def from_vectors(  # noqa: D102
        cls, vectors: np.ndarray, table: WindowTable, manifest: dict, plan: Plan, *, device: str = "cpu"
    ) -> FaissIndex:
        index = train_faiss(vectors, plan)
        add_rows(index, vectors)
        return cls(index, table, manifest, plan, device)

    @classmethod
    def from_file(  # noqa: D102
        cls, path: Path, table: WindowTable, manifest: dict, plan: Plan, *, device: str = "cpu", mmap: bool = True
    ) -> FaissIndex:
        return cls(read_faiss(path, mmap=mmap and device == "cpu"), table, manifest, plan, device)

    def with_parameters(self, parameters: dict[str, int]) -> FaissIndex:  # noqa: D102
        return FaissIndex(
            self._faiss, self.table, self.manifest, replace(self.plan, parameters=parameters), self._device
        )

    def write_file(self, path: Path) -> None:  # noqa: D102
        write_faiss(path, self._faiss)

    def add(self, vectors: np.ndarray) -> None:  # noqa: D102
        add_rows(self._faiss, vectors)

    @property
    def faiss_index(self) -> faiss.Index:
        """The index proper."""
        return self._faiss

    def _search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        if self._gpu is None or k > _GPU_NEIGHBOURS:
            squares, rows = self._search_blocks(vectors, k)
        else:
            squares, rows = self._gpu.search(vectors, k)
        distances = np.where(rows >= 0, np.sqrt(np.maximum(squares, 0)), np.float32(np.inf))
        return sort_ties(distances, rows)

    def _search_blocks(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """FAISS' own search of each block on one thread: its products do not depend on the number of threads then."""

        def search(block: slice) -> tuple[np.ndarray, np.ndarray]:
            faiss.omp_set_num_threads(1)  # holds for the calling thread
            return self._faiss.search(vectors[block], k)

        threads = faiss.omp_get_max_threads()
        try:
            with block_pool() as map_blocks:
                parts = list(map_blocks(search, cut_blocks(len(vectors), _QUERIES)))
        finally:
            faiss.omp_set_num_threads(threads)
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def sort_ties(distances: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours by distance, float32 (m, k) from 0 to inf, and those at one distance by row, int64, -1 (none) last.

    Codes tie often, and FAISS orders ties as its threads happen to: by row, they are the same every time. One sort of
    both in one number: bits of floats that are not negative ascend as they do. Rows: fewer than 2^32 - 1.
    """
    keys = (distances + np.float32(0)).view(np.uint32).astype(np.uint64) << np.uint64(32)  # + 0: no -0
    keys |= rows.astype(np.uint32)  # -1 becomes the largest
    keys.sort(axis=1)
    rows = keys.astype(np.uint32)
    distances = (keys >> np.uint64(32)).astype(np.uint32).view(np.float32)
    return distances, np.where(rows == np.iinfo(np.uint32).max, -1, rows.astype(np.int64))


def train_faiss(vectors: np.ndarray, plan: Plan) -> faiss.Index:
    """An empty index, trained on float32 (n, d) unit rows; the same bytes on any number of threads.

    Raises
    ------
    InputError
        when there are too few rows for the sizes of the plan, or FAISS has no such kind.
    """
    if len(vectors) < plan.min_rows:
        raise InputError(
            f"{len(vectors)} windows cannot train {plan.factory}, expected at least {plan.min_rows}",
            remedy="set index.factory to Flat, or give sizes as `*` (IVF*): they then follow from the windows",
        )
    if len(vectors) < plan.good_rows:
        logger.warning("%d windows train %s badly: %d were better", len(vectors), plan.factory, plan.good_rows)
    if plan.factory == "Flat":
        return faiss.IndexFlatIP(vectors.shape[1])
    try:
        index = faiss.index_factory(vectors.shape[1], plan.factory, faiss.METRIC_L2)
    except RuntimeError as error:
        raise InputError(f"FAISS has no {plan.factory} ({error})", remedy="set index.factory to Flat") from error
    _limit_opq(index)
    with _deterministic(plan.factory):
        index.train(vectors)
    return index


def add_rows(index: faiss.Index, vectors: np.ndarray) -> None:
    """Add rows to a trained index, a block at a time."""
    with _deterministic("HNSW" if _is_graph(index) else ""):
        for start in range(0, len(vectors), _BLOCK_ROWS):
            index.add(np.ascontiguousarray(vectors[start : start + _BLOCK_ROWS]))


def read_faiss(path: Path, *, mmap: bool = True) -> faiss.Index:
    """Read an index file; with `mmap`, what FAISS can leave on disk stays there until it is searched."""
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mmap else 0)
    except RuntimeError as error:
        raise InputError(f"FAISS cannot read it ({error})", path=path, remedy="build the index anew") from error
    if mmap:
        expect_scans(index)
    return index


def write_faiss(path: Path, index: faiss.Index) -> None:
    """Write an index file atomically; not by FAISS' own writer, which loses the error of a disk that fills up."""
    with atomic_open(path, "wb") as handle:
        faiss.write_index(index, faiss.PyCallbackIOWriter(handle.write))


def copy_to_gpu(index: faiss.Index, device: str, factory: str) -> faiss.Index:
    """A copy of an index on a device `cuda` or `cuda:N`; FAISS has flat, inverted-file and 8-bit PQ kinds there."""
    number = int(device.partition(":")[2] or 0)
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() <= number:
        raise InputError(
            f"device {device}: this FAISS finds no such GPU",
            remedy="install faiss-gpu in place of faiss-cpu, set index.factory to Flat (PyTorch searches it on a GPU), "
            "or index.device to cpu",
        )
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), number, index)
    except RuntimeError as error:
        raise InputError(f"FAISS has no {factory} on a GPU ({error})", remedy="set index.device to cpu") from error


def _limit_opq(index: faiss.Index) -> None:
    """Give OPQ ten rounds on 10,000 rows; FAISS' 50 rounds on 65,536 take a hundred times a k-means."""
    while isinstance(index, faiss.IndexRefine):
        index = faiss.downcast_index(index.base_index)
    if isinstance(index, faiss.IndexPreTransform):
        first = faiss.downcast_VectorTransform(index.chain.at(0))
        if isinstance(first, faiss.OPQMatrix):
            first.niter, first.max_train_points = _OPQ_ROUNDS, _OPQ_ROWS


def _is_graph(index: faiss.Index) -> bool:
    """Whether rows are linked into a graph, also below a transformation or a refinement."""
    index = faiss.downcast_index(index)
    while isinstance(index, faiss.IndexPreTransform | faiss.IndexRefine):
        index = faiss.downcast_index(index.index if isinstance(index, faiss.IndexPreTransform) else index.base_index)
    return isinstance(index, faiss.IndexHNSW)


@contextmanager
def _deterministic(factory: str) -> Iterator[None]:
    """BLAS on one thread, as it rounds differently for each number; a graph on one altogether, as its links race."""
    threads = faiss.omp_get_max_threads()
    with one_blas_thread():
        if "HNSW" in factory:
            faiss.omp_set_num_threads(1)
        try:
            yield
        finally:
            faiss.omp_set_num_threads(threads)

"""ScaNN as an index: partitions, anisotropic codes, and exact measuring of the best; an optional package."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_path, scratch_folder
from workflow_lib.index.base import ApproximateIndex, to_chord
from workflow_lib.index.factories import Plan, count_lists
from workflow_lib.index.windows import WindowTable

_COLUMNS_A_CODE = 2  # ScaNN's own recommendation, as are the threshold and the 16 centroids of its codes
_ANISOTROPIC_THRESHOLD = 0.2
_MIN_PARTITIONED = 20_000  # rows below which ScaNN recommends to code without partitions
_BRUTE_FORCE = 100 * 39  # rows below which it recommends neither
_TRAINING_ROWS = 250_000


class ScannIndex(ApproximateIndex):
    """A ScaNN searcher of inner products; the candidates are measured again, so that distances are chords.

    Search parameters: nprobe (partitions), k_factor (candidates measured, times k).
    """

    file_name = "index.scann.tar"
    searched_by = "ScaNN"

    def __init__(self, searcher, table: WindowTable, manifest: dict, plan: Plan) -> None:
        super().__init__(table, manifest, plan)
        if searcher.size() != len(table):
            raise InputError(f"{searcher.size()} vectors, expected {len(table)}")
        self._searcher = searcher

    @classmethod
    def from_vectors(  # noqa: D102
        cls, vectors: np.ndarray, table: WindowTable, manifest: dict, plan: Plan, *, device: str = "cpu"
    ) -> ScannIndex:
        _refuse_gpu(device)
        builder = _import_scann().builder(vectors, 10, "dot_product").set_n_training_threads(1)
        if len(vectors) >= _MIN_PARTITIONED:
            builder = builder.tree(
                num_leaves=count_lists(len(vectors)),
                num_leaves_to_search=plan.parameters["nprobe"],
                training_sample_size=min(len(vectors), _TRAINING_ROWS),
            )
        if len(vectors) >= _BRUTE_FORCE:
            builder = builder.score_ah(_COLUMNS_A_CODE, anisotropic_quantization_threshold=_ANISOTROPIC_THRESHOLD)
            builder = builder.reorder(10 * plan.parameters["k_factor"])
        else:
            builder = builder.score_brute_force()
        return cls(builder.build(), table, manifest, plan)

    @classmethod
    def from_file(  # noqa: D102
        cls, path: Path, table: WindowTable, manifest: dict, plan: Plan, *, device: str = "cpu", mmap: bool = True
    ) -> ScannIndex:
        _refuse_gpu(device)
        scann = _import_scann()
        with scratch_folder() as folder:
            try:
                with tarfile.open(path) as archive:
                    archive.extractall(folder, filter="data")
                # ScaNN notes the folder that it wrote to; the assets are here now.
                assets = (folder / "scann_assets.pbtxt").read_text().replace("@FOLDER@", str(folder))
                (folder / "scann_assets.pbtxt").write_text(assets)
                searcher = scann.load_searcher(str(folder))
            except (tarfile.TarError, OSError, RuntimeError, ValueError) as error:
                raise InputError(f"ScaNN cannot read it ({error})", path=path, remedy="build the index anew") from error
        return cls(searcher, table, manifest, plan)

    def with_parameters(self, parameters: dict[str, int]) -> ScannIndex:  # noqa: D102
        return ScannIndex(self._searcher, self.table, self.manifest, replace(self.plan, parameters=parameters))

    def write_file(self, path: Path) -> None:  # noqa: D102
        with scratch_folder() as folder:
            self._searcher.serialize(str(folder))
            assets = (folder / "scann_assets.pbtxt").read_text().replace(str(folder), "@FOLDER@")
            (folder / "scann_assets.pbtxt").write_text(assets)
            with atomic_path(path) as temporary, tarfile.open(temporary, "w") as archive:
                for file in sorted(folder.iterdir()):
                    archive.add(file, file.name, filter=_without_owner)

    def add(self, vectors: np.ndarray) -> None:  # noqa: D102
        raise InputError("an index of ScaNN cannot grow", remedy="build it anew")

    def _search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        options = {"final_num_neighbors": k}
        if len(self.table) >= _BRUTE_FORCE:
            options["pre_reorder_num_neighbors"] = min(k * self.plan.parameters["k_factor"], len(self.table))
        if len(self.table) >= _MIN_PARTITIONED:
            options["leaves_to_search"] = self.plan.parameters["nprobe"]
        rows, similarities = self._searcher.search_batched(vectors, **options)
        distances = np.full((len(vectors), k), np.inf, dtype=np.float32)
        found = np.full((len(vectors), k), -1, dtype=np.int64)
        # ScaNN fills up with NaN where it found fewer than k.
        for query, (own, values) in enumerate(zip(rows, similarities, strict=True)):
            real = np.isfinite(values)
            distances[query, : real.sum()] = to_chord(np.asarray(values)[real])
            found[query, : real.sum()] = np.asarray(own)[real]
        return distances, found


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _refuse_gpu(device: str) -> None:
    if device != "cpu":
        raise InputError(
            f"ScaNN runs on the CPU only, the device asked for is {device!r}", remedy="set index.device to cpu"
        )


def _import_scann():
    try:
        from scann import scann_ops_pybind
    except ImportError as error:
        raise InputError(
            "the kind ScaNN needs the package scann, which is not installed",
            remedy="pip install scann==1.4.2 protobuf (Linux, x86-64 or ARM64), or set index.factory to another kind",
        ) from error
    return scann_ops_pybind

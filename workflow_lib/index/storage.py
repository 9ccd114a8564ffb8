"""Build, extend and load an index of any kind; everything is verified, and every mismatch refused with its reason."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.index.base import IDS_NAME, METRIC, UNCALIBRATED_NAME, SearchIndex, check_vectors, library_versions
from workflow_lib.index.factories import SCANN, Plan, plan_index
from workflow_lib.index.windows import WindowTable, join_tables, read_ids_and_digest, select_rows
from workflow_lib.manifest import MANIFEST_NAME, read_manifest, verify_checksum

logger = logging.getLogger(__name__)

_REQUIRED = (
    *("factory", "parameters", "metric", "distances", "true_distances", "fingerprint", "dim", "n", "ids_sha256"),
    *("probes", "index_id", "vectors_sha256", "window"),
)


def build_index(
    vectors: np.ndarray,
    table: WindowTable,
    manifest: dict,
    *,
    factory: str = "Flat",
    parameters: dict[str, int | None] | None = None,
    device: str = "cpu",
) -> SearchIndex:
    """Build an index of window vectors; windows of zero vectors are left out.

    Parameters
    ----------
    vectors : float32 (n, d), unit rows or zeros, in the order of `table`.
    manifest : embedder, fingerprint, dim, window (bp) and whatever else is to be kept.
    factory, parameters : as of `plan_index`.
    device : `cpu`, or `cuda:N` for the search; the files are the same.

    Raises
    ------
    InputError
        for an unknown factory, vectors that do not fit the table, NaN, or nothing to index.
    """
    table, vectors = usable_rows(table, vectors, int(manifest["dim"]))
    if not len(table):
        raise nothing_to_index()
    plan = plan_index(factory, len(vectors), vectors.shape[1], parameters)
    manifest = dict(manifest, factory_asked=factory, trained_on=len(vectors), vectors_sha256=digest_vectors(vectors))
    index = index_class(plan, device).from_vectors(vectors, table, manifest, plan, device=device)
    index.set_probes(vectors)
    return index


def nothing_to_index() -> InputError:
    """The error where all windows are left out."""
    return InputError(
        "none of the reference windows can be indexed",
        remedy="give reference genomes with contigs longer than a quarter of index.window, or a shorter window",
    )


def extend_index(index: SearchIndex, vectors: np.ndarray, table: WindowTable) -> None:
    """Append the windows of further genomes, in place and without training anew.

    A calibration of the index no longer holds: its id moves to `stale_calibration_id` of the manifest.

    Raises
    ------
    InputError
        as `build_index`, for a genome that is in the index already, and for a kind that cannot grow.
    """
    table, vectors = usable_rows(table, vectors, index.dim)
    if len(table):
        joined = join_tables([index.table, table])
        index.add(vectors)
        record_growth(index, joined, [digest_vectors(vectors)])


def record_growth(index: SearchIndex, table: WindowTable, added: Iterable[str]) -> None:
    """Take note of rows that were added to the index proper: its table is now `table`, its calibration is stale.

    `added`: `digest_vectors` of each lot of rows.
    """
    index.table = table
    for digest in added:
        chained = f"{index.manifest['vectors_sha256']}\n{digest}"
        index.manifest["vectors_sha256"] = hashlib.sha256(chained.encode()).hexdigest()
    if "calibration_id" in index.manifest:
        index.manifest["stale_calibration_id"] = index.manifest.pop("calibration_id")


def load_index(folder: str | Path, *, device: str = "cpu", name: str = MANIFEST_NAME, mmap: bool = True) -> SearchIndex:
    """Load an index that `SearchIndex.save` wrote, and verify all of it.

    Parameters
    ----------
    device : where to search, `cpu` or `cuda:N`.
    name : of the manifest; `UNCALIBRATED_NAME` loads an index that has no calibration yet, or grew since.
    mmap : leave vectors and codes on disk until they are searched, where the kind can.

    Raises
    ------
    InputError
        with the file and the reason: unfinished, a calibration that is stale, a changed byte, rows that do not fit, an
        unknown kind, or neighbours of the probe vectors that differ from those at build time.
    """
    folder = Path(folder)
    path = folder / name
    if name == MANIFEST_NAME:
        _check_freshness(folder)
    manifest = read_manifest(folder, name=name, sealed=True, left_out=(IDS_NAME,))
    for key in _REQUIRED:
        if key not in manifest:
            raise InputError(f"no entry {key!r}: this is no manifest of an index", path=path, remedy=f"delete {folder}")
    if manifest["metric"] != METRIC:
        raise InputError(
            f"metric {manifest['metric']!r}, expected {METRIC!r}", path=path, remedy="build the index anew"
        )
    table = _read_table(folder / IDS_NAME, manifest)
    plan = _read_plan(manifest, path)
    kind = index_class(plan, device)
    index = kind.from_file(folder / kind.file_name, table, manifest, plan, device=device, mmap=mmap)
    index.check_probes(path)
    _tell_versions(manifest)
    logger.info(
        "index %s, %s: %d windows, searched on %s by %s",
        index.index_id,
        index.factory,
        len(table),
        device,
        kind.searched_by,
    )
    return index


def _tell_versions(manifest: dict) -> None:
    """Say which programs are of another version than those that built an index: its probes have found no difference."""
    now = library_versions()
    built = {name: version for name, version in manifest.get("versions", {}).items() if version != now.get(name)}
    if built:
        changes = ", ".join(f"{name} {version} (now {now.get(name)})" for name, version in built.items())
        logger.warning("index %s was built with %s; its probe vectors find the same", manifest.get("index_id"), changes)


def usable_rows(table: WindowTable, vectors: np.ndarray, dim: int) -> tuple[WindowTable, np.ndarray]:
    """The rows that can be indexed: checked, C-contiguous, none of zeros."""
    usable = check_vectors(vectors, dim, what="reference vectors")
    if len(vectors) != len(table):
        raise InputError(f"{len(vectors)} vectors but {len(table)} windows")
    if not usable.all():
        logger.warning("%d of %d windows have a zero vector and are left out", (~usable).sum(), len(usable))
        table, vectors = select_rows(table, usable), vectors[usable]
    return table, np.ascontiguousarray(vectors)


def index_class(plan: Plan, device: str = "cpu") -> type[SearchIndex]:
    """The class of a kind. On a GPU, `Flat` is searched in PyTorch: FAISS would not give genome distances there."""
    if plan.factory == "Torch" or (plan.factory == "Flat" and device != "cpu"):
        module, name = "torch_search", "TorchIndex"
    elif plan.factory == "Flat":
        module, name = "flat", "FlatIndex"
    elif plan.factory == SCANN:
        module, name = "scann_search", "ScannIndex"
    else:
        module, name = "approximate", "FaissIndex"
    return getattr(import_module(f"workflow_lib.index.{module}"), name)


def _read_table(path: Path, manifest: dict) -> WindowTable:
    """Read ids.tsv once: the digest of its rows proves all of it but the header, which is always the same."""
    try:
        table, digest = read_ids_and_digest(path)
        if digest != manifest["ids_sha256"] or len(table) != manifest["n"]:
            raise InputError("the rows do not match the manifest", path=path, remedy=f"delete {path.parent}")
    except (OSError, ValueError):
        verify_checksum(path, manifest["checksums"].get(IDS_NAME, ""))  # a damaged file is told as one
        raise
    return table


def _check_freshness(folder: Path) -> None:
    """Refuse an index that grew since its calibration, and say that one without calibration lacks it."""
    if not (folder / UNCALIBRATED_NAME).exists():
        return  # an index that was built in one go
    newest = read_manifest(folder, name=UNCALIBRATED_NAME, sealed=True, verify=False)["index_id"]
    remedy = "run the workflow again: it calibrates the index"
    if not (folder / MANIFEST_NAME).is_file():
        raise InputError(f"index {newest} is not calibrated yet", path=folder, remedy=remedy)
    try:
        calibrated = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8")).get("index_id")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError):
        return
    if calibrated != newest:
        raise InputError(
            f"the calibration is stale: it is of index {calibrated}, which has become {newest} since",
            path=folder / MANIFEST_NAME,
            remedy=remedy,
        )


def _read_plan(manifest: dict, path: Path) -> Plan:
    try:
        chosen = plan_index(manifest["factory"], manifest["n"], manifest["dim"], manifest["parameters"])
    except InputError as error:
        raise InputError(str(error), path=path, remedy="build the index anew") from error
    return Plan(
        manifest["factory"], dict(manifest["parameters"]), manifest["distances"], bool(manifest["true_distances"]),
        chosen.min_rows, chosen.good_rows,
    )  # fmt: skip


def digest_vectors(vectors: np.ndarray) -> str:
    """Hex SHA-256 of C-contiguous rows."""
    return hashlib.sha256(vectors.data).hexdigest()

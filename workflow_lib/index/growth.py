"""An index that grows: what is in it stays, what is new is added, and large ones are filled in parts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.index.base import UNCALIBRATED_NAME, SearchIndex
from workflow_lib.index.factories import EXACT, SCANN, plan_index
from workflow_lib.index.storage import (
    build_index,
    extend_index,
    index_class,
    load_index,
    nothing_to_index,
    record_growth,
    usable_rows,
)
from workflow_lib.index.windows import WindowTable, join_tables, name_genome, select_rows, tabulate_windows
from workflow_lib.manifest import MANIFEST_NAME, read_manifest
from workflow_lib.store import EmbeddingStore

if TYPE_CHECKING:
    import faiss

logger = logging.getLogger(__name__)

_OUTGROWN = 4  # times as many windows as an index was trained on: its sizes and centroids no longer fit
_TRAINING_ROWS = 256  # a centroid, as FAISS' k-means uses at most
_LEAST_TRAINING_ROWS = 100_000  # for transformations


@dataclass(frozen=True)
class IndexOptions:
    """What an index is asked to be.

    Attributes
    ----------
    factory, parameters : as of `plan_index`.
    taxonomy_release : where the lineages are from, in the user's words.
    version : of the code; an index that other code built is not extended.
    """

    factory: str
    parameters: dict[str, int | None]
    taxonomy_release: str | None = None
    version: str = ""


@dataclass(frozen=True)
class Growth:
    """What a build has to do.

    Attributes
    ----------
    extends : whether to add to the index that is there; else a new one is built.
    kept : for each shard, the genomes to add.
    duplicates : genomes left out, as an earlier one has their sequences.
    n_windows : rows of the result.
    """

    extends: bool
    kept: list[list[str]]
    duplicates: list[str]
    n_windows: int


def plan_growth(shards: list[EmbeddingStore], previous: SearchIndex | None, options: IndexOptions) -> Growth:
    """Compare the windows that are wanted with the index that is there.

    The index is extended when all of its genomes are still wanted, with the same sequences, embedder, window, options
    and code, and when it was trained on a quarter of the windows or more. Else, as the log tells, it is built anew.
    """
    reason = "there is none" if previous is None else _why_anew(previous, shards, options)
    if previous is not None:
        logger.info("index %s: %s", previous.index_id, f"built anew: {reason}" if reason else "extended")
    known = {} if reason else dict(previous.manifest["digests"])
    seen = {digest: genome for genome, digest in known.items()}
    kept, duplicates, n_windows = [], [], 0 if reason else len(previous.table)
    for shard in shards:
        new = []
        for genome, digest in shard.manifest["digests"].items():
            if genome in known:
                continue
            if digest in seen:
                logger.warning("genome %s has the sequences of %s; left out", genome, seen[digest])
                duplicates.append(genome)
                continue
            seen[digest] = genome
            new.append(genome)
        chosen = set(new)
        n_windows += sum(name_genome(name) in chosen for name in shard.names)
        kept.append(new)
    return Growth(not reason, kept, duplicates, n_windows)


def write_growth(path: str | Path, growth: Growth) -> None:
    """Write what `train_parts` decided, for the jobs that fill the parts."""
    with atomic_open(path) as handle:
        json.dump(asdict(growth), handle)


def read_growth(path: str | Path) -> Growth:
    """Read what `write_growth` wrote."""
    return Growth(**json.loads(Path(path).read_text(encoding="utf-8")))


def train_parts(
    shards: list[EmbeddingStore], folder: str | Path, options: IndexOptions, *, trained: str | Path, growth: str | Path
) -> None:
    """Write an empty index that is trained, and the growth: what the jobs that fill parts of an index begin with.

    An index that is extended is its own training. Memory: the training rows, at most 256 a centroid.
    """
    from workflow_lib.index.approximate import write_faiss
    from workflow_lib.index.disk_merge import clear_rows

    previous = _load_previous(Path(folder))
    planned = plan_growth(shards, previous, options)
    if planned.extends:
        empty = previous.faiss_index
        clear_rows(empty)
    else:
        empty = _train(shards, planned, options)
    write_faiss(Path(trained), empty)
    write_growth(growth, planned)


def fill_part(shard: EmbeddingStore, number: int, *, trained: str | Path, growth: str | Path, part: str | Path) -> None:
    """Fill a copy of the trained index with the new genomes of a shard, and write it to `part`.

    Of a kind that cannot be merged the copy stays empty: `grow_index` then adds the rows itself.
    """
    from workflow_lib.index.approximate import add_rows, read_faiss, write_faiss
    from workflow_lib.index.disk_merge import can_merge

    index = read_faiss(Path(trained), mmap=False)
    if can_merge(index):
        table, rows = _choose(shard, read_growth(growth).kept[number], {})
        add_rows(index, usable_rows(table, rows, shard.vectors.shape[1])[1])
    write_faiss(Path(part), index)


def grow_index(
    folder: str | Path,
    shards: list[EmbeddingStore],
    taxonomy: dict[str, dict[str, str]],
    options: IndexOptions,
    *,
    trained: str | Path | None = None,
    growth: str | Path | None = None,
    parts: list[str | Path] = (),
) -> SearchIndex:
    """Build the index in `folder`, or extend the one that is there, and save it as one to be calibrated.

    Parameters
    ----------
    shards : stores of `embed_windows`, one for each shard of genomes.
    taxonomy : genome -> rank -> name; lineages of genomes that are there already are brought up to date.
    trained, growth, parts : files of `train_parts` and `fill_part`; none: all is done here.

    Memory: about 150 bytes a window for names, and the vectors of a shard. Without parts, and for kinds whose parts
    cannot be merged, the index too; of `Torch` and `ScaNN` all vectors.
    """
    folder = Path(folder)
    previous = _load_previous(folder)
    planned = plan_growth(shards, previous, options)
    if growth and read_growth(growth) != planned:
        logger.warning("the filled parts are of another state of the index: all is done here")
        parts = []
    written = None
    if parts and _can_merge(trained):
        written = Path(trained).with_name("merged.faiss")
        index = _merge_parts(folder, previous, shards, planned, taxonomy, options, trained, parts, written)
    elif planned.extends:
        index = _load_previous(folder, mmap=False)
        for shard, kept in zip(shards, planned.kept, strict=True):
            table, rows = _choose(shard, kept, taxonomy)
            extend_index(index, rows, table)
    else:
        index = _build(shards, planned, taxonomy, options)
    for genome, lineage in zip(index.table.genomes, index.table.lineages, strict=True):
        lineage.clear()
        lineage.update(taxonomy.get(genome, {}))
    digests = {genome: digest for shard in shards for genome, digest in shard.manifest["digests"].items()}
    indexed = set(index.table.genomes)
    index.save(
        folder,
        name=UNCALIBRATED_NAME,
        written=written,
        digests={genome: digest for genome, digest in digests.items() if genome in indexed},
        genomes_left_out=_left_out(shards, planned.duplicates),
        taxonomy_release=options.taxonomy_release,
        stale_calibration_id=_calibration_id(folder),
    )
    return index


def _can_merge(trained: str | Path) -> bool:
    from workflow_lib.index.approximate import read_faiss
    from workflow_lib.index.disk_merge import can_merge

    return can_merge(read_faiss(Path(trained)))


def _merge_parts(
    folder: Path, previous: SearchIndex, shards: list[EmbeddingStore], planned: Growth, taxonomy: dict,
    options: IndexOptions, trained: str | Path, parts: list[str | Path], written: Path,
) -> SearchIndex:  # fmt: skip
    """Merge the index that is extended, if one is, and the parts into the file `written`."""
    from workflow_lib.index.approximate import read_faiss
    from workflow_lib.index.disk_merge import merge_files

    held = [folder / previous.file_name] if planned.extends else []
    merge_files(written, read_faiss(Path(trained), mmap=False), [*held, *parts])
    if not planned.extends:
        return _describe(read_faiss(written), shards, planned, taxonomy, options)
    added = [table for table, _ in _usable(shards, planned, taxonomy)]
    table = join_tables([previous.table, *added])
    index = index_class(previous.plan)(read_faiss(written), table, previous.manifest, previous.plan)
    record_growth(index, table, (rows for _, rows in _usable(shards, planned, taxonomy)))
    return index


def _build(shards: list[EmbeddingStore], planned: Growth, taxonomy: dict, options: IndexOptions) -> SearchIndex:
    """Build a new index without parts, in memory."""
    from workflow_lib.index.approximate import add_rows

    if options.factory in ("Torch", SCANN):
        chosen = list(_usable(shards, planned, taxonomy))
        table, vectors = join_tables([table for table, _ in chosen]), np.concatenate([rows for _, rows in chosen])
        manifest = _manifest(shards, options)
        return build_index(vectors, table, manifest, factory=options.factory, parameters=options.parameters)
    filled = _train(shards, planned, options)
    for _, rows in _usable(shards, planned, taxonomy):
        add_rows(filled, rows)
    return _describe(filled, shards, planned, taxonomy, options)


def _describe(
    filled: faiss.Index, shards: list[EmbeddingStore], planned: Growth, taxonomy: dict, options: IndexOptions
) -> SearchIndex:
    """The new index of a filled one of FAISS."""
    table = join_tables([table for table, _ in _usable(shards, planned, taxonomy)])
    plan = plan_index(options.factory, planned.n_windows, shards[0].vectors.shape[1], options.parameters)
    manifest = dict(_manifest(shards, options), factory_asked=options.factory, trained_on=planned.n_windows)
    index = index_class(plan)(filled, table, manifest | {"vectors_sha256": ""}, plan)
    record_growth(index, table, (rows for _, rows in _usable(shards, planned, taxonomy)))
    index.set_probes(next(rows for _, rows in _usable(shards, planned, taxonomy) if len(rows)))
    return index


def _train(shards: list[EmbeddingStore], planned: Growth, options: IndexOptions) -> faiss.Index:
    """An empty FAISS index, trained on a sample of the windows: at most 256 a centroid, or 100,000."""
    from workflow_lib.index.approximate import train_faiss

    plan = plan_index(options.factory, planned.n_windows, shards[0].vectors.shape[1], options.parameters)
    # An exact index learns nothing.
    wanted = 1 if plan.is_exact else max(plan.good_rows // 39 * _TRAINING_ROWS, _LEAST_TRAINING_ROWS)
    step = max(1, planned.n_windows // wanted)
    # A view would keep the whole shard.
    sample = np.concatenate([rows[::step].copy() for _, rows in _usable(shards, planned, {})])
    if not len(sample):
        raise nothing_to_index()
    return train_faiss(sample, plan)


def _usable(shards: list[EmbeddingStore], planned: Growth, taxonomy: dict) -> Iterator[tuple[WindowTable, np.ndarray]]:
    """The windows to add, shard by shard, without those of zero vectors."""
    for shard, kept in zip(shards, planned.kept, strict=True):
        yield usable_rows(*_choose(shard, kept, taxonomy), shard.vectors.shape[1])


def _manifest(shards: list[EmbeddingStore], options: IndexOptions) -> dict:
    kept = {key: shards[0].manifest[key] for key in ("embedder", "fingerprint", "dim", "window")}
    return dict(kept, code_version=options.version, parameters_asked=options.parameters)


def _left_out(shards: list[EmbeddingStore], duplicates: list[str]) -> dict[str, list[str]]:
    """Genomes without a window, and those with the sequences of another one, in their shard or an earlier one."""
    left_out = {"duplicates": [], "empty": []}
    for shard in shards:
        for kind, genomes in shard.manifest["genomes_left_out"].items():
            left_out[kind] += genomes
    left_out["duplicates"] += duplicates
    return left_out


def _load_previous(folder: Path, *, mmap: bool = True) -> SearchIndex | None:
    names = [name for name in (UNCALIBRATED_NAME, MANIFEST_NAME) if (folder / name).is_file()]
    if not names:
        return None
    try:
        return load_index(folder, name=names[0], mmap=mmap)
    except InputError as error:
        logger.warning("the index that is there cannot be extended: %s", error)
        return None


def _calibration_id(folder: Path) -> str | None:
    """Of the calibration that was made before; where it is unreadable, it is as if there were none."""
    try:
        return read_manifest(folder, verify=False).get("calibration_id")
    except InputError:
        return None


def _why_anew(previous: SearchIndex, shards: list[EmbeddingStore], options: IndexOptions) -> str:
    """Why an index cannot be extended; empty where it can."""
    manifest = previous.manifest
    asked = {
        "fingerprint": shards[0].manifest["fingerprint"],
        "window": shards[0].manifest["window"],
        "factory_asked": options.factory,
        "parameters_asked": options.parameters,
        "code_version": options.version,
    }
    for key, value in asked.items():
        if manifest.get(key) != value:
            return f"its {key} is {manifest.get(key)}, {value} is asked for"
    wanted = {genome: digest for shard in shards for genome, digest in shard.manifest["digests"].items()}
    gone = [genome for genome, digest in manifest["digests"].items() if wanted.get(genome) != digest]
    if gone:
        return f"{len(gone)} of its genomes are no longer wanted or have other sequences, the first is {gone[0]}"
    n = sum(len(shard.names) for shard in shards)
    if previous.factory == SCANN:
        return "an index of ScaNN cannot grow"
    if previous.factory not in EXACT and n > _OUTGROWN * manifest["trained_on"]:
        return f"it was trained on {manifest['trained_on']} windows, there are {n} now"
    return ""


def _choose(shard: EmbeddingStore, genomes: list[str], taxonomy: dict) -> tuple[WindowTable, np.ndarray]:
    """The windows of some genomes of a shard."""
    table, chosen = tabulate_windows(shard.names, taxonomy), set(genomes)
    rows = np.array([genome in chosen for genome in table.genomes], dtype=bool)[table.codes]
    return select_rows(table, rows), np.asarray(shard.vectors[rows])

"""An index that grows: what is in it stays, what is new is added, and large ones are filled in parts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.index.base import UNCALIBRATED_NAME, SearchIndex
from workflow_lib.index.copies import tell_copy
from workflow_lib.index.factories import EXACT, SCANN, plan_index
from workflow_lib.index.shards import (
    Shard,
    choose_windows,
    count_windows,
    genome_rows,
    sample_vectors,
    tabulate_shard,
)
from workflow_lib.index.storage import (
    build_index,
    digest_vectors,
    extend_index,
    index_class,
    load_index,
    nothing_to_index,
    record_growth,
    usable_rows,
)
from workflow_lib.index.windows import WindowTable, join_tables, select_rows
from workflow_lib.manifest import MANIFEST_NAME, read_manifest, write_manifest

if TYPE_CHECKING:
    import faiss

logger = logging.getLogger(__name__)

_OUTGROWN = 4  # times as many windows as an index was trained on: its sizes and centroids no longer fit


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


def plan_growth(
    shards: list[Shard], previous: SearchIndex | None, options: IndexOptions, taxonomy: dict | None = None
) -> Growth:
    """Compare the windows that are wanted with the index that is there; copies are told with their `taxonomy`.

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
            found = duplicates if tell_copy(genome, digest, seen, taxonomy or {}) else new
            found.append(genome)
        n_windows += _count_kept(shard, new)
        kept.append(new)
    return Growth(not reason, kept, duplicates, n_windows)


def write_growth(path: str | Path, growth: Growth) -> None:
    """Write what `train_parts` decided, for the jobs that fill the parts."""
    path = Path(path)
    write_manifest(path.parent, asdict(growth), name=path.name, sealed=True)


def read_growth(path: str | Path) -> Growth:
    """Read what `write_growth` wrote.

    Raises
    ------
    InputError
        when it is not there or was changed.
    """
    path = Path(path)
    content = read_manifest(path.parent, name=path.name, sealed=True)
    return Growth(**{field.name: content[field.name] for field in fields(Growth)})


def train_parts(
    shards: list[Shard], folder: str | Path, options: IndexOptions, *, trained: str | Path, growth: str | Path
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


def fill_part(shard: Shard, number: int, *, trained: str | Path, growth: str | Path, part: str | Path) -> None:
    """Fill a copy of the trained index with the new genomes of a shard, and write it to `part`.

    Beside it comes `rows_file`: the rows' number and SHA-256, and which have no direction; `grow_index` then needs no
    vectors. Of a kind that cannot be merged the copy stays empty: `grow_index` then adds the rows itself.
    Memory: the copy, and twice its codes while it is written; the vectors are read from the disk as they are added.
    """
    from workflow_lib.index.approximate import add_rows, read_faiss, write_faiss
    from workflow_lib.index.disk_merge import can_merge

    index, content = read_faiss(Path(trained), mmap=False), {}
    if can_merge(index):
        table, chosen = choose_windows(shard, read_growth(growth).kept[number], {})
        rows = usable_rows(table, chosen, shard.vectors.shape[1])[1]
        add_rows(index, rows)
        left_out = np.flatnonzero(~chosen.any(axis=1)).tolist() if len(rows) < len(chosen) else []
        content = {"n": len(rows), "vectors_sha256": digest_vectors(rows), "left_out": left_out}
    write_manifest(rows_file(part).parent, content, name=rows_file(part).name, sealed=True)
    write_faiss(Path(part), index)


def rows_file(part: str | Path) -> Path:
    """The file that says what the rows of a part are."""
    return Path(part).with_suffix(".json")


def grow_index(
    folder: str | Path,
    shards: list[Shard],
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

    Memory: the names of a shard and the table of windows, 16 bytes a row, and 12 and its name for every contig; twice
    while an index is extended. Without parts, and for kinds whose parts cannot be merged, the index and the vectors of
    a shard too; of `Torch` and `ScaNN` all vectors.
    """
    folder = Path(folder)
    previous = _load_previous(folder)
    planned = plan_growth(shards, previous, options, taxonomy)
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
            table, rows = choose_windows(shard, kept, taxonomy)
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
    folder: Path, previous: SearchIndex, shards: list[Shard], planned: Growth, taxonomy: dict,
    options: IndexOptions, trained: str | Path, parts: list[str | Path], written: Path,
) -> SearchIndex:  # fmt: skip
    """Merge the index that is extended, if one is, and the parts into the file `written`."""
    from workflow_lib.index.approximate import read_faiss
    from workflow_lib.index.disk_merge import merge_files

    told = {path: read_manifest(path.parent, name=path.name, sealed=True) for path in map(rows_file, parts)}
    held = [folder / previous.file_name] if planned.extends else []
    merge_files(written, read_faiss(Path(trained), mmap=False), [*held, *parts])
    added = _tables_of_parts(shards, planned, told, taxonomy)
    digests = [content["vectors_sha256"] for content in told.values() if content.get("n")]
    if not planned.extends:
        return _describe(read_faiss(written), join_tables(added), digests, shards, planned, options)
    table = join_tables(chain([previous.table], added))
    index = index_class(previous.plan)(read_faiss(written), table, previous.manifest, previous.plan)
    record_growth(index, table, digests)
    return index


def _tables_of_parts(
    shards: list[Shard], planned: Growth, told: dict[Path, dict], taxonomy: dict
) -> Iterator[WindowTable]:
    """What the rows of each part are, as `fill_part` told in its `rows_file`."""
    for shard, kept, (path, content) in zip(shards, planned.kept, told.items(), strict=True):
        n, left_out = content.get("n"), content.get("left_out", [])
        if kept or n != 0:
            table = tabulate_shard(shard, taxonomy)
            table = select_rows(table, genome_rows(table, kept))
            if n is None or n + len(left_out) != len(table):
                message = f"tells of {n} rows and {len(left_out)} left out, expected {len(table)} in all"
                raise InputError(message, path=path, remedy=f"delete {path.parent} and run again")
            usable = np.ones(len(table), dtype=bool)
            usable[left_out] = False
            yield select_rows(table, usable)


def _build(shards: list[Shard], planned: Growth, taxonomy: dict, options: IndexOptions) -> SearchIndex:
    """Build a new index without parts, in memory."""
    from workflow_lib.index.approximate import add_rows

    if options.factory in ("Torch", SCANN):
        chosen = list(_usable(shards, planned, taxonomy))
        table, vectors = join_tables([table for table, _ in chosen]), np.concatenate([rows for _, rows in chosen])
        manifest = _manifest(shards, options)
        return build_index(vectors, table, manifest, factory=options.factory, parameters=options.parameters)
    filled, tables, digests = _train(shards, planned, options), [], []
    for table, rows in _usable(shards, planned, taxonomy):
        add_rows(filled, rows)
        tables.append(table)
        digests += [digest_vectors(rows)] if len(rows) else []
    return _describe(filled, join_tables(tables), digests, shards, planned, options)


def _describe(
    filled: faiss.Index, table: WindowTable, digests: list[str], shards: list[Shard], planned: Growth,
    options: IndexOptions,
) -> SearchIndex:  # fmt: skip
    """The new index of a filled one of FAISS."""
    plan = plan_index(options.factory, planned.n_windows, int(shards[0].manifest["dim"]), options.parameters)
    manifest = dict(_manifest(shards, options), factory_asked=options.factory, trained_on=planned.n_windows)
    index = index_class(plan)(filled, table, manifest | {"vectors_sha256": ""}, plan)
    record_growth(index, table, digests)
    index.set_probes(next(rows for _, rows in _usable(shards, planned, {}) if len(rows)))
    return index


def _train(shards: list[Shard], planned: Growth, options: IndexOptions) -> faiss.Index:
    """An empty FAISS index, trained on a sample of the windows."""
    from workflow_lib.index.approximate import train_faiss

    plan = plan_index(options.factory, planned.n_windows, int(shards[0].manifest["dim"]), options.parameters)
    sample = sample_vectors(shards, planned.kept, planned.n_windows, plan.training_rows)
    if not len(sample):  # all that was drawn are zeros: of an exact kind it is one row
        usable = (rows for _, rows in _usable(shards, planned, {}) if len(rows))
        sample = next((rows[: plan.training_rows] for rows in usable), sample)
    if not len(sample):
        raise nothing_to_index()
    return train_faiss(sample, plan)


def _usable(shards: list[Shard], planned: Growth, taxonomy: dict) -> Iterator[tuple[WindowTable, np.ndarray]]:
    """The windows to add, shard by shard, without those of zero vectors."""
    for shard, kept in zip(shards, planned.kept, strict=True):
        yield usable_rows(*choose_windows(shard, kept, taxonomy), shard.vectors.shape[1])


def _manifest(shards: list[Shard], options: IndexOptions) -> dict:
    kept = {key: shards[0].manifest[key] for key in ("embedder", "fingerprint", "dim", "window")}
    return dict(kept, code_version=options.version, parameters_asked=options.parameters)


def _left_out(shards: list[Shard], duplicates: list[str]) -> dict[str, list[str]]:
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


def _why_anew(previous: SearchIndex, shards: list[Shard], options: IndexOptions) -> str:
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
    n = sum(map(count_windows, shards))
    if previous.factory == SCANN:
        return "an index of ScaNN cannot grow"
    if previous.factory not in EXACT and n > _OUTGROWN * manifest["trained_on"]:
        return f"it was trained on {manifest['trained_on']} windows, there are {n} now"
    return ""


def _count_kept(shard: Shard, genomes: list[str]) -> int:
    """Windows of some genomes of a shard; all that have windows are in the digests."""
    if len(genomes) == len(shard.manifest["digests"]):
        return count_windows(shard)
    return int(genome_rows(tabulate_shard(shard, {}), genomes).sum()) if genomes else 0

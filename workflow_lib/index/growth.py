"""An index that grows: what is in it stays, what is new is added, and large ones are filled in parts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.index.base import UNCALIBRATED_NAME, SearchIndex
from workflow_lib.index.factories import EXACT, SCANN, plan_index
from workflow_lib.index.storage import build_index, extend_index, index_class, load_index, record_growth, usable_rows
from workflow_lib.index.windows import WindowTable, join_tables, name_genome, select_rows, tabulate_windows
from workflow_lib.manifest import MANIFEST_NAME, read_manifest
from workflow_lib.store import EmbeddingStore

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
    from workflow_lib.index.approximate import train_faiss, write_faiss

    previous = _load_previous(Path(folder), mmap=False)
    planned = plan_growth(shards, previous, options)
    if planned.extends:
        empty = previous.faiss_index
        empty.reset()
    else:
        dim = shards[0].vectors.shape[1]
        plan = plan_index(options.factory, planned.n_windows, dim, options.parameters)
        wanted = max(plan.good_rows // 39 * _TRAINING_ROWS, _LEAST_TRAINING_ROWS)
        empty = train_faiss(_sample(shards, planned, wanted), plan)
    write_faiss(Path(trained), empty)
    write_growth(growth, planned)


def fill_part(shard: EmbeddingStore, number: int, *, trained: str | Path, growth: str | Path, part: str | Path) -> None:
    """Fill a copy of the trained index with the new genomes of a shard, and write it to `part`."""
    from workflow_lib.index.approximate import add_rows, read_faiss, write_faiss

    table, rows = _choose(shard, read_growth(growth).kept[number], {})
    index = read_faiss(Path(trained), mmap=False)
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

    Memory: the index, and the vectors of a shard (of all shards where a new index is built without parts).
    """
    folder = Path(folder)
    index = _load_previous(folder, mmap=False)
    planned = plan_growth(shards, index, options)
    if growth and read_growth(growth) != planned:
        logger.warning("the filled parts are of another state of the index: all is done here")
        parts = []
    if not planned.extends:
        index = None
    if parts:
        index = _merge_parts(index, shards, planned, taxonomy, options, Path(trained), [Path(part) for part in parts])
    elif index is None:
        chosen = [_choose(shard, kept, taxonomy) for shard, kept in zip(shards, planned.kept, strict=True)]
        table = _join([table for table, _ in chosen])
        vectors = np.concatenate([rows for _, rows in chosen])
        index = build_index(
            vectors, table, _manifest(shards, options), factory=options.factory, parameters=options.parameters
        )
    else:
        for shard, kept in zip(shards, planned.kept, strict=True):
            table, rows = _choose(shard, kept, taxonomy)
            extend_index(index, rows, table)
    for genome, lineage in zip(index.table.genomes, index.table.lineages, strict=True):
        lineage.clear()
        lineage.update(taxonomy.get(genome, {}))
    digests = {genome: digest for shard in shards for genome, digest in shard.manifest["digests"].items()}
    indexed = set(index.table.genomes)
    index.save(
        folder,
        name=UNCALIBRATED_NAME,
        digests={genome: digest for genome, digest in digests.items() if genome in indexed},
        genomes_left_out=_left_out(shards, planned.duplicates),
        taxonomy_release=options.taxonomy_release,
        stale_calibration_id=_calibration_id(folder),
    )
    return index


def _merge_parts(
    index: SearchIndex | None, shards: list, planned: Growth, taxonomy: dict, options: IndexOptions, trained: Path,
    parts: list[Path],
) -> SearchIndex:  # fmt: skip
    from workflow_lib.index.approximate import merge_faiss, read_faiss

    def usable() -> Iterator[tuple[WindowTable, np.ndarray]]:
        for shard, kept in zip(shards, planned.kept, strict=True):
            yield usable_rows(*_choose(shard, kept, taxonomy), shard.vectors.shape[1])

    table = _join([table for table, _ in usable()])
    added = (rows for _, rows in usable() if len(rows))
    if index is not None:
        merge_faiss(index.faiss_index, parts)
        record_growth(index, join_tables(index.table, table), added)
        return index
    plan = plan_index(options.factory, planned.n_windows, shards[0].vectors.shape[1], options.parameters)
    manifest = dict(_manifest(shards, options), factory_asked=options.factory, trained_on=planned.n_windows)
    manifest["vectors_sha256"] = ""
    index = index_class(plan)(merge_faiss(read_faiss(trained, mmap=False), parts), table, manifest, plan)
    record_growth(index, table, added)
    index.set_probes(next(rows for _, rows in usable() if len(rows)))
    return index


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


def _join(tables: list[WindowTable]) -> WindowTable:
    joined = tables[0]
    for table in tables[1:]:
        joined = join_tables(joined, table)
    return joined


def _sample(shards: list[EmbeddingStore], planned: Growth, count: int) -> np.ndarray:
    """About `count` rows, evenly from all that are to be indexed."""
    step = max(1, planned.n_windows // count)
    parts = []
    for shard, kept in zip(shards, planned.kept, strict=True):
        table, rows = _choose(shard, kept, {})
        # A view would keep the whole shard.
        parts.append(usable_rows(table, rows, shard.vectors.shape[1])[1][::step].copy())
    return np.concatenate(parts)

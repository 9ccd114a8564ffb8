"""An index that grows: genome by genome, in parts or at once, and when it is built anew."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.index import load_index
from workflow_lib.index.base import UNCALIBRATED_NAME
from workflow_lib.index.growth import IndexOptions, fill_part, grow_index, plan_growth, rows_file, train_parts
from workflow_lib.index.shards import WindowShard, sample_vectors
from workflow_lib.index.windows import format_window
from workflow_lib.manifest import SEAL, write_manifest
from workflow_lib.novelty.build import calibrate_index
from workflow_lib.store import EmbeddingStore, write_store

DIM, WINDOWS = 16, 10
MANIFEST = {"embedder": "test", "fingerprint": "f" * 64, "dim": DIM, "window": 1000}


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def vectors_of(genome, n=WINDOWS):
    generator = np.random.default_rng(int(genome[1:]))
    return unit(generator.standard_normal(DIM) + 0.3 * generator.standard_normal((n, DIM)))


def shard(genomes, digests=None, **changes):
    """A store as `embed_windows` makes it; by default every genome has sequences of its own."""
    names = [format_window(genome, "c", w * 1000, w * 1000 + 1000) for genome in genomes for w in range(WINDOWS)]
    vectors = np.concatenate([vectors_of(genome) for genome in genomes])
    left_out = {"duplicates": [], "empty": []}
    digests = digests or {genome: f"d{genome}" for genome in genomes}
    return EmbeddingStore(vectors, names, MANIFEST | {"digests": digests, "genomes_left_out": left_out} | changes)


def names(first, last):
    return [f"g{number}" for number in range(first, last)]


def options(factory="Flat", **changes):
    return IndexOptions(factory=factory, parameters={"nprobe": 4}, version="1", **changes)


def grow(folder, shards, taxonomy=None, **changes):
    grow_index(folder, shards, taxonomy or {}, options(**changes))
    return load_index(folder, name=UNCALIBRATED_NAME)


@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat", "PQ8x4fs,RFlat", "HNSW8", "PCA8,Flat"])
def test_new_genomes_are_appended_wherever_they_stand_in_the_table(tmp_path, factory):
    first = grow(tmp_path, [shard(names(0, 40))], factory=factory)
    grown = grow(tmp_path, [shard(["g90", *names(0, 20)]), shard([*names(20, 40), "g91"])], factory=factory)
    assert grown.table.genomes == [*names(0, 40), "g90", "g91"]
    assert grown.manifest["trained_on"] == first.manifest["trained_on"] == 40 * WINDOWS
    assert grown.index_id != first.index_id
    for genome in ("g0", "g91"):
        rows = grown.search(vectors_of(genome), 1)[1][:, 0]
        found = [grown.table.genomes[code] for code in grown.table.codes[rows]]
        assert found.count(genome) >= WINDOWS - 2


@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat", "PQ8x4fs,RFlat", "IVF4,PQ8x4fsr", "PCA8,IVF4,Flat"])
def test_parts_give_what_one_job_gives(tmp_path, factory):
    shards = [shard(names(0, 15)), shard(names(15, 40)), shard(["g40"])]
    paths = {"trained": tmp_path / "trained.faiss", "growth": tmp_path / "growth.json"}
    for step, wanted in (("build", shards[:2]), ("extend", shards)):
        parts = [tmp_path / f"{step}{number}.faiss" for number in range(len(wanted))]
        train_parts(wanted, tmp_path / "parts", options(factory), **paths)
        for number, (one, part) in enumerate(zip(wanted, parts, strict=True)):
            fill_part(one, number, part=part, **paths)
        grow_index(tmp_path / "parts", wanted, {}, options(factory), parts=parts, **paths)
        in_parts = load_index(tmp_path / "parts", name=UNCALIBRATED_NAME)
        at_once = grow(tmp_path / "once", wanted, factory=factory)
        assert list(in_parts.table.lines()) == list(at_once.table.lines())
        assert in_parts.manifest["trained_on"] == at_once.manifest["trained_on"] == 40 * WINDOWS
        queries = np.concatenate([vectors_of(genome, 3) for genome in names(0, 41)])
        for mine, its in zip(in_parts.search(queries, 5), at_once.search(queries, 5), strict=True):
            assert np.allclose(mine, its, atol=1e-3)


@pytest.mark.parametrize("state", ["gone", "already extended"])
def test_parts_of_another_state_of_the_index_are_not_used(tmp_path, state, caplog):
    """As after a kill in the middle of the job that merges them."""
    shards = [shard(names(0, 15)), shard(names(15, 20))]
    paths = {"trained": tmp_path / "trained.faiss", "growth": tmp_path / "growth.json"}
    parts = [tmp_path / f"{number}.faiss" for number in range(2)]
    folder, factory = tmp_path / "index", "IVF4,Flat"
    grow(folder, shards[:1], factory=factory)
    train_parts(shards, folder, options(factory), **paths)
    for number, (one, part) in enumerate(zip(shards, parts, strict=True)):
        fill_part(one, number, part=part, **paths)
    if state == "gone":
        (folder / UNCALIBRATED_NAME).unlink()
    else:
        grow_index(folder, shards, {}, options(factory), parts=parts, **paths)
    grow_index(folder, shards, {}, options(factory), parts=parts, **paths)
    assert sorted(load_index(folder, name=UNCALIBRATED_NAME).table.genomes) == sorted(names(0, 20))
    assert "another state of the index" in caplog.text


@pytest.mark.parametrize(
    ("wanted", "changes", "reason"),
    [
        (names(1, 40), {}, "1 of its genomes are no longer wanted"),
        (names(0, 40), {"factory": "IVF4,Flat"}, "factory_asked is Flat, IVF4,Flat is asked for"),
        (names(0, 40), {"fingerprint": "0" * 64}, "fingerprint"),
    ],
)
def test_an_index_that_cannot_be_extended_is_built_anew(tmp_path, caplog, wanted, changes, reason):
    caplog.set_level("INFO")
    grow(tmp_path, [shard(names(0, 40))])
    fingerprint = {key: changes.pop(key) for key in ("fingerprint",) if key in changes}
    index = grow(tmp_path, [shard(wanted, **fingerprint)], **changes)
    assert index.table.genomes == wanted
    assert reason in caplog.text


def test_changed_sequences_are_never_kept(tmp_path):
    grow(tmp_path, [shard(["g0", "g1"])])
    planned = plan_growth(
        [shard(["g0", "g1"], {"g0": "other", "g1": "dg1"})], load_index(tmp_path, name=UNCALIBRATED_NAME), options()
    )
    assert not planned.extends
    assert planned.kept == [["g0", "g1"]]


def test_a_trained_index_that_was_outgrown_is_trained_anew(tmp_path):
    grow(tmp_path, [shard(names(0, 10))], factory="IVF*,Flat")
    assert plan_growth(
        [shard(names(0, 40))], load_index(tmp_path, name=UNCALIBRATED_NAME), options("IVF*,Flat")
    ).extends
    assert not plan_growth(
        [shard(names(0, 41))], load_index(tmp_path, name=UNCALIBRATED_NAME), options("IVF*,Flat")
    ).extends


def test_copies_are_left_out_across_shards_and_runs(tmp_path, caplog):
    copy = {"g1": "dg0"}
    index = grow(tmp_path, [shard(["g0"]), shard(["g1"], copy)], {"g0": {"species": "A"}, "g1": {"species": "B"}})
    assert index.table.genomes == ["g0"]
    assert index.manifest["genomes_left_out"] == {"duplicates": ["g1"], "empty": []}
    assert "genome g1 (s__B) has the sequences of g0 (s__A), which has another lineage" in caplog.text
    assert grow(tmp_path, [shard(["g0"]), shard(["g1"], copy), shard(["g2"])]).table.genomes == ["g0", "g2"]


def test_a_damaged_index_is_built_anew(tmp_path, caplog):
    grow(tmp_path, [shard(["g0", "g1"])])
    (tmp_path / "index.faiss").write_bytes(b"x")
    assert grow(tmp_path, [shard(["g0", "g1", "g2"])]).table.genomes == ["g0", "g1", "g2"]
    assert "cannot be extended" in caplog.text


def test_lineages_are_brought_up_to_date(tmp_path):
    first = grow(tmp_path, [shard(["g0", "g1"])], {"g0": {"species": "A b"}})
    second = grow(tmp_path, [shard(["g0", "g1"])], {"g0": {"species": "A c"}}, taxonomy_release="GTDB r226")
    assert second.table.lineages == [{"species": "A c"}, {}]
    assert second.manifest["taxonomy_release"] == "GTDB r226"
    assert first.index_id != second.index_id


def test_a_calibration_is_stale_once_the_index_grew(tmp_path):
    windows = shard(names(0, 5))
    pieces = EmbeddingStore(windows.vectors, windows.names, MANIFEST | {"strata": [500, 2000], "seed": 1})
    grow(tmp_path, [windows])
    with pytest.raises(InputError, match="is not calibrated yet"):
        load_index(tmp_path)
    calibrate_index(tmp_path, windows, pieces, neighbours=1, n_pieces=2)
    calibrated = load_index(tmp_path).manifest["calibration_id"]
    grow(tmp_path, [shard(names(0, 6))])
    assert json.loads((tmp_path / UNCALIBRATED_NAME).read_text())["stale_calibration_id"] == calibrated
    with pytest.raises(InputError, match="the calibration is stale: it is of index"):
        load_index(tmp_path)
    calibrate_index(tmp_path, shard(names(0, 6)), pieces, neighbours=1, n_pieces=2)
    assert load_index(tmp_path).manifest["calibration_id"] != calibrated


@pytest.mark.parametrize("stop", range(4))
def test_a_stop_at_any_write_of_the_merge_is_mended_by_the_next_run(tmp_path, monkeypatch, stop):
    """The merged file, its place, the table of windows and the manifest: before each the job is killed."""
    shards = [shard(names(0, 15)), shard(names(15, 20))]
    paths = {"trained": tmp_path / "parts/trained.faiss", "growth": tmp_path / "parts/growth.json"}
    parts = [tmp_path / f"parts/{number}.faiss" for number in range(2)]
    folder, factory = tmp_path / "index", "IVF4,Flat"
    grow(folder, shards[:1], factory=factory)
    train_parts(shards, folder, options(factory), **paths)
    for number, (one, part) in enumerate(zip(shards, parts, strict=True)):
        fill_part(one, number, part=part, **paths)
    replace, left = Path.replace, [stop]

    def replace_or_stop(path, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_or_stop)
    with pytest.raises(KeyboardInterrupt):
        grow_index(folder, shards, {}, options(factory), parts=parts, **paths)
    monkeypatch.undo()
    try:  # what is there is refused, or whole
        assert load_index(folder, name=UNCALIBRATED_NAME).table.genomes == names(0, 15)
    except InputError:
        assert stop > 0
    grow_index(folder, shards, {}, options(factory), parts=parts, **paths)
    mended = load_index(folder, name=UNCALIBRATED_NAME)
    assert mended.table.genomes == names(0, 20)
    found = mended.search(np.concatenate([vectors_of(genome, 1) for genome in names(0, 20)]), 1)[1][:, 0]
    assert [mended.table.genomes[code] for code in mended.table.codes[found]] == names(0, 20)


def store_shards(folder, shards):
    for number, one in enumerate(shards):
        write_store(folder / str(number), one)
    return [WindowShard(folder / str(number)) for number in range(len(shards))]


@pytest.mark.parametrize("factory", ["Flat", "IVF4,SQ8"])
def test_filled_parts_are_merged_without_their_vectors(tmp_path, factory):
    """As at 10^8 windows, of which the vectors need not be on one disk; some windows have no direction."""
    shards = [shard(names(0, 15)), shard(names(15, 40)), shard(["g40", "g41"])]
    for one in shards:
        one.vectors[3] = 0
    held = store_shards(tmp_path / "windows", shards)
    paths = {"trained": tmp_path / "trained.faiss", "growth": tmp_path / "growth.json"}
    for wanted in (2, 3):
        parts = [tmp_path / f"{wanted}.{number}.faiss" for number in range(wanted)]
        train_parts(held[:wanted], tmp_path / "parts", options(factory), **paths)
        for number, part in enumerate(parts):
            fill_part(held[number], number, part=part, **paths)
        for number in range(1, wanted):
            (tmp_path / f"windows/{number}/vectors.npy").rename(tmp_path / f"{number}.npy")
        opened = [WindowShard(tmp_path / f"windows/{number}") for number in range(wanted)]
        in_parts = grow_index(tmp_path / "parts", opened, {}, options(factory), parts=parts, **paths)
        for number in range(1, wanted):
            (tmp_path / f"{number}.npy").rename(tmp_path / f"windows/{number}/vectors.npy")
        at_once = grow(tmp_path / "once", shards[:wanted], factory=factory)
        if wanted == 2:  # what an extension adds, it chains in lots
            assert in_parts.manifest["vectors_sha256"] == at_once.manifest["vectors_sha256"]
        assert in_parts.manifest["n"] == at_once.manifest["n"] == [0, 0, 398, 417][wanted]
        assert (tmp_path / "parts/ids.tsv").read_bytes() == (tmp_path / "once/ids.tsv").read_bytes()
        queries = np.concatenate([vectors_of(genome, 3) for genome in names(0, 42)])
        found = load_index(tmp_path / "parts", name=UNCALIBRATED_NAME).search(queries, 5)
        for mine, its in zip(found, at_once.search(queries, 5), strict=True):
            assert np.array_equal(mine, its)


@pytest.mark.parametrize("factory", ["Flat", "PCA8,Flat"])
def test_an_index_may_begin_with_a_window_without_direction(tmp_path, factory):
    """What is drawn for training of an exact index is its first row."""
    shards = [shard(["g0"]), shard(names(1, 4))]
    shards[0].vectors[:] = 0
    shards[1].vectors[0] = 0
    assert grow(tmp_path / "once", shards, factory=factory).manifest["n"] == 29
    paths = {"trained": tmp_path / "trained.faiss", "growth": tmp_path / "growth.json"}
    parts = [tmp_path / f"{number}.faiss" for number in range(2)]
    train_parts(shards, tmp_path / "parts", options(factory), **paths)
    for number, part in enumerate(parts):
        fill_part(shards[number], number, part=part, **paths)
    grow_index(tmp_path / "parts", shards, {}, options(factory), parts=parts, **paths)
    assert (tmp_path / "parts/ids.tsv").read_bytes() == (tmp_path / "once/ids.tsv").read_bytes()
    with pytest.raises(InputError, match="none of the reference windows can be indexed"):
        grow(tmp_path / "none", shards[:1], factory=factory)


@pytest.mark.parametrize(
    ("changes", "is_sealed"),
    [
        *product(({"n": 28}, {"n": 0}, {"left_out": []}, {"left_out": [3, 300]}, None), (False, True)),
        ({"left_out": [4]}, False),
    ],
)
def test_what_a_part_says_of_its_rows_must_fit_them(tmp_path, changes, is_sealed):
    """Changed by hand, or of another part."""
    one, part = shard(names(0, 3)), tmp_path / "0.faiss"
    one.vectors[3] = 0
    paths = {"trained": tmp_path / "trained.faiss", "growth": tmp_path / "growth.json"}
    train_parts([one], tmp_path / "index", options(), **paths)
    fill_part(one, 0, part=part, **paths)
    content = json.loads(rows_file(part).read_text())
    assert (content["n"], content["left_out"]) == (29, [3])
    content = {} if changes is None else content | changes
    if is_sealed:
        content.pop(SEAL, None)
        write_manifest(tmp_path, content, name=rows_file(part).name, sealed=True)
    else:
        rows_file(part).write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"0\.json: [\s\S]*delete {tmp_path} and run again"):
        grow_index(tmp_path / "index", [one], {}, options(), parts=[part], **paths)


@pytest.mark.parametrize("change", [("}", ""), ("false", "true"), ('"kept"', '"left"')])
def test_a_damaged_plan_of_the_growth_is_refused(tmp_path, change):
    one, part = shard(names(0, 3)), tmp_path / "0.faiss"
    paths = {"trained": tmp_path / "trained.faiss", "growth": tmp_path / "growth.json"}
    train_parts([one], tmp_path / "index", options(), **paths)
    text = paths["growth"].read_text()
    paths["growth"].write_text(text.replace(*change))
    assert paths["growth"].read_text() != text
    with pytest.raises(InputError, match=rf"growth\.json: [\s\S]*delete {tmp_path} and run again"):
        fill_part(one, 0, part=part, **paths)


@pytest.mark.parametrize(("name", "message"), [("contigs.txt", "names do not match"), ("vectors.npy", "not what the")])
@pytest.mark.parametrize("is_gone", [False, True])
def test_a_damaged_shard_is_refused_where_it_is_used(tmp_path, name, message, is_gone):
    (one,) = store_shards(tmp_path, [shard(names(0, 3))])
    content = bytearray((tmp_path / "0" / name).read_bytes())
    content[-2] ^= 1
    (tmp_path / "0" / name).write_bytes(content)
    if is_gone:
        (tmp_path / "0" / name).unlink()
    with pytest.raises(InputError, match="missing" if is_gone else message):
        grow_index(tmp_path / "index", [one], {}, options())


def test_the_rows_of_training_are_spread_evenly_over_what_is_kept():
    shards = [shard(names(0, 15)), shard(names(15, 40)), shard(["g40"])]
    shards[2].vectors[4] = 0
    kept = [names(0, 10), [], ["g40"]]
    rows = np.concatenate([shards[0].vectors[:100], shards[2].vectors])
    for wanted in (1, 7, 109, 110, 1000):
        chosen = np.arange(min(wanted, 110)) * 110 // min(wanted, 110)
        expected = rows[chosen[chosen != 104]]
        assert np.array_equal(sample_vectors(shards, kept, 110, wanted), expected)
    assert sample_vectors(shards, [[], [], []], 0, 5).shape == (0, DIM)

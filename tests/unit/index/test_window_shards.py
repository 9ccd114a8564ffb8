"""Stores of windows that are read one at a time."""

import json

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.index.shards import open_shards
from workflow_lib.index.windows import format_window
from workflow_lib.novelty.scores import genome_means
from workflow_lib.store import EmbeddingStore, write_store

DIM = 8


def store(genomes, **changes):
    generator = np.random.default_rng(len(genomes))
    vectors = generator.standard_normal((5 * len(genomes), DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = [format_window(genome, "c", row, row + 9) for genome in genomes for row in range(5)]
    manifest = {"embedder": "test", "fingerprint": "f" * 64, "dim": DIM, "window": 1000}
    return EmbeddingStore(vectors, names, manifest | changes)


def test_means_of_genomes_do_not_depend_on_the_shards(tmp_path):
    stores = [store(["a", "b"]), store(["c", "d", "e"])]
    stores[0].vectors[7] = 0
    for number, one in enumerate(stores):
        write_store(tmp_path / str(number), one)
    joined = EmbeddingStore(np.concatenate([s.vectors for s in stores]), stores[0].names + stores[1].names)
    genomes = ["e", "b", "a"]  # in another order, and not all
    expected = genome_means(joined, genomes)
    write_store(tmp_path / "joined/0", EmbeddingStore(joined.vectors, joined.names, stores[0].manifest))
    (alone,) = open_shards([tmp_path / "joined/0/manifest.json"])
    for windows in (stores, open_shards(tmp_path.glob("*/*")), alone):
        found = genome_means(windows, genomes)
        assert all(np.array_equal(mine, its) for mine, its in zip(found, expected, strict=True))
    rows = joined.vectors[5:10][[0, 1, 3, 4]]
    assert np.allclose(expected[0][1], rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0)), atol=1e-6)


@pytest.mark.parametrize("changes", [{"fingerprint": "0" * 64}, {"window": 999}])
def test_shards_of_other_embedders_or_windows_are_not_mixed(tmp_path, changes):
    write_store(tmp_path / "0", store(["a"]))
    write_store(tmp_path / "1", store(["b"], **changes))
    with pytest.raises(InputError, match="the first shard has"):
        open_shards([tmp_path / "0/manifest.json", tmp_path / "1/vectors.npy", tmp_path / "1/manifest.json"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda names: names[:-1],
        lambda names: b"\xff" + names[1:],
        lambda names: names.replace(b"|", b"_", 1),
        lambda names: names.replace(b"|c|", b"|d|", 1),
        lambda names: names.replace(b"a|", b"b|", 1),
        lambda names: b"",
    ],
    ids=["last line's end", "no text", "bar", "another name", "order", "empty"],
)
def test_damaged_names_are_told_as_such(tmp_path, damage):
    write_store(tmp_path, store(["a", "b"]))
    path = tmp_path / "contigs.txt"
    path.write_bytes(damage(path.read_bytes()))
    (shard,) = open_shards([tmp_path / "manifest.json"])
    with pytest.raises(InputError, match=rf"{path}: the names do not match[\s\S]*delete {tmp_path} and run again"):
        shard.tabulate({})


def test_a_manifest_of_another_number_of_windows_is_refused(tmp_path):
    write_store(tmp_path, store(["a", "b"]))
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"n": 9}))
    with pytest.raises(InputError, match="the names do not match the manifest"):
        open_shards([path])[0].tabulate({})
    for key in ("n", "dim"):
        path.write_text(json.dumps({name: value for name, value in content.items() if name != key}))
        with pytest.raises(InputError, match=rf"{path}: no entry '{key}'[\s\S]*delete {tmp_path} and run again"):
            open_shards([path])

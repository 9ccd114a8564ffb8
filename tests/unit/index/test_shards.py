"""Stores of windows that are read one at a time."""

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
    for found in (genome_means(stores, genomes), genome_means(open_shards(tmp_path.glob("*/*")), genomes)):
        assert all(np.array_equal(mine, its) for mine, its in zip(found, expected, strict=True))
    rows = joined.vectors[5:10][[0, 1, 3, 4]]
    assert np.allclose(expected[0][1], rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0)), atol=1e-6)


@pytest.mark.parametrize("changes", [{"fingerprint": "0" * 64}, {"window": 999}])
def test_shards_of_other_embedders_or_windows_are_not_mixed(tmp_path, changes):
    write_store(tmp_path / "0", store(["a"]))
    write_store(tmp_path / "1", store(["b"], **changes))
    with pytest.raises(InputError, match="the first shard has"):
        open_shards([tmp_path / "0/manifest.json", tmp_path / "1/vectors.npy", tmp_path / "1/manifest.json"])

"""Genomes that were embedded before are found by their file, whole or not at all."""

import numpy as np
import pytest

from workflow_lib.embed import load_embedder
from workflow_lib.fasta import write_fasta
from workflow_lib.index.genome_cache import GenomeCache, GenomeWindows
from workflow_lib.index.reference import embed_windows
from workflow_lib.tables import Genome

OPTIONS = {"window": 1000, "shard_mbp": 0.002}


def random_sequence(seed, length):
    return bytes(np.random.default_rng(seed).choice(np.frombuffer(b"ACGT", np.uint8), length))


@pytest.fixture
def genome(tmp_path):
    write_fasta(tmp_path / "a.fa.gz", [("c1", random_sequence(1, 5200)), ("c|2", random_sequence(2, 900))])
    return Genome("a", str(tmp_path / "a.fa.gz"), {})


@pytest.fixture
def cache(tmp_path):
    def make(**changes):
        return GenomeCache(load_embedder("tnf"), tmp_path / "shards", **({"version": "1"} | OPTIONS | changes))

    return make


@pytest.fixture
def embedded(cache, genome):
    """What a first run gives."""
    fresh = cache()
    return fresh.embed(*fresh.read(genome))


def test_a_known_file_gives_the_same_windows(cache, genome, embedded):
    known = cache().read(genome)
    assert isinstance(known, GenomeWindows)
    assert known.names == embedded.names
    assert known.names[:2] == ["a|c1|0|1000", "a|c1|1000|2000"]
    assert (known.digest, known.n_contigs) == (embedded.digest, 2)
    assert np.array_equal(known.vectors, embedded.vectors)


def test_the_name_of_a_genome_does_not_count(cache, genome, embedded):
    other = cache().read(Genome("b", genome.fasta, {}))
    assert other.names == [name.replace("a|", "b|", 1) for name in embedded.names]


@pytest.mark.parametrize("changes", [{"version": "2"}, {"window": 500}])
def test_other_code_or_windows_are_not_known(cache, genome, embedded, changes):
    assert not isinstance(cache(**changes).read(genome), GenomeWindows)


def test_a_changed_file_is_read_anew(cache, genome, embedded):
    write_fasta(genome.fasta, [("c1", random_sequence(3, 5200)), ("c|2", random_sequence(2, 900))])
    loaded, record = cache().read(genome)
    assert loaded.digest != embedded.digest
    again = cache()
    assert again.embed(loaded, record).digest == loaded.digest
    assert isinstance(again.read(genome), GenomeWindows)


@pytest.mark.parametrize("kind", ["record", "shard"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_damage_is_found_and_mended(tmp_path, cache, genome, embedded, kind, damage):
    (path, *_) = sorted((tmp_path / "shards").rglob("*.json" if kind == "record" else "*.npy"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    {
        "flipped": lambda: path.write_bytes(content),
        "cut": lambda: path.write_bytes(content[: len(content) // 2]),
        "gone": path.unlink,
    }[damage]()
    fresh = cache()
    found = fresh.read(genome)
    assert not isinstance(found, GenomeWindows)
    mended = fresh.embed(*found)
    assert mended.names == embedded.names
    assert np.array_equal(mended.vectors, embedded.vectors)
    assert isinstance(cache().read(genome), GenomeWindows)


def test_only_new_genomes_are_read_and_embedded(tmp_path, genome, caplog):
    caplog.set_level("INFO")
    write_fasta(tmp_path / "b.fa", [("c1", random_sequence(5, 3000))])
    write_fasta(tmp_path / "copy.fa", [("other", random_sequence(5, 3000))])
    new, copy = (Genome(name, str(tmp_path / f"{name}.fa"), {}) for name in ("b", "copy"))
    options = OPTIONS | {"shard_folder": tmp_path / "shards"}
    first = embed_windows(load_embedder("tnf"), [genome], **options)
    second = embed_windows(load_embedder("tnf"), [new, genome, copy], **options)
    assert "2 genomes, 1 of them known before" in caplog.text
    assert second.names[-len(first.names) :] == first.names
    assert np.array_equal(second.vectors[-len(first.names) :], first.vectors)
    assert second.manifest["genomes_left_out"]["duplicates"] == ["copy"]
    third = embed_windows(load_embedder("tnf"), [copy, genome, new], **options)
    assert third.manifest["genomes_left_out"]["duplicates"] == ["b"]
    assert second.manifest["digests"]["b"] == third.manifest["digests"]["copy"]

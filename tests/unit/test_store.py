"""The embedding store and its manifest: round trips, and every kind of damage is found and named."""

import json
import resource

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.manifest import read_manifest, write_manifest
from workflow_lib.store import EmbeddingStore, read_store, write_store


def make_store(n=5, dim=3, names=None):
    vectors = np.random.default_rng(1).normal(size=(n, dim)).astype(np.float32)
    return EmbeddingStore(vectors, names or [f"contig_{i}" for i in range(n)], {"fingerprint": "ab"})


@pytest.fixture
def folder(tmp_path):
    write_store(tmp_path / "store", make_store())
    return tmp_path / "store"


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_round_trip(tmp_path, n, mmap):
    store = make_store(n)
    write_store(tmp_path, store)
    again = read_store(tmp_path, mmap=mmap)
    assert again.names == store.names
    assert np.array_equal(again.vectors, store.vectors)
    assert again.vectors.dtype == np.float32
    assert (again.manifest["n"], again.manifest["dim"], again.manifest["fingerprint"]) == (n, 3, "ab")


def test_same_store_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_store(tmp_path / name, make_store())
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["contigs.txt", "manifest.json", "vectors.npy"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_names_with_unusual_separators_keep_their_rows(tmp_path):
    names = ["a\x1cb", "c\u2028d", "e\x85f"]  # no blanks to FASTA, but line ends to str.splitlines
    write_store(tmp_path, make_store(3, names=names))
    assert read_store(tmp_path).names == names


@pytest.mark.parametrize("vectors", [np.zeros((2, 3)), np.zeros(2, dtype=np.float32)])
def test_only_float32_matrices_make_a_store(vectors):
    with pytest.raises(InputError, match=r"expected float32 \(n, d\)"):
        EmbeddingStore(vectors, ["a", "b"])


def test_as_many_names_as_vectors():
    with pytest.raises(InputError, match="2 vectors but 1 names"):
        EmbeddingStore(np.zeros((2, 3), dtype=np.float32), ["a"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["contig_0", "contig_1"], "has 2 rows, the embeddings have 5"),
        ([f"contig_{i}" for i in (1, 0, 2, 3, 4)], "or another order"),
        (
            ["contig_0", "contig_1", "contig_2", "contig_3", "other"],
            r"missing there: \['contig_4'\]; only",
        ),
    ],
)
def test_joins_with_other_rows_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        make_store().check_names(names, "depth.tsv")
    make_store().check_names(make_store().names, "depth.tsv")


@pytest.mark.parametrize("name", ["vectors.npy", "contigs.txt"])
def test_one_flipped_byte_is_found(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: SHA-256 is .* the manifest says"):
        read_store(folder)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", ["vectors.npy", "contigs.txt"])
def test_truncated_and_missing_files_are_named(folder, name, verify):
    content = (folder / name).read_bytes()
    for size in (len(content) // 2, 0):
        (folder / name).write_bytes(content[:size])
        with pytest.raises(InputError) as caught:
            read_store(folder, verify=verify)
        assert str(folder) in str(caught.value)
        assert "delete" in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        read_store(folder, verify=verify)


def test_names_of_another_store_are_found_without_checksums(folder):
    (folder / "contigs.txt").write_text("".join(f"other_{i}\n" for i in range(5)))
    with pytest.raises(InputError, match="the names do not match the manifest"):
        read_store(folder, verify=False)


def test_an_unfinished_store_is_refused(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match="never finished"):
        read_store(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"checksums": []}'])
def test_a_damaged_manifest_is_refused(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_store(folder)


def test_a_failed_write_leaves_no_manifest(folder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as a full disk: larger files cannot be written
    try:
        with pytest.raises(OSError, match="too large"):
            write_store(folder, make_store(7, dim=100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in folder.iterdir()) == ["contigs.txt", "vectors.npy"]
    with pytest.raises(InputError, match="never finished"):
        read_store(folder)


def test_manifest_guards_extra_files(tmp_path):
    (tmp_path / "pieces.npz").write_bytes(b"pieces")
    write_store(tmp_path, make_store(), extra_files=["pieces.npz"])
    (tmp_path / "pieces.npz").write_bytes(b"others")
    with pytest.raises(InputError, match=r"pieces\.npz: SHA-256"):
        read_store(tmp_path)


def test_manifest_round_trip(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    write_manifest(tmp_path, {"z": 1, "a": [1.5, None]}, checksums=["a.bin"])
    content = read_manifest(tmp_path)
    assert content["z"] == 1
    assert content["a"] == [1.5, None]
    assert list(content["checksums"]) == ["a.bin"]
    text = (tmp_path / "manifest.json").read_text()
    assert text == json.dumps(content, indent=2, sort_keys=True) + "\n"


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"abd"), lambda file: file.unlink()])
def test_the_remedy_for_a_damaged_file_is_the_callers(tmp_path, damage):
    (tmp_path / "a.bin").write_bytes(b"abc")
    write_manifest(tmp_path, {}, checksums=["a.bin"])
    damage(tmp_path / "a.bin")
    with pytest.raises(InputError, match="run again"):
        read_manifest(tmp_path)
    with pytest.raises(InputError, match="ask for it") as caught:
        read_manifest(tmp_path, remedy="ask for it")
    assert "run again" not in str(caught.value)

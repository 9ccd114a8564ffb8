"""What the system is told of memory-mapped index files."""

import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from workflow_lib.index import disk_merge
from workflow_lib.index.approximate import read_faiss, write_faiss
from workflow_lib.index.read_ahead import expect_scans

N, DIM = 20_000, 32


def random_share(path):
    """Share of the mapped bytes of a file that the system is told to read a page at a time (`rr` in smaps)."""
    sizes, mapping = {True: 0, False: 0}, ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0] and not line.split()[0].endswith(":"):
            mapping = line
        elif mapping.endswith(str(path)) and line.startswith("Size:"):
            size = int(line.split()[1])
        elif mapping.endswith(str(path)) and line.startswith("VmFlags:"):
            sizes["rr" in line.split()] += size
    return sizes[True] / sum(sizes.values())


ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="smaps is Linux'")


@ON_LINUX
@pytest.mark.parametrize(
    ("factory", "left", "left_refined"),
    [
        ("Flat", 0, 0), ("IVF8,Flat", 0, 0), ("IVF8,SQ8", 0, 0), ("PCA16,IVF8,Flat", 0, 0), ("SQ8", 0, 0),
        ("IVF8,SQ8,RFlat", 0.75, 0), ("PCA16,IVF8,SQ8,RFlat", 0.85, 0), ("HNSW8", 1, 1),
    ],
)  # fmt: skip
def test_lists_and_codes_are_read_ahead_and_single_rows_are_not(tmp_path, factory, left, left_refined):
    vectors = np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float32)
    index = faiss.index_factory(DIM, factory)
    index.train(vectors)
    index.add(vectors)
    write_faiss(tmp_path / "index.faiss", index)
    plain = faiss.read_index(str(tmp_path / "index.faiss"), faiss.IO_FLAG_MMAP_IFC)
    assert random_share(tmp_path / "index.faiss") == 1  # as FAISS has it; else this module is no longer needed
    del plain
    mapped = read_faiss(tmp_path / "index.faiss")
    assert random_share(tmp_path / "index.faiss") == pytest.approx(left, abs=0.1)
    expect_scans(mapped, refined=True)
    assert random_share(tmp_path / "index.faiss") == pytest.approx(left_refined, abs=0.1)
    for mine, its in zip(mapped.search(vectors[:9], 5), index.search(vectors[:9], 5), strict=True):
        assert np.array_equal(mine, its)


@ON_LINUX
def test_a_merge_reads_the_vectors_behind_codes_ahead(tmp_path, monkeypatch):
    vectors, path = np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float32), tmp_path / "part.faiss"
    index = faiss.index_factory(DIM, "PCA16,IVF8,SQ8,RFlat")
    index.train(vectors)
    trained = faiss.clone_index(index)
    index.add(vectors)
    write_faiss(path, index)
    shares, write = [], disk_merge._write_merged

    def watch(*arguments):
        shares.append(random_share(path))
        write(*arguments)

    monkeypatch.setattr(disk_merge, "_write_merged", watch)
    disk_merge.merge_files(tmp_path / "merged.faiss", trained, [path])
    assert shares[0] == pytest.approx(0, abs=0.1)


def test_an_empty_index_has_nothing_to_read(tmp_path):
    for factory in ("Flat", "IVF8,Flat", "SQ8"):
        index = faiss.index_factory(DIM, factory)
        index.train(np.random.default_rng(0).standard_normal((400, DIM)).astype(np.float32))
        write_faiss(tmp_path / "index.faiss", index)
        assert read_faiss(tmp_path / "index.faiss").ntotal == 0

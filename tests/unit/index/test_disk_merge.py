"""Index files merged on disk: the bytes of one job, in bounded memory."""

import subprocess
import sys
import textwrap
from functools import cache
from itertools import pairwise

import faiss
import numpy as np
import pytest

from workflow_lib.index.approximate import add_rows, read_faiss, train_faiss, write_faiss
from workflow_lib.index.disk_merge import can_merge, clear_rows, merge_files
from workflow_lib.index.factories import can_fill_in_parts, plan_index

DIM, N = 16, 400
KINDS = [
    *("Flat", "PCA8,Flat", "SQ8", "PQ8x4fs", "RaBitQ4", "PQ8x4fs,RFlat", "RaBitQ,RFlat"),
    *("IVF8,Flat", "PCA8,IVF8,Flat", "IVF8,SQ8", "IVF8,RaBitQ", "IVF8,SQ8,RFlat", "PCA8,IVF8,SQ8,RFlat"),
    *("IMI2x3,Flat", "IVF64,Flat"),
    *("IVF8,PQ8x4fs", "IVF64,PQ8x4fsr", "IMI2x3,PQ8x4fs", "OPQ4_8,IVF8,PQ4x4fsr,RFlat", "PCA8,IVF8,PQ4x4fs"),
]  # fmt: skip


def rows(n, seed=0):
    drawn = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@cache
def trained(factory):
    """The bytes of an empty index."""
    return faiss.serialize_index(train_faiss(rows(N, seed=1), plan_index(factory, N, DIM)))


def empty(factory):
    return faiss.deserialize_index(trained(factory))


@pytest.mark.parametrize(("factory", "sizes"), [*((kind, (70, 0, 130)) for kind in KINDS), ("IVF64,Flat", (5,))])
def test_a_merged_file_is_what_one_job_writes(tmp_path, factory, sizes):
    assert can_fill_in_parts(factory)
    assert can_merge(empty(factory))
    vectors = rows(sum(sizes))
    once = empty(factory)
    bounds = np.cumsum([0, *sizes])
    for number, (first, last) in enumerate(pairwise(bounds)):
        part = empty(factory)
        add_rows(part, vectors[first:last])
        add_rows(once, vectors[first:last])
        write_faiss(tmp_path / str(number), part)
    write_faiss(tmp_path / "once", once)
    parts = [tmp_path / str(number) for number in range(len(sizes))]
    merge_files(tmp_path / "merged", empty(factory), parts)
    merged = read_faiss(tmp_path / "merged")
    for mine, expected in zip(merged.search(rows(50, seed=2), 3), once.search(rows(50, seed=2), 3), strict=True):
        assert np.array_equal(mine, expected)
    if not factory.startswith("PQ8x4fs"):  # whose last block is filled up with what was in memory
        assert (tmp_path / "merged").read_bytes() == (tmp_path / "once").read_bytes()


@pytest.mark.parametrize("factory", KINDS)
def test_an_index_is_emptied_and_filled_again(tmp_path, factory):
    index = empty(factory)
    add_rows(index, rows(200))
    write_faiss(tmp_path / "full", index)
    emptied = read_faiss(tmp_path / "full")
    clear_rows(emptied)
    assert emptied.ntotal == 0
    merge_files(tmp_path / "merged", emptied, [tmp_path / "full"])
    merged = read_faiss(tmp_path / "merged")
    for mine, expected in zip(merged.search(rows(50, seed=2), 3), index.search(rows(50, seed=2), 3), strict=True):
        assert np.array_equal(mine, expected)


@pytest.mark.parametrize("factory", ["HNSW8", "PCA8,HNSW8"])
def test_kinds_that_cannot_be_merged_are_known(factory):
    assert not can_fill_in_parts(factory)
    assert not can_merge(empty(factory))


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat", "PQ8x4fs,RFlat"])
def test_whole_vectors_are_never_all_in_memory(tmp_path, factory):
    """Anonymous memory while 200 MB are merged; pages of the files are the kernel's to drop."""
    plan = plan_index(factory, 2000, 512)
    drawn = np.random.default_rng(0).standard_normal((25_000, 512), dtype=np.float32)
    index = train_faiss(drawn[:2000], plan)
    write_faiss(tmp_path / "trained", index)
    add_rows(index, drawn)
    write_faiss(tmp_path / "part", index)
    script = """
        import re, sys, threading, time
        from pathlib import Path
        from workflow_lib.index.approximate import read_faiss
        from workflow_lib.index.disk_merge import merge_files
        folder, peak, done = Path(sys.argv[1]), 0, False
        anonymous = lambda: int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e3
        def watch():
            global peak
            while not done:
                peak = max(peak, anonymous())
                time.sleep(0.002)
        trained = read_faiss(folder / "trained", mmap=False)
        before = anonymous()
        watcher = threading.Thread(target=watch)
        watcher.start()
        merge_files(folder / "merged", trained, [folder / "part"] * 4)
        done = True
        watcher.join()
        print(peak - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "merged").stat().st_size > 200e6
    assert float(done.stdout) < 60
    assert faiss.read_index(str(tmp_path / "merged"), faiss.IO_FLAG_MMAP_IFC).ntotal == 100_000

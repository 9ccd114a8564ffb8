"""Shards: finished work is never repeated, damaged work is never trusted, another model never reuses it."""

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from workflow_lib.embed import embed_records, load_embedder
from workflow_lib.embed import shards as shards_module
from workflow_lib.embed.shards import ShardCache
from workflow_lib.errors import InputError

SHARD_MBP = 0.01


class Counting:
    """TNF that counts the sequences it embeds, and can fail after some calls."""

    def __init__(self, *, fail_after=None, **options):
        self._inner = load_embedder("tnf", **options)
        self.name, self.dim, self.fingerprint = self._inner.name, self._inner.dim, self._inner.fingerprint
        self.calls, self.embedded, self.fail_after = 0, 0, fail_after

    def embed(self, sequences):
        if self.calls == self.fail_after:
            raise RuntimeError("out of memory")
        self.calls += 1
        self.embedded += len(sequences)
        return self._inner.embed(sequences)


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(3)
    alphabet = np.frombuffer(b"ACGT", dtype=np.uint8)
    lengths = rng.integers(1000, 6000, 30)
    return [(f"contig_{i}", rng.choice(alphabet, length).tobytes()) for i, length in enumerate(lengths)]


@pytest.fixture
def run(tmp_path, records):
    def embed(embedder, records=records, **options):
        options = {"shard_folder": tmp_path / "shards", "shard_mbp": SHARD_MBP} | options
        return embed_records(embedder, records, **options)

    return embed


def shard_files(tmp_path):
    return sorted((tmp_path / "shards").rglob("*.npy"))


def test_names_and_vectors_as_without_shards(run, records):
    names, vectors = run(Counting())
    assert names == [name for name, _ in records]
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert np.array_equal(vectors, load_embedder("tnf").embed([sequence for _, sequence in records]))


@pytest.mark.parametrize("shard_mbp", [1e-6, 0.003, 0.02, 100])
def test_the_size_of_shards_does_not_change_the_result(run, shard_mbp):
    assert np.array_equal(run(Counting(), shard_mbp=shard_mbp)[1], run(Counting())[1])


def test_a_second_run_computes_nothing(run, caplog):
    first, again = Counting(), Counting()
    with caplog.at_level("INFO"):
        _, expected = run(first)
        _, found = run(again)
    assert again.calls == 0
    assert np.array_equal(found, expected)
    assert f"30 sequences: {first.calls} shards computed, 0 reused" in caplog.text
    assert f"30 sequences: 0 shards computed, {first.calls} reused" in caplog.text
    assert "Mbp/s" in caplog.text


def test_a_failed_run_keeps_its_finished_shards(run, tmp_path):
    with pytest.raises(RuntimeError, match="out of memory"):
        run(Counting(fail_after=3))
    assert len(shard_files(tmp_path)) == 3
    again, whole = Counting(), Counting()
    _, found = run(again)
    _, expected = run(whole, shard_folder=tmp_path / "other")
    assert again.calls == whole.calls - 3
    assert np.array_equal(found, expected)


def test_an_error_of_the_reader_keeps_finished_shards(run, records, tmp_path):
    def broken():
        yield from records[:20]
        raise InputError("the gzip data end early")

    with pytest.raises(InputError, match="end early"):
        run(Counting(), broken())
    assert len(shard_files(tmp_path)) >= 5


def test_a_killed_job_loses_at_most_the_shards_in_work(tmp_path, root):
    code = """
    import os, signal
    import numpy as np
    from workflow_lib.embed import embed_records

    class Embedder:
        name, dim, fingerprint, calls = "dim1", 1, "ab" * 32, 0
        def embed(self, sequences):
            self.calls += 1
            if self.calls == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            return np.ones((len(sequences), 1), dtype=np.float32)

    embed_records(Embedder(), [(str(i), b"A" * (100 + i)) for i in range(9)], shard_folder="shards", shard_mbp=1e-6)
    """
    job = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert job.returncode == -signal.SIGKILL
    assert len(shard_files(tmp_path)) == 4


DAMAGES = {
    "flipped byte": lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
    "flipped checksum": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "truncated": lambda content: content[: len(content) // 2],
    "no checksum": lambda content: content[:-32],
    "empty": lambda content: b"",
    "something else": lambda content: b"not a shard",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_shard_is_computed_anew(run, tmp_path, caplog, damage):
    _, expected = run(Counting())
    path = shard_files(tmp_path)[2]
    content = path.read_bytes()
    path.write_bytes(damage(content))
    again = Counting()
    _, found = run(again)
    assert again.calls == 1
    assert np.array_equal(found, expected)
    assert path.read_bytes() == content
    warnings = [entry.getMessage() for entry in caplog.records if entry.levelname == "WARNING"]
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert "damaged" in warnings[0]


def test_a_shard_under_the_name_of_another_is_not_trusted(run, tmp_path):
    _, expected = run(Counting())
    one, other = shard_files(tmp_path)[:2]
    other.write_bytes(one.read_bytes())
    again = Counting()
    assert np.array_equal(run(again)[1], expected)
    assert again.calls == 1


def test_another_model_never_reuses_a_shard(run, tmp_path):
    run(Counting())
    other = Counting(both_strands=False)
    _, vectors = run(other)
    assert other.embedded == 30
    assert not np.array_equal(vectors, run(Counting())[1])
    folders = {path.parent.name for path in shard_files(tmp_path)}
    assert folders == {Counting().fingerprint[:16], other.fingerprint[:16]}


def test_the_key_holds_all_that_decides_a_shard(tmp_path):
    cache = ShardCache(Counting(), tmp_path)
    keys = {
        cache.key([b"ACGT", b"GG"]),
        cache.key([b"GG", b"ACGT"]),
        cache.key([b"ACGTG", b"G"]),
        cache.key([b"ACGTGG"]),
        cache.key([b"ACGTGG", b""]),
        ShardCache(Counting(), tmp_path, kind="half").key([b"ACGT", b"GG"]),
        ShardCache(Counting(both_strands=False), tmp_path).key([b"ACGT", b"GG"]),
    }
    assert len(keys) == 7
    assert cache.key([b"ACGT", b"GG"]) in keys


def test_shards_are_plain_arrays(run, tmp_path):
    _, vectors = run(Counting(), shard_mbp=100)
    (path,) = shard_files(tmp_path)
    assert np.array_equal(np.load(path), vectors)


def test_a_shard_is_bounded_in_bp_and_in_sequences(run, records, monkeypatch, tmp_path):
    embedder = Counting()
    run(embedder, [("long", b"ACGTA" * 10_000), *records])
    n_bp = sum(len(sequence) for _, sequence in records)
    assert 1 + n_bp / 17_000 < embedder.calls <= 2 + n_bp / 10_000
    monkeypatch.setattr(shards_module, "MAX_SEQUENCES", 7)
    embedder = Counting()
    run(embedder, shard_mbp=100, shard_folder=tmp_path / "other")
    assert embedder.calls == 5


def test_reading_stays_one_shard_ahead(run, records):
    embedder, read = Counting(), 0
    ahead = []

    def stream():
        nonlocal read
        for record in records:
            read += 1
            ahead.append(read - embedder.embedded)
            yield record

    run(embedder, stream(), shard_mbp=1e-6)  # one sequence a shard
    assert max(ahead) <= 3  # one embedded, one waiting, one being read


def test_no_records(run, tmp_path):
    names, vectors = run(Counting(), [])
    assert names == []
    assert vectors.shape == (0, 256)
    assert vectors.dtype == np.float32
    assert shard_files(tmp_path) == []


def test_records_may_carry_more_fields(run):
    names, vectors = run(Counting(), [("a", b"ACGTACGT", 1), ("b", b"", 3)])
    assert names == ["a", "b"]
    assert vectors[0].any()
    assert not vectors[1].any()


def test_jobs_may_write_the_same_shards_at_the_same_time(run, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: run(Counting())[1], range(8)))
    assert all(np.array_equal(result, results[0]) for result in results)
    again = Counting()
    run(again)
    assert again.calls == 0
    litter = [path for path in (tmp_path / "shards").rglob("*") if path.is_file() and path.name.startswith(".")]
    assert litter == []


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.full((1, 256), np.nan, dtype=np.float32), "NaN or infinite values for 1 of 1"),
        (np.zeros((2, 256), dtype=np.float32), r"float32 \(2, 256\), expected float32 \(1, 256\)"),
        (np.zeros((1, 256)), "gave float64"),
    ],
)
def test_a_broken_embedder_is_refused_and_nothing_saved(run, tmp_path, vectors, message):
    embedder = Counting()
    embedder.embed = lambda sequences: vectors
    with pytest.raises(InputError, match=message):
        run(embedder, [("a", b"ACGT")])
    assert shard_files(tmp_path) == []


@pytest.mark.parametrize("shard_mbp", [0, -1, float("nan")])
def test_the_size_must_be_positive(run, shard_mbp):
    with pytest.raises(InputError, match="expected a positive number"):
        run(Counting(), shard_mbp=shard_mbp)

"""The store of a sample and the halves of its contigs."""

import numpy as np
import pytest

from workflow_lib.embed import embed_fasta, load_embedder
from workflow_lib.embed.sample import ENOUGH_PIECES, choose_pieces
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta
from workflow_lib.store import read_store


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(3)
    alphabet = np.frombuffer(b"ACGT", dtype=np.uint8)
    lengths = rng.integers(500, 6001, 40)
    return [(f"contig_{i}", rng.choice(alphabet, length).tobytes()) for i, length in enumerate(lengths)]


@pytest.fixture
def run(tmp_path):
    def embed(records, *, folder="store", name="tnf-k", threads=1, n_pieces=10, min_piece=1000, shard_mbp=0.02):
        write_fasta(tmp_path / "contigs.fa.gz", records)
        embed_fasta(
            load_embedder(name, threads=threads),
            tmp_path / "contigs.fa.gz",
            tmp_path / folder,
            shard_folder=tmp_path / f"shards_{folder}",
            shard_mbp=shard_mbp,
            n_pieces=n_pieces,
            min_piece=min_piece,
        )
        with np.load(tmp_path / folder / "pieces.npz") as pieces:
            return read_store(tmp_path / folder), {name: pieces[name] for name in pieces.files}

    return embed


def test_store_and_halves(run, records):
    store, pieces = run(records)
    embedder = load_embedder("tnf-k")
    assert store.names == [name for name, _ in records]
    assert np.array_equal(store.vectors, embedder.embed([sequence for _, sequence in records]))
    assert store.manifest["embedder"] == "tnf-k"
    assert store.manifest["fingerprint"] == embedder.fingerprint
    assert store.manifest["total_bp"] == sum(len(sequence) for _, sequence in records)
    assert set(store.manifest["checksums"]) == {"vectors.npy", "contigs.txt", "pieces.npz", "cuts.npz"}
    assert (pieces["rows"].dtype, pieces["lengths"].dtype) == (np.int64, np.int64)
    assert pieces["vectors"].dtype == np.float32
    assert pieces["vectors"].shape == (10, 2, 103)
    for row, length, pair in zip(pieces["rows"], pieces["lengths"], pieces["vectors"], strict=True):
        sequence = records[row][1]
        assert length == len(sequence) // 2 >= 1000
        assert np.array_equal(pair, embedder.embed([sequence[:length], sequence[len(sequence) - length :]]))


def test_the_same_bytes_from_other_threads_and_shards(run, records, tmp_path):
    run(records, folder="one", threads=1, shard_mbp=0.02)
    run(records, folder="two", threads=3, shard_mbp=1)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize("n", [0, 1])
def test_few_contigs(run, records, n):
    contigs = [(name, sequence) for name, sequence in records if len(sequence) >= 2000][:n]
    store, pieces = run(contigs)
    assert store.vectors.shape == (n, 103)
    assert pieces["rows"].shape == pieces["lengths"].shape == (n,)
    assert pieces["vectors"].shape == (n, 2, 103)


def test_no_pieces_asked_for(run, records):
    _, pieces = run(records, n_pieces=0)
    assert pieces["vectors"].shape == (0, 2, 103)


def test_identical_contigs_stay_apart(run):
    store, pieces = run([(f"copy_{i}", b"ACCGTTGA" * 400) for i in range(5)])
    assert len(store.names) == 5
    assert (store.vectors == store.vectors[0]).all()
    assert pieces["rows"].tolist() == [0, 1, 2, 3, 4]


def test_a_half_of_n_calibrates_nothing(run, records):
    masked = b"ACCGTTGA" * 400
    contigs = [("masked", b"N" * len(masked) + masked), ("all_n", b"N" * 4000), ("good", masked * 2)]
    store, pieces = run(contigs)
    assert store.manifest["n_zero_vectors"] == 1
    assert pieces["rows"].tolist() == [2]
    np.testing.assert_allclose(np.linalg.norm(pieces["vectors"], axis=2), 1, atol=1e-6)


def test_a_damaged_fasta_leaves_no_store_that_looks_finished(run, records, tmp_path):
    run(records)
    fasta = tmp_path / "contigs.fa.gz"
    fasta.write_bytes(fasta.read_bytes()[:-200])
    with pytest.raises(InputError, match="end early"):
        embed_fasta(
            load_embedder("tnf"),
            fasta,
            tmp_path / "store",
            shard_folder=tmp_path / "shards",
            shard_mbp=1,
            n_pieces=5,
            min_piece=100,
        )
    with pytest.raises(InputError, match="never finished"):
        read_store(tmp_path / "store")


def test_halves_of_short_contigs_are_shorter(run):
    """One contig too few has halves of 1,000 bp to learn from them."""
    rng = np.random.default_rng(1)
    n_long = ENOUGH_PIECES - 1
    lengths = [*rng.integers(1000, 1900, 20), *[2000] * n_long, 900, 2000]
    contigs = [(f"c{i}", rng.choice(list(b"ACGT"), n).astype(np.uint8).tobytes()) for i, n in enumerate(lengths)]
    few, enough = contigs[:-1], contigs
    assert run(few, n_pieces=200)[1]["rows"].tolist() == list(range(20 + n_long))
    assert run(enough, n_pieces=200)[1]["rows"].tolist() == [*range(20, 20 + n_long), 21 + n_long]
    assert set(run(few, n_pieces=2)[1]["rows"]) <= set(range(20, 20 + n_long))


def test_pieces_are_spread_over_the_lengths():
    lengths = np.random.default_rng(1).permutation(np.arange(1000, 3000))
    rows = choose_pieces(lengths, n_pieces=101, min_piece=600)
    assert (np.diff(rows) > 0).all()
    np.testing.assert_allclose(np.sort(lengths[rows]), np.linspace(1200, 2999, 101), atol=0.5)  # of a rounded rank


@pytest.mark.parametrize(("n_pieces", "expected"), [(0, 0), (1, 1), (2, 2), (3, 3), (100, 3)])
def test_as_many_pieces_as_there_are(n_pieces, expected):
    lengths = np.array([10, 2000, 1999, 5000, 2001])
    rows = choose_pieces(lengths, n_pieces=n_pieces, min_piece=1000)
    assert len(rows) == expected
    assert set(rows) <= {1, 3, 4}

"""Cuts of long contigs."""

import numpy as np
import pytest

from workflow_lib.embed import embed_fasta, load_embedder
from workflow_lib.embed.cuts import CUT_LENGTH, LONG, cut_contigs, place_cuts, read_cuts
from workflow_lib.fasta import write_fasta


@pytest.mark.parametrize("length", [LONG, 60_999, 61_000, 123_457, 244_000, 5_000_000])
def test_cuts_are_even_and_do_not_overlap(length):
    starts = place_cuts(length)
    assert len(starts) == min(length // CUT_LENGTH, 8)
    assert starts[0] >= 0
    assert starts[-1] + CUT_LENGTH <= length
    steps = np.diff(starts)
    assert (steps >= CUT_LENGTH).all()
    assert len(steps) == 0 or np.ptp(steps) <= 1
    assert abs(starts[0] - (length - starts[-1] - CUT_LENGTH)) <= 1


@pytest.mark.parametrize("length", [0, 1, CUT_LENGTH, LONG - 1])
def test_other_contigs_are_not_cut(length):
    assert place_cuts(length) == []


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(1)
    lengths = {"short": 30_000, "long": 110_001, "edge": LONG}
    return [(name, rng.choice(list(b"ACGT"), length).astype(np.uint8).tobytes()) for name, length in lengths.items()]


def test_the_store_holds_the_cuts_vectors(records, tmp_path):
    write_fasta(tmp_path / "contigs.fa.gz", records)
    embedder = load_embedder("tnf-k")
    for threads, mbp in ((1, 0.03), (2, 8)):
        embed_fasta(
            *(load_embedder("tnf-k", threads=threads), tmp_path / "contigs.fa.gz", tmp_path / f"store{threads}"),
            shard_folder=tmp_path / f"shards{threads}", shard_mbp=mbp, n_pieces=2, min_piece=1000,
        )  # fmt: skip
    cuts = read_cuts(tmp_path / "store1")
    assert cuts.rows.tolist() == [1] * 3 + [2]
    sequences = [records[row][1][start : start + CUT_LENGTH] for row, start in zip(cuts.rows, cuts.starts, strict=True)]
    assert [sequence for *_, sequence in cut_contigs(tmp_path / "contigs.fa.gz")] == sequences
    assert np.array_equal(cuts.vectors, embedder.embed(sequences))
    assert (tmp_path / "store1/cuts.npz").read_bytes() == (tmp_path / "store2/cuts.npz").read_bytes()


def test_nothing_to_cut(records, tmp_path):
    write_fasta(tmp_path / "contigs.fa.gz", records[:1])
    options = {"shard_folder": tmp_path / "shards", "shard_mbp": 1, "n_pieces": 1, "min_piece": 1000}
    for cut_long in (True, False):
        embed_fasta(
            *(load_embedder("tnf-k"), tmp_path / "contigs.fa.gz", tmp_path / str(cut_long)),
            cut_long=cut_long,
            **options,
        )
    cuts = read_cuts(tmp_path / "True")
    assert (cuts.rows.shape, cuts.starts.shape, cuts.vectors.shape) == ((0,), (0,), (0, 103))
    assert not (tmp_path / "False/cuts.npz").exists()


def test_a_cut_that_is_mostly_n_is_left_out(records, tmp_path):
    name, sequence = records[1]
    masked = sequence[:50_000] + b"N" * 20_000 + sequence[70_000:]
    write_fasta(tmp_path / "contigs.fa.gz", [(name, masked)])
    starts = place_cuts(len(masked))
    assert [start for _, start, _ in cut_contigs(tmp_path / "contigs.fa.gz")] == [starts[0], starts[2]]

"""Thresholds: labelled percentiles, the labelled file, and the one found from halves of contigs."""

import gzip

import numpy as np
import pytest

from workflow_lib.bin import class_center_percentiles
from workflow_lib.bin.metric import Pieces, whiten
from workflow_lib.bin.threshold import label_free, read_labelled
from workflow_lib.embed.base import unit_rows
from workflow_lib.errors import InputError


def genomes_and_halves(seed, *, n_genomes=10, n=600, dim=30, spread=1.0, shared=0.0):
    """Contigs around genome vectors with noise that falls with length; halves have twice the variance."""
    rng = np.random.default_rng(seed)
    centres = unit_rows(rng.standard_normal((n_genomes, dim))) + shared * np.eye(dim)[0]
    genome = rng.integers(n_genomes, size=n)
    lengths = np.exp(rng.normal(9, 0.7, n)).astype(np.int64).clip(2500)
    noise = spread * np.sqrt(4000 / lengths)[:, None] / np.sqrt(dim)
    vectors = unit_rows(centres[genome] + noise * rng.standard_normal((n, dim)))
    rows = np.flatnonzero(lengths >= 5000)
    halves = [
        unit_rows(centres[genome[rows]] + np.sqrt(2) * noise[rows] * rng.standard_normal((len(rows), dim)))
        for _ in range(2)
    ]
    pieces = Pieces(rows, lengths[rows] // 2, np.stack(halves, axis=1).astype(np.float32))
    return vectors.astype(np.float32), genome, pieces


def test_percentiles_by_hand():
    points = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], dtype=np.float32)
    # class a: centre (0.5, 0.5), similarities 0.5, 0.5; class b: centre (1, 0), similarities 1, 1
    values = class_center_percentiles(points, ["a", "a", "b", "b"], [0, 49, 50, 99.9])
    assert values.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert values.dtype == np.float64


def test_percentiles_do_not_mind_order_or_names():
    rng = np.random.default_rng(0)
    points, labels = unit_rows(rng.standard_normal((200, 8))), rng.integers(5, size=200)
    order = rng.permutation(200)
    expected = class_center_percentiles(points, labels, [10, 70])
    assert np.array_equal(class_center_percentiles(points[order], labels[order], [10, 70]), expected)
    assert np.array_equal(
        class_center_percentiles(points, [f"s{label * 7 - 3}" for label in labels], [10, 70]), expected
    )


@pytest.mark.parametrize("percentile", [-1, 100, 200])
def test_percentiles_out_of_range(percentile):
    with pytest.raises(InputError, match="percentile"):
        class_center_percentiles(np.ones((3, 2)), [0, 0, 0], [percentile])


def test_percentiles_of_nothing():
    with pytest.raises(InputError, match="at least 1"):
        class_center_percentiles(np.ones((0, 2)), [], [70])
    with pytest.raises(InputError, match="expected"):
        class_center_percentiles(np.ones((3, 2)), [0], [70])


@pytest.mark.shared
def test_percentiles_as_published(shared):
    oracle = np.load(shared / "oracles" / "kmedoid_threshold_percentile.npz")
    found = class_center_percentiles(oracle["features"], oracle["true_labels"], range(10, 100, 10))
    # float32 products of d = 64: a few units in the seventh digit
    np.testing.assert_allclose(found, oracle["percentiles_10_to_90"], rtol=0, atol=5e-7)


def test_labelled_file(tmp_path):
    path = tmp_path / "labelled.tsv"
    path.write_text("sequence\tlabel\nACGT\tone\r\nacgn\ttwo\textra\n\n")
    assert read_labelled(path) == (["ACGT", "ACGN"], ["one", "two"])
    path.write_text("\r\n\n" + path.read_text())
    assert read_labelled(path) == (["ACGT", "ACGN"], ["one", "two"])


@pytest.mark.parametrize(
    "header", ["DNA\tspecies", "DNA\tspecies_id", "data\tLabel\torigin", "strand\ttaxon", "seq\tanything", "#"]
)
def test_headers_of_a_labelled_file(tmp_path, header):
    path = tmp_path / "labelled.tsv"
    path.write_text(header + "\nACGT\tone\n")
    assert read_labelled(path) == (["ACGT"], ["one"])


@pytest.mark.parametrize("row", ["DNA\tone", "ACGTN\tBacillus", 11 * "ACGT" + "\tspecies"])
def test_a_first_row_of_data_is_no_header(tmp_path, row):
    path = tmp_path / "labelled.tsv"
    path.write_text(row + "\nACGT\tspecies\n")
    sequence, label = row.split("\t")
    assert read_labelled(path) == ([sequence, "ACGT"], [label, "species"])


def test_proteins_taken_for_dna_are_told(tmp_path, caplog):
    path = tmp_path / "labelled.tsv"
    path.write_text("ACGTRYKM\tone\nACGUNNNN\ttwo\n" + "ACGT\tone\n")
    assert len(read_labelled(path)[0]) == 3
    assert not caplog.text
    path.write_text("MKVSTARWHD\tone\nGATVRSKN\ttwo\n")
    assert len(read_labelled(path)[0]) == 2
    assert "labelled.tsv: 67% of the letters are neither A, C, G, T, U nor N: are these proteins?" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no labelled"),
        ("sequence\tlabel\n", "no labelled"),
        ("ACGT\ta\nACGT\n", "line 2"),
        ("ACGT\ta\nACGT\t\n", "line 2"),
        ("ACGT\ta\nprotein!\tb\n", "line 2"),
        (30 * "ACGT" + "XX\ta\nACGT\tb\n", "line 1"),
    ],
)
def test_labelled_file_at_fault(tmp_path, text, message):
    path = tmp_path / "labelled.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_labelled(path)


def test_labelled_file_that_ends_early(tmp_path):
    rng = np.random.default_rng(1)
    rows = "".join("".join(rng.choice(list("ACGT"), 300)) + "\tone\n" for _ in range(50))
    path = tmp_path / "cut.tsv.gz"
    path.write_bytes(gzip.compress(rows.encode())[:-500])
    with pytest.raises(InputError, match=r"cut\.tsv\.gz: the gzip data end early or are damaged"):
        read_labelled(path)


@pytest.mark.parametrize("spread", [0.5, 1.0])
@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_label_free_parts_genomes_whatever_the_scale(spread, shared):
    """The similarities lie around 0 (shared = 0) or all near 1 (shared = 2); the threshold must find the gap."""
    vectors, genome, pieces = genomes_and_halves(1, spread=spread, shared=shared)
    vectors, pieces = whiten(vectors, pieces)
    threshold = label_free(vectors, pieces)
    assert threshold.method == "label_free"
    assert threshold.note is None
    similarity = vectors @ vectors.T.copy()
    same = genome[:, None] == genome
    assert np.mean(similarity[same] >= threshold.value) > 0.5
    assert np.mean(similarity[~same] >= threshold.value) < 0.03


def test_label_free_keeps_one_genome_together():
    vectors, _, pieces = genomes_and_halves(3, n_genomes=1)
    threshold = label_free(vectors, pieces)
    same = np.einsum("ij,ij->i", pieces.vectors[:, 0], pieces.vectors[:, 1])
    assert np.mean(same >= threshold.value) > 0.85


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_label_free_keeps_genomes_of_few_long_contigs_together(seed):
    """Halves of a long contig are more alike than two contigs of its genome: only pairs of one genome stay to lose."""
    rng = np.random.default_rng(seed)
    genome = np.repeat(np.arange(40), 2)
    centres = unit_rows(rng.standard_normal((40, 60)))
    noise = rng.uniform(0.01, 0.06, (80, 1))
    vectors = unit_rows(centres[genome] + noise * rng.standard_normal((80, 60)))
    halves = [unit_rows(vectors + 0.8 * noise * rng.standard_normal((80, 60))) for _ in range(2)]
    pieces = Pieces(np.arange(80), np.full(80, 400_000), np.stack(halves, axis=1).astype(np.float32))
    threshold = label_free(vectors.astype(np.float32), pieces)
    similarity = vectors @ vectors.T.copy()
    same = (genome[:, None] == genome) & ~np.eye(80, dtype=bool)
    assert np.mean(similarity[same] >= threshold.value) > 0.4
    assert not (similarity[genome[:, None] != genome] >= threshold.value).any()


def test_label_free_is_seeded():
    vectors, _, pieces = genomes_and_halves(4)
    assert label_free(vectors, pieces, seed=1) == label_free(vectors, pieces, seed=1)


def test_label_free_distribution_counts_everything():
    vectors, _, pieces = genomes_and_halves(5)
    distribution = label_free(vectors, pieces).distribution
    assert len(distribution["edges"]) == len(distribution["same"]) + 1 == len(distribution["different"]) + 1
    assert sum(distribution["same"]) == len(pieces)
    assert sum(distribution["different"]) > 0
    assert np.all(np.diff(distribution["edges"]) > 0)


def test_identical_halves_and_contigs_pass_their_own_threshold():
    vectors = np.tile(unit_rows(np.random.default_rng(0).standard_normal((1, 9))), (50, 1)).astype(np.float32)
    pieces = Pieces(np.arange(50), np.full(50, 3000), np.stack([vectors, vectors], axis=1))
    assert label_free(vectors, pieces).value < 1


@pytest.mark.parametrize("n_pieces", [1, 5, 19])
def test_few_halves_still_keep_genomes_apart(n_pieces, caplog):
    vectors, genome, pieces = genomes_and_halves(6, spread=0.5)
    few = Pieces(pieces.rows[:n_pieces], pieces.lengths[:n_pieces], pieces.vectors[:n_pieces])
    threshold = label_free(vectors, few)
    assert f"few contigs in halves ({n_pieces})" in threshold.note
    assert threshold.note in caplog.text
    similarity = vectors @ vectors.T.copy()
    same = genome[:, None] == genome
    assert np.mean(similarity[~same] >= threshold.value) < 0.01
    assert np.mean(similarity[same] >= threshold.value) > 0.2


def test_contigs_without_a_vector_are_not_compared():
    vectors, _, pieces = genomes_and_halves(6, spread=0.5)
    few = Pieces(pieces.rows[:5], pieces.lengths[:5], pieces.vectors[:5])
    padded = np.concatenate([vectors, np.zeros((len(vectors), vectors.shape[1]), dtype=np.float32)])
    assert label_free(padded, few).distribution["edges"] == label_free(vectors, few).distribution["edges"]
    assert label_free(padded, few) == label_free(vectors, few)


@pytest.mark.parametrize(("n", "n_pieces"), [(0, 0), (1, 0), (1, 1), (5, 0)])
def test_nothing_to_compare(n, n_pieces, caplog):
    vectors = unit_rows(np.random.default_rng(0).standard_normal((n, 4))).astype(np.float32)
    rows = np.arange(n_pieces)
    halves = Pieces(rows, np.full(n_pieces, 2000), np.repeat(vectors[rows, None], 2, axis=1))
    threshold = label_free(vectors, halves)
    assert 0.999 < threshold.value < 1
    assert "no threshold can be found" in threshold.note
    assert threshold.note in caplog.text


def test_whitening_evens_out_the_noise_of_halves():
    """Noise along one axis hides the genomes; after whitening halves differ equally in every direction."""
    rng = np.random.default_rng(2)
    vectors, _, pieces = genomes_and_halves(7, dim=10)
    loud = 3 * rng.standard_normal((len(pieces), 2, 1)) * np.eye(10)[4]
    pieces = Pieces(pieces.rows, pieces.lengths, unit_rows(pieces.vectors + loud).astype(np.float32))
    _, white = whiten(vectors, pieces)
    variance = (white.vectors[:, 0] - white.vectors[:, 1]).var(axis=0)
    before = (pieces.vectors[:, 0] - pieces.vectors[:, 1]).var(axis=0)
    assert before.max() / before.min() > 20
    # The ridge of a tenth keeps some of it.
    assert variance.max() / variance.min() < before.max() / before.min() / 3


def test_whitening_keeps_unit_rows_zeros_and_bytes():
    from threadpoolctl import threadpool_limits

    vectors, _, pieces = genomes_and_halves(8)
    vectors[3] = 0
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            found.append(whiten(vectors, pieces)[0].tobytes())
    white = np.frombuffer(found[0], dtype=np.float32).reshape(vectors.shape)
    assert found[0] == found[1]
    assert not white[3].any()
    np.testing.assert_allclose(np.linalg.norm(np.delete(white, 3, axis=0), axis=1), 1, atol=1e-6)


def test_whitening_needs_pieces():
    vectors, _, pieces = genomes_and_halves(9)
    few = Pieces(pieces.rows[:5], pieces.lengths[:5], pieces.vectors[:5])
    assert whiten(vectors, few)[0] is vectors
    with pytest.raises(InputError, match="pieces"):
        Pieces(pieces.rows[:5], pieces.lengths, pieces.vectors)


def test_halves_tell_what_unseen_halves_would():
    """A metric makes the halves alike that it is learned from: those that it has not seen are the measure."""
    rng = np.random.default_rng(11)

    def draw(n):
        # One genome: what is common, and noise that is of the same size in every direction.
        return unit_rows((np.eye(60)[0] + 0.1 * rng.standard_normal((n, 2, 60))).astype(np.float32))

    known, unseen = draw(80), draw(2000)
    pieces = Pieces(np.arange(80), np.full(80, 3000), known)
    halves = unseen.reshape(-1, 60)
    expected = whiten(halves, pieces)[0].reshape(-1, 2, 60)
    _, found = whiten(known[:, 0], pieces)

    def similarity(pairs):
        return np.einsum("ij,ij->i", pairs[:, 0], pairs[:, 1]).mean()

    assert similarity(found.vectors) == pytest.approx(similarity(expected), abs=0.05)

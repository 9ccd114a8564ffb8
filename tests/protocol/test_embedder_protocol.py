"""What every embedder promises; a new one is added to CASES and has to pass."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from tiny_models import (
    random_sequence,
    write_bert,
    write_dnabert2,
    write_hyenadna,
    write_kmer_vectors,
    write_metaberta,
    write_nucleotide_transformer,
    write_tnf_vae,
)

from workflow_lib.embed import Embedder, load_embedder
from workflow_lib.embed.registry import EMBEDDERS
from workflow_lib.fasta import reverse_complement


@dataclass(frozen=True)
class Case:
    """An embedder and how exact it is: differences allowed between two ways to the same vector.

    `write` makes the folder of a language model; without it, `name` is loaded as it is, or, with `write_weights`, from
    the path that this makes. `longest` is the longest sequence that it is given, in bp.
    """

    name: str
    options: dict = field(default_factory=dict)
    tolerance: float = 0.0
    write: Callable[[Path], Path] | None = None
    write_weights: Callable[[Path], Path] | None = None
    longest: int = 300_000


def language_model(name: str, write: Callable[[Path], Path]) -> Case:
    # float32, sums of other shapes in other batches.
    return Case(name, {"both_strands": True}, tolerance=1e-5, write=write, longest=20_000)


CASES = [
    Case("tnf"),
    Case("tnf-k"),
    Case("dna2vec", write_weights=write_kmer_vectors),
    Case("compact"),
    Case("tnf-vae", tolerance=1e-6, write_weights=write_tnf_vae),  # float64 sums of other shapes
    language_model("tiny-bert", write_bert),
    language_model("tiny-dnabert2", write_dnabert2),
    language_model("tiny-hyenadna", write_hyenadna),
    language_model("tiny-nt", write_nucleotide_transformer),
    language_model("tiny-nt-v2", lambda folder: write_nucleotide_transformer(folder, version=2)),
    language_model("tiny-metaberta", write_metaberta),
]
UNIT_TOLERANCE = 1e-6  # float32 rounding of a sum of squares


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Load the embedder of a case, with other options on top of its own."""
    parent = tmp_path_factory.mktemp("models")

    def make_embedder(case, **options):
        path = parent / case.name
        write = case.write or case.write_weights
        if write and not path.exists():
            write(path)
        weights = {"weights": path} if case.write_weights else {}
        return load_embedder(path if case.write else case.name, **{**case.options, **weights, **options})

    return make_embedder


@pytest.fixture(scope="module")
def embedder(case, make):
    return make(case)


@pytest.fixture(scope="module")
def sequences(case):
    rng = np.random.default_rng(7)
    return [random_sequence(rng, length) for length in (3000, 500, case.longest // 4, 800, 1200)]


def test_every_embedder_is_tested():
    assert {case.name for case in CASES if case.write is None} == set(EMBEDDERS)


def test_attributes(embedder, case):
    assert isinstance(embedder, Embedder)
    assert embedder.name == case.name
    assert isinstance(embedder.dim, int)
    assert embedder.dim > 0
    assert len(embedder.fingerprint) >= 32
    int(embedder.fingerprint, 16)


def test_unit_rows(embedder, sequences):
    vectors = embedder.embed(sequences)
    assert vectors.shape == (len(sequences), embedder.dim)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=UNIT_TOLERANCE)


def test_no_sequences(embedder):
    vectors = embedder.embed([])
    assert vectors.shape == (0, embedder.dim)
    assert vectors.dtype == np.float32


def test_a_vector_does_not_depend_on_its_batch_and_order_is_kept(embedder, sequences, case):
    together = embedder.embed(sequences)
    alone = np.vstack([embedder.embed([sequence]) for sequence in sequences])
    backwards = embedder.embed(sequences[::-1])[::-1]
    np.testing.assert_allclose(together, alone, rtol=0, atol=case.tolerance)
    np.testing.assert_allclose(together, backwards, rtol=0, atol=case.tolerance)
    assert len(np.unique(together.round(4), axis=0)) == len(sequences)


def test_text_bytes_case_and_rna_are_the_same(embedder, sequences):
    expected = embedder.embed(sequences)
    for variant in (
        [sequence.encode() for sequence in sequences],
        [sequence.lower() for sequence in sequences],
        [sequence.replace("T", "U") for sequence in sequences],
    ):
        assert np.array_equal(embedder.embed(variant), expected)


def test_both_strands_give_the_same_vector(embedder, sequences, case):
    opposite = [reverse_complement(sequence.encode()) for sequence in sequences]
    np.testing.assert_allclose(
        embedder.embed(opposite), embedder.embed(sequences), rtol=0, atol=max(case.tolerance, 1e-6)
    )


@pytest.mark.parametrize("sequence", ["", "A", "ACG", "N", "N" * 5000, "RYSWKMBDHV" * 50, "?*-\xe9"])
def test_nothing_to_embed_is_zeros(embedder, sequence):
    vectors = embedder.embed(["ACGTTGCAAC" * 100, sequence])
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=UNIT_TOLERANCE)
    length = np.linalg.norm(vectors[1])
    assert length == 0 or (0 < len(sequence) < 4 and length == pytest.approx(1, abs=UNIT_TOLERANCE))


def test_ambiguous_codes_among_bases(embedder):
    rng = np.random.default_rng(3)
    vectors = embedder.embed([random_sequence(rng, 3000, "ACGTACGTACGTNRYSWKMBDHV")])
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=UNIT_TOLERANCE)


def test_low_complexity_and_long_sequences(embedder, case):
    rng = np.random.default_rng(5)
    vectors = embedder.embed(["A" * 3000, "AT" * 1500, random_sequence(rng, case.longest)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=UNIT_TOLERANCE)


def test_one_string_is_refused(embedder):
    with pytest.raises(TypeError, match="list of sequences"):
        embedder.embed("ACGT")


def test_fingerprint_and_vectors_do_not_depend_on_threads(embedder, case, make, sequences):
    other = make(case, threads=3)
    assert other.fingerprint == embedder.fingerprint
    vectors, expected = other.embed(sequences), embedder.embed(sequences)
    if case.tolerance:  # torch sums in another order
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=case.tolerance)
    else:
        assert vectors.tobytes() == expected.tobytes()


def test_fingerprint_tells_options_and_embedders_apart(embedder, case, make):
    if case.name != "compact":  # has no such option: both strands give its vector
        assert make(case, both_strands=False).fingerprint != embedder.fingerprint
    others = [make(other) for other in CASES if other.name != case.name]
    assert embedder.fingerprint not in {other.fingerprint for other in others}

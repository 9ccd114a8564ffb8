"""What every embedder promises; a new one is added to CASES and has to pass."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from workflow_lib.embed import Embedder, load_embedder
from workflow_lib.embed.registry import EMBEDDERS
from workflow_lib.fasta import reverse_complement


@dataclass(frozen=True)
class Case:
    """An embedder and how exact it is: differences allowed between two ways to the same vector."""

    name: str
    options: dict = field(default_factory=dict)
    tolerance: float = 0.0


CASES = [Case("tnf"), Case("tnf-k")]
UNIT_TOLERANCE = 1e-6  # float32 rounding of a sum of squares


def random_sequence(rng, length, alphabet="ACGT"):
    return "".join(rng.choice(list(alphabet), length))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def embedder(case):
    return load_embedder(case.name, **case.options)


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(7)
    return [random_sequence(rng, length) for length in (3000, 500, 20000, 800, 1200)]


def test_every_embedder_is_tested():
    assert {case.name for case in CASES} == set(EMBEDDERS)


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


def test_low_complexity_and_long_sequences(embedder):
    rng = np.random.default_rng(5)
    vectors = embedder.embed(["A" * 3000, "AT" * 1500, random_sequence(rng, 300_000)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=UNIT_TOLERANCE)


def test_one_string_is_refused(embedder):
    with pytest.raises(TypeError, match="list of sequences"):
        embedder.embed("ACGT")


def test_fingerprint_and_bytes_do_not_depend_on_threads(embedder, case, sequences):
    other = load_embedder(case.name, **{**case.options, "threads": 3})
    assert other.fingerprint == embedder.fingerprint
    assert other.embed(sequences).tobytes() == embedder.embed(sequences).tobytes()


def test_fingerprint_tells_options_and_embedders_apart(embedder, case):
    single_strand = load_embedder(case.name, **{**case.options, "both_strands": False})
    assert single_strand.fingerprint != embedder.fingerprint
    others = [load_embedder(other.name, **other.options) for other in CASES if other.name != case.name]
    assert embedder.fingerprint not in {other.fingerprint for other in others}

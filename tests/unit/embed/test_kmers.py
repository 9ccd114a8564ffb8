"""k-mer frequencies against a slow count, and what they do with odd input."""

from itertools import product

import numpy as np
import pytest

from workflow_lib.embed.kmers import compiled, kmer_frequencies, reverse_complement_columns
from workflow_lib.fasta import reverse_complement

ODD = "ACGTacgtuUNnRYKMSWBDHV-"


def slow_frequencies(sequence, k, both_strands):
    """Counts one k-mer at a time, by name."""
    words = ["".join(word) for word in product("ATCG", repeat=k)]
    text = sequence.upper().replace("U", "T")
    strands = [text]
    if both_strands:
        strands.append(text[::-1].translate(str.maketrans("ACGT", "TGCA")))
    counts = dict.fromkeys(words, 0)
    for strand in strands:
        for start in range(len(strand) - k + 1):
            word = strand[start : start + k]
            if word in counts:
                counts[word] += 1
    total = sum(counts.values())
    return np.array([counts[word] / total if total else 0.0 for word in words])


@pytest.mark.parametrize("both_strands", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
def test_equals_the_slow_count(k, both_strands):
    rng = np.random.default_rng(k)
    sequences = [
        "".join(rng.choice(list(ODD[:n]), length)) for n, length in [(4, 300), (10, 999), (23, 2000), (23, 40)]
    ]
    sequences += ["", "N", "ACG", "ACGT", "AAAAAAAA", "ACGTN" * 9, "N" * 50]
    found = kmer_frequencies(sequences, k, both_strands=both_strands)
    expected = np.array([slow_frequencies(sequence, k, both_strands) for sequence in sequences])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=6e-8)  # half a unit in the last place of float32 below 1


@pytest.mark.parametrize("k", [1, 3, 4, 8])
def test_reverse_complement_columns(k):
    words = ["".join(word) for word in product("ATCG", repeat=k)]
    opposite = reverse_complement_columns(k)
    assert np.array_equal(opposite[opposite], np.arange(4**k))
    for column in np.random.default_rng(0).integers(0, 4**k, 50):
        assert words[opposite[column]].encode() == reverse_complement(words[column].encode())


def test_both_strands_are_exactly_the_same():
    rng = np.random.default_rng(2)
    sequence = rng.choice(np.frombuffer(b"ACGTN", dtype=np.uint8), 5000).tobytes()
    found = kmer_frequencies([sequence, reverse_complement(sequence)], 4)
    assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.parametrize("threads", [1, 2, 7, 50])
def test_the_same_bytes_at_any_thread_count(threads):
    rng = np.random.default_rng(4)
    sequences = [
        rng.choice(np.frombuffer(b"ACGT", dtype=np.uint8), length).tobytes() for length in (0, 90_000, 5, 100, 3000, 0)
    ]
    expected = np.vstack([kmer_frequencies([sequence], 4) for sequence in sequences])
    assert kmer_frequencies(sequences, 4, threads=threads).tobytes() == expected.tobytes()


@pytest.mark.parametrize("k", [0, 9])
def test_k_is_bounded(k):
    with pytest.raises(ValueError, match="expected 1 to 8"):
        kmer_frequencies(["ACGT"], k)


def test_compiles_where_nothing_can_be_cached(caplog):
    namespace = {}
    exec("def double(x):\n    return x + x", namespace)  # of no file, so that numba finds no place for a cache
    with caplog.at_level("INFO"):
        double = compiled("int64(int64)")(namespace["double"])
    assert double(21) == 42
    assert "without a cache" in caplog.text

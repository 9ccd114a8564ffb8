"""DNA2Vec: the mean of k-mer vectors against slow Python; files as users have them, whole and broken."""

import gzip

import numpy as np
import pytest
from tiny_models import kmers, random_sequence, write_kmer_vectors

from workflow_lib.embed.dna2vec import DNA2Vec, read_kmer_vectors
from workflow_lib.embed.kmers import kmer_frequencies
from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement

SEQUENCES = ["ACGTTGCATGGACC", "ACGTNACGATRTTTTTacgu" * 7, random_sequence(np.random.default_rng(2), 3000)]


def write_vectors(path, vectors, *, header=None):
    dim = len(next(iter(vectors.values())))
    rows = [f"{kmer} {' '.join(map(str, values))}" for kmer, values in vectors.items()]
    path.write_text("\n".join([header or f"{len(vectors)} {dim}", *rows, ""]))
    return path


def random_vectors(k, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    return {kmer: rng.normal(size=dim).round(4).tolist() for kmer in kmers(k)}


def slow_mean(sequence, vectors, k, *, both_strands):
    text = sequence.upper().replace("U", "T")
    texts = [text, reverse_complement(text.encode()).decode()] if both_strands else [text]
    found = [vectors[t[i : i + k]] for t in texts for i in range(len(t) - k + 1) if t[i : i + k] in vectors]
    mean = np.mean(found, axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("both_strands", [False, True])
@pytest.mark.parametrize("k", [1, 3, 4, 6])
def test_vectors_are_means_of_k_mer_vectors(tmp_path, k, both_strands):
    vectors = random_vectors(k)
    embedder = DNA2Vec(write_vectors(tmp_path / "v.txt", vectors), both_strands=both_strands)
    expected = [slow_mean(sequence, vectors, k, both_strands=both_strands) for sequence in SEQUENCES]
    # Frequencies in float32: 6e-8 of values that nearly cancel in a mean.
    np.testing.assert_allclose(embedder.embed(SEQUENCES), expected, atol=2e-6)
    assert (embedder.k, embedder.dim) == (k, 6)


def test_the_published_baseline_is_frequencies_times_vectors(tmp_path):
    path = write_kmer_vectors(tmp_path / "v.txt")
    product = kmer_frequencies(SEQUENCES, 4, both_strands=False) @ read_kmer_vectors(path)
    expected = product / np.linalg.norm(product, axis=1, keepdims=True)
    np.testing.assert_allclose(DNA2Vec(path, both_strands=False).embed(SEQUENCES), expected, atol=2e-6)


def test_a_k_mer_that_the_file_lacks_is_left_out(tmp_path, caplog):
    vectors = random_vectors(3)
    del vectors["ACG"]
    embedder = DNA2Vec(write_vectors(tmp_path / "v.txt", vectors))
    expected = [slow_mean(sequence, vectors, 3, both_strands=True) for sequence in SEQUENCES]
    np.testing.assert_allclose(embedder.embed(SEQUENCES), expected, atol=2e-6)
    assert (embedder.embed(["ACG", "CGT"]) == 0).sum() == 0  # the other strand's k-mer is there
    assert "1 of 64 3-mers have no vector" in caplog.text


def test_a_file_of_several_k_gives_the_one_asked_for(tmp_path):
    path = write_vectors(tmp_path / "v.txt", {**random_vectors(3), **random_vectors(4), **random_vectors(5)})
    assert DNA2Vec(path).k == 4
    assert [DNA2Vec(path, k=k).k for k in (3, 4, 5)] == [3, 4, 5]
    assert len({DNA2Vec(path, k=k).fingerprint for k in (3, 4, 5)}) == 3
    alone = write_vectors(tmp_path / "5.txt", random_vectors(5))
    assert DNA2Vec(alone).fingerprint == DNA2Vec(path, k=5).fingerprint
    assert DNA2Vec(write_vectors(tmp_path / "35.txt", {**random_vectors(5), **random_vectors(3)})).k == 5


def test_gzip_crlf_lower_case_and_end_of_line_words_are_read(tmp_path):
    plain = write_kmer_vectors(tmp_path / "v.txt", k=3)
    text = plain.read_text().lower().replace("64 16", "65 16", 1).rstrip()
    text += "\n</s> " + "0.5 " * 16
    (tmp_path / "v.gz").write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    assert np.array_equal(read_kmer_vectors(tmp_path / "v.gz"), read_kmer_vectors(plain))


def test_many_sequences_are_counted_in_blocks(tmp_path, monkeypatch):
    embedder = DNA2Vec(write_kmer_vectors(tmp_path / "v.txt"), threads=2)
    rng = np.random.default_rng(1)
    sequences = [random_sequence(rng, 300) for _ in range(25)]
    expected = embedder.embed(sequences)
    monkeypatch.setattr("workflow_lib.embed.dna2vec._BLOCK_VALUES", 256 * 4)
    assert embedder.embed(sequences).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: found '', expected the number of words and of columns"),
        ("ACG 0.1 0.2\n", r"line 1: found 'ACG 0.1 0.2', expected"),
        ("2\nACG 0.1\nACC 0.1\n", "line 1: "),
        ("1 0\nACG\n", "line 1: "),
        ("2 2\nACG 0.1 0.2\nACC 0.1\n", r"line 3: found 1 values after 'ACC', expected 2"),
        ("2 2\nACG 0.1 0.2\nACC 0.1 x\n", r"line 3: found a value that is no number"),
        ("2 2\nACG 0.1 0.2\nACC 0.1 nan\n", r"line 3: found NaN or an infinite value"),
        ("2 2\nACG 0.1 0.2\nACG 0.1 0.2\n", r"line 3: found the k-mer ACG a second time"),
        ("2 2\nACG 0.1 0.2\nACN 0.1 0.2\n", r"line 3: found 'ACN', expected a k-mer of A, C, G and T"),
        ("2 2\nACG 0.1 0.2\nthe 0.1 0.2\n", r"line 3: found 'THE'"),
        ("3 2\nACG 0.1 0.2\nACC 0.1 0.2\n", r"found 2 words, the first line says 3\n.*cut"),
        ("1 2\n</s> 0.1 0.2\n", r"found no as lengths of k-mers, expected k-mers of length 1 to 8"),
        ("1 2\nACGTACGTA 0.1 0.2\n", r"found 9 as lengths of k-mers"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "v.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        DNA2Vec(path)
    assert str(path) in str(caught.value)


def test_a_k_that_the_file_lacks_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"found 4 as lengths of k-mers, expected k-mers of length 6"):
        DNA2Vec(write_kmer_vectors(tmp_path / "v.txt"), k=6)


def test_a_missing_file_a_cut_gzip_and_binary_vectors_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        DNA2Vec(tmp_path / "none.txt")
    whole = gzip.compress(write_kmer_vectors(tmp_path / "v.txt").read_bytes())
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="gzip data end early"):
        DNA2Vec(tmp_path / "cut.gz")
    (tmp_path / "v.bin").write_bytes(b"1 4\nACG " + np.arange(4, dtype=np.float32).tobytes())
    with pytest.raises(InputError, match=r"v\.bin, line 2"):
        DNA2Vec(tmp_path / "v.bin")


def test_a_gpu_is_refused(tmp_path):
    with pytest.raises(InputError, match="dna2vec runs on the CPU only, the device asked for is 'cuda'"):
        DNA2Vec(write_kmer_vectors(tmp_path / "v.txt"), device="cuda")


# If a vector changes on purpose, raise ALGORITHM_VERSION in workflow_lib/embed/dna2vec.py, then renew this value.
def test_vectors_change_with_the_fingerprint_only(tmp_path):
    embedder = DNA2Vec(write_vectors(tmp_path / "v.txt", {"A": [1, 0], "C": [0, 2], "G": [-1, 1], "T": [0.5, 0.25]}))
    assert embedder.fingerprint[:12] == "64041a900e71"
    np.testing.assert_allclose(embedder.embed(["AACGN"]), np.array([[1, 6.5]]) / np.hypot(1, 6.5), atol=1e-6)

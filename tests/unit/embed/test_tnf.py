"""TNF and TNF-K: the constraints, the kernel, the published values."""

import hashlib

import numpy as np
import pytest

from workflow_lib.embed import load_embedder
from workflow_lib.embed.registry import EMBEDDERS
from workflow_lib.embed.tnf import (
    project_frequencies,
    published_kernel,
    tetranucleotide_constraints,
    tetranucleotide_frequencies,
    tnf_k_kernel,
)
from workflow_lib.errors import InputError

ROUNDING = 2e-8  # of a kernel of 9 decimals, summed over 256 columns


def random_sequences(n, length=4000, seed=1):
    rng = np.random.default_rng(seed)
    composition = rng.dirichlet(np.full(4, 20), size=n)
    return [rng.choice(np.frombuffer(b"ACGT", dtype=np.uint8), length, p=p).tobytes() for p in composition]


def de_bruijn(k=4, alphabet="ACGT"):
    """A sequence in which every k-mer stands exactly once (greedy construction, 'prefer the largest')."""
    text, seen = alphabet[0] * k, {alphabet[0] * k}
    while True:
        for base in reversed(alphabet):
            word = text[len(text) - k + 1 :] + base
            if word not in seen:
                seen.add(word)
                text += base
                break
        else:
            return text


def test_kernel_is_an_orthonormal_basis_of_the_null_space():
    kernel, constraints = tnf_k_kernel(), tetranucleotide_constraints()
    assert kernel.shape == (256, 103)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(103), atol=ROUNDING)
    np.testing.assert_allclose(constraints @ kernel, 0, atol=10 * ROUNDING)
    assert np.linalg.matrix_rank(constraints) == 256 - 103


def test_kernel_is_in_echelon_form():
    """So it is the only basis of its kind, whatever rotation the singular vectors come in."""
    first = [np.flatnonzero(np.abs(column) > ROUNDING)[0] for column in tnf_k_kernel().T]
    assert (np.diff(first) > 0).all()
    assert (tnf_k_kernel()[first, np.arange(103)] > 0).all()


def test_frequencies_of_a_circle_obey_the_constraints():
    for sequence in random_sequences(3):
        circle = sequence + sequence[:3]
        frequencies = tetranucleotide_frequencies([circle])[0].astype(float)
        left = tetranucleotide_constraints() @ frequencies
        np.testing.assert_allclose(left[:-1], 0, atol=1e-7)
        assert left[-1] == pytest.approx(1, abs=1e-6)


def test_projection_loses_nothing_that_two_strands_share():
    circles = [sequence + sequence[:3] for sequence in random_sequences(20)]
    frequencies = tetranucleotide_frequencies(circles)
    projected = project_frequencies(frequencies).astype(float)
    centred = frequencies.astype(float) - 1 / 256
    np.testing.assert_allclose(projected @ projected.T, centred @ centred.T, atol=1e-9)


def test_projection_equals_the_matrix_product():
    frequencies = tetranucleotide_frequencies(random_sequences(9))
    expected = (frequencies.astype(float) - 1 / 256) @ tnf_k_kernel()
    np.testing.assert_allclose(project_frequencies(frequencies, threads=2), expected, rtol=1e-6, atol=1e-10)


def test_tnf_k_of_one_strand_is_that_of_both():
    sequences = random_sequences(5)
    one = load_embedder("tnf-k", both_strands=False).embed(sequences)
    np.testing.assert_allclose(one, load_embedder("tnf-k").embed(sequences), atol=1e-5)


def test_even_frequencies_have_no_direction():
    sequence = de_bruijn()
    assert (tetranucleotide_frequencies([sequence], both_strands=False) == 1 / 256).all()
    assert (load_embedder("tnf-k").embed([sequence]) == 0).all()
    assert np.linalg.norm(load_embedder("tnf").embed([sequence])) == pytest.approx(1, abs=1e-6)


def test_published_kernel_holds_the_rows_of_the_kernel():
    kernel, published = tnf_k_kernel(), published_kernel()
    # Column 1 is AAAT here, row 1 is AAAC in the order A, C, G, T, and AAAC is column 2 here.
    assert np.array_equal(published[1], kernel[2])
    assert np.array_equal(np.sort(published, axis=0), np.sort(kernel, axis=0))


# If a vector changes on purpose, raise ALGORITHM_VERSION in workflow_lib/embed/tnf.py: old shards and indexes must not
# be taken for new ones. Then renew both values.
@pytest.mark.parametrize(
    ("name", "fingerprint", "digest"),
    [("tnf", "831d150b83ad", "7ddf9f910638"), ("tnf-k", "7e1a49549327", "8cddee93db91")],
)
def test_vectors_change_with_the_fingerprint_only(name, fingerprint, digest):
    embedder = load_embedder(name)
    vectors = embedder.embed(["ACGGT" * 3 + de_bruijn() + "GGGATTCA" * 7, de_bruijn(6)[:3000] + "N" + de_bruijn(5)])
    found = hashlib.sha256((vectors.round(5) + 0).tobytes()).hexdigest()[:12]
    assert (embedder.fingerprint[:12], found) == (fingerprint, digest)


@pytest.mark.parametrize("name", ["tnf", "tnf-k"])
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_is_refused_plainly(name, device):
    with pytest.raises(InputError, match=f"{name} runs on the CPU only, the device asked for is '{device}'"):
        load_embedder(name, device=device)


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(InputError) as caught:
        load_embedder("tnf-z")
    assert "'tnf-z'" in str(caught.value)
    assert all(name in str(caught.value) for name in EMBEDDERS)


def test_an_unknown_option_lists_what_there_is():
    with pytest.raises(InputError, match="tnf has no option window; it has: both_strands, threads"):
        load_embedder("tnf", window=5)


@pytest.fixture(scope="module")
def oracle(shared):
    with np.load(shared / "oracles/tnf.npz") as data:
        return {name: data[name] for name in data.files}


@pytest.mark.shared
def test_frequencies_equal_the_reference(oracle):
    found = tetranucleotide_frequencies([str(s) for s in oracle["sequences"]], both_strands=False)
    np.testing.assert_allclose(found, oracle["tnf"], rtol=0, atol=4e-9)  # float32 rounding of values below 1/16


@pytest.mark.shared
def test_published_tnf_k_equals_the_reference(oracle):
    sequences = [str(s) for s in oracle["sequences"]]
    frequencies = tetranucleotide_frequencies(sequences, both_strands=False)
    projected = project_frequencies(frequencies, kernel=published_kernel()).astype(float)
    gram = oracle["tnf_k_gram"]  # of about 0.002
    np.testing.assert_allclose(projected @ projected.T, gram, rtol=0, atol=1e-9)
    lengths = np.sqrt(np.diag(gram))
    unit = load_embedder("tnf-k", both_strands=False, published_order=True).embed(sequences)
    np.testing.assert_allclose(unit @ unit.T, gram / np.outer(lengths, lengths), atol=2e-6)

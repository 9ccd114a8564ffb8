"""Numbers of reads that were given as depth are told from depth."""

import numpy as np
import pytest

from workflow_lib.bin.fuse import Depth
from workflow_lib.bin.read_counts import refuse_read_counts, share_like_counts
from workflow_lib.embed.base import unit_rows
from workflow_lib.errors import InputError


def make_sample(*, n_genomes=8, n_contigs=40, longer_if_deeper=0.0, strains=False, seed=0):
    """Unit rows, lengths and depth (n,) of genomes; contigs of deep genomes are longer by that power of depth.

    Strains: two genomes each have one composition, the second 20 times as deep as the first.
    """
    rng = np.random.default_rng(seed)
    levels, centres = rng.lognormal(3, 1.5, n_genomes), rng.standard_normal((n_genomes, 16))
    if strains:
        levels[1::2], centres[1::2] = 20 * levels[::2], centres[::2]
    level, centre = np.repeat(levels, n_contigs), np.repeat(centres, n_contigs, axis=0)
    vectors = unit_rows((centre + 0.3 * rng.standard_normal(centre.shape)).astype(np.float32))
    lengths = (5000 * level**longer_if_deeper * rng.lognormal(0, 0.8, len(level))).astype(np.int64) + 1500
    return vectors, lengths, level * rng.lognormal(0, 0.2, len(level))


def as_depth(*columns):
    mean = np.stack(columns, axis=1)
    return Depth([f"library{number}" for number in range(mean.shape[1])], mean, mean)


@pytest.mark.parametrize("longer_if_deeper", [-0.5, 0, 0.5])
def test_depth_does_not_grow_with_length_and_counts_do(longer_if_deeper):
    vectors, lengths, mean = make_sample(longer_if_deeper=longer_if_deeper)
    (depth, counts), n_pairs = share_like_counts(as_depth(mean, mean * lengths / 150), vectors, lengths)
    assert depth < 0.25
    assert counts > 0.75
    assert n_pairs[0] == n_pairs[1] > 80


@pytest.mark.parametrize("longer_if_deeper", [0, 0.2])
def test_depth_of_deep_strains_in_long_contigs_is_depth(longer_if_deeper):
    for seed in range(20):
        vectors, lengths, mean = make_sample(strains=True, longer_if_deeper=longer_if_deeper, seed=seed)
        refuse_read_counts(as_depth(mean), vectors, lengths)


def test_the_library_of_counts_is_named():
    vectors, lengths, mean = make_sample()
    refuse_read_counts(as_depth(mean, mean), vectors, lengths)
    with pytest.raises(InputError, match="the depth of library1 grows") as error:
        refuse_read_counts(as_depth(mean, mean * lengths), vectors, lengths)
    assert "mean coverage" in str(error.value)


def test_it_must_be_certain():
    """Of 12 contigs all pairs look like counts, which may be chance; of 60 not."""
    for n, is_refused in ((12, False), (60, True)):
        vectors = unit_rows(np.eye(n, dtype=np.float32) + np.kron(np.eye(n // 2), np.ones((2, 2))).astype(np.float32))
        lengths = np.tile([2000, 8000], n // 2)
        (share,), (n_pairs,) = share_like_counts(as_depth(lengths * 1.0), vectors, lengths)
        assert (share, n_pairs) == (1, n)
        if is_refused:
            with pytest.raises(InputError, match="in 100% of the pairs"):
                refuse_read_counts(as_depth(lengths * 1.0), vectors, lengths)
        else:
            refuse_read_counts(as_depth(lengths * 1.0), vectors, lengths)


def test_what_has_no_depth_no_vector_or_one_length_is_not_compared():
    vectors, lengths, mean = make_sample()
    counts = mean * lengths
    some = np.where(np.arange(len(mean)) % 5 == 0, 0, counts)
    unknown = np.where(np.arange(len(mean)) % 5 == 1, np.nan, counts)
    share, n_pairs = share_like_counts(as_depth(some, unknown, counts, 0 * mean), vectors, lengths)
    assert (share[:3] > 0.7).all()
    assert (n_pairs[:2] < n_pairs[2]).all()
    assert (share[3], n_pairs[3]) == (0, 0)
    assert share_like_counts(as_depth(counts), vectors, np.full(len(lengths), 5000))[1] == 0
    assert share_like_counts(as_depth(counts[:1]), vectors[:1], lengths[:1])[1] == 0
    assert share_like_counts(as_depth(counts[:0]), vectors[:0], lengths[:0])[1] == 0
    vectors[::2] = 0  # not embedded
    (share,), (n_pairs,) = share_like_counts(as_depth(counts), vectors, np.where(np.arange(320) % 2, lengths, 10**9))
    assert share > 0.7
    assert n_pairs <= 160


def test_order_of_contigs_does_not_matter():
    vectors, lengths, mean = make_sample()
    order = np.random.default_rng(1).permutation(len(mean))
    shuffled = share_like_counts(as_depth(mean[order]), vectors[order], lengths[order])
    assert shuffled == share_like_counts(as_depth(mean), vectors, lengths)

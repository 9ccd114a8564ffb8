"""Numbers of reads that were given as depth are told from depth."""

import logging

import numpy as np
import pytest

from workflow_lib.bin import read_counts
from workflow_lib.bin.fuse import Depth
from workflow_lib.bin.read_counts import refuse_read_counts, share_like_counts
from workflow_lib.embed.base import unit_rows
from workflow_lib.errors import InputError


def make_sample(*, n_genomes=8, n_contigs=40, longer_if_deeper=0.0, seed=0):
    """Unit rows, lengths and depth (n,) of genomes; contigs of deep genomes are longer by that power of depth."""
    rng = np.random.default_rng(seed)
    levels, centres = rng.lognormal(3, 1.5, n_genomes), rng.standard_normal((n_genomes, 16))
    level, centre = np.repeat(levels, n_contigs), np.repeat(centres, n_contigs, axis=0)
    vectors = unit_rows((centre + 0.3 * rng.standard_normal(centre.shape)).astype(np.float32))
    lengths = (5000 * level**longer_if_deeper * rng.lognormal(0, 0.8, len(level))).astype(np.int64) + 1500
    return vectors, lengths, level * rng.lognormal(0, 0.2, len(level))


def make_pairs(n, lengths=(2000, 5000)):
    """Unit rows and lengths of 2 n contigs, each two alike in composition and unlike all others."""
    return np.repeat(np.eye(n, dtype=np.float32), 2, axis=0), np.tile(np.array(lengths), n)


def as_depth(*columns, variance=np.nan):
    mean = np.stack(columns, axis=1)
    return Depth([f"library{number}" for number in range(mean.shape[1])], mean, np.full(mean.shape, variance))


@pytest.mark.parametrize("longer_if_deeper", [-0.5, 0, 0.5])
def test_depth_does_not_grow_with_length_and_counts_do(longer_if_deeper):
    vectors, lengths, mean = make_sample(longer_if_deeper=longer_if_deeper)
    columns = np.stack([mean, mean * lengths / 150], axis=1)
    (depth, counts), n_pairs, n_partners = share_like_counts(columns, vectors, lengths)
    assert depth < 0.25
    assert counts > 0.75
    assert n_pairs[0] == n_pairs[1] > 310
    assert 50 < n_partners[0] == n_partners[1] < 320


def test_depth_of_deep_strains_in_long_contigs_is_depth():
    """As assemblers give them: few long contigs of the strain that is deep, many short ones of the other."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        centres = np.repeat(rng.standard_normal((8, 16)), 60, axis=0)
        vectors = unit_rows((centres + 0.3 * rng.standard_normal(centres.shape)).astype(np.float32))
        is_deep = np.tile(np.arange(60) < 20, 8)
        lengths = (np.where(is_deep, 40_000, 2500) * rng.lognormal(0, 0.6, len(vectors))).astype(np.int64) + 1500
        mean = np.repeat(rng.lognormal(3, 1, 8), 60) * np.where(is_deep, 10, 1) * rng.lognormal(0, 0.2, len(vectors))
        refuse_read_counts(as_depth(mean), vectors, lengths)
        with pytest.raises(InputError):
            refuse_read_counts(as_depth(mean * lengths), vectors, lengths)


def test_the_libraries_of_counts_are_named():
    vectors, lengths, mean = make_sample()
    refuse_read_counts(as_depth(mean, mean), vectors, lengths)
    (_, share, other), n_pairs, _ = share_like_counts(
        np.stack([mean, mean * lengths, mean * lengths**2.0], axis=1), vectors, lengths
    )
    with pytest.raises(InputError) as error:
        refuse_read_counts(as_depth(mean, mean * lengths, mean * lengths**2.0), vectors, lengths)
    told = f"(library1, {100 * share:.0f}% of 320 pairs; library2, {100 * other:.0f}% of 320 pairs)"
    assert told in str(error.value)
    assert n_pairs[1] == 320
    assert "mean coverage" in str(error.value)


def test_two_thirds_of_the_pairs_are_counts():
    vectors, lengths = make_pairs(90)
    for n_like_counts, is_refused in ((60, False), (61, True)):
        mean = np.where(np.arange(180) < 2 * n_like_counts, lengths, 3000.0)
        share, n_pairs, n_partners = share_like_counts(mean[:, None], vectors, lengths)
        assert (share[0], n_pairs[0], n_partners[0]) == (n_like_counts / 90, 180, 180)
        if is_refused:
            with pytest.raises(InputError, match="68% of 180 pairs"):
                refuse_read_counts(as_depth(mean), vectors, lengths)
        else:
            refuse_read_counts(as_depth(mean), vectors, lengths)


@pytest.mark.parametrize(("n", "is_refused"), [(4, False), (5, True)])
def test_it_must_be_certain(caplog, n, is_refused):
    """Where all of 8 pairs look like counts it may be chance, of 10 not."""
    caplog.set_level(logging.INFO)
    vectors, lengths = make_pairs(n)
    if is_refused:
        with pytest.raises(InputError, match="100% of 10 pairs"):
            refuse_read_counts(as_depth(lengths * 1.0), vectors, lengths)
    else:
        refuse_read_counts(as_depth(lengths * 1.0), vectors, lengths)
    assert ("too few contigs to tell" in caplog.text) != is_refused


def test_many_short_contigs_of_one_long_one_are_few_pairs():
    vectors, lengths = np.ones((41, 1), dtype=np.float32), np.array([5000] + [2000] * 40)
    share, n_pairs, n_partners = share_like_counts(lengths[:, None] * 1.0, vectors, lengths)
    assert (share[0], n_pairs[0], n_partners[0]) == (1, 41, 2)
    refuse_read_counts(as_depth(lengths * 1.0), vectors, lengths)


@pytest.mark.parametrize(("longer", "n_pairs"), [(3900, 0), (4100, 20), (7900, 20), (8100, 0)])
def test_lengths_of_two_to_four_times_are_compared(longer, n_pairs):
    vectors, lengths = make_pairs(10, (2000, longer))
    assert share_like_counts(lengths[:, None] * 1.0, vectors, lengths)[1] == n_pairs


def test_half_way_between_depth_and_counts_parts_them():
    vectors, lengths = make_pairs(10)
    for power, expected in ((0.49, 0), (0.51, 1), (-1, 0)):
        assert share_like_counts(lengths[:, None] ** float(power), vectors, lengths)[0] == expected


def test_the_nearest_in_composition_is_compared_of_those_that_can_be():
    vectors = unit_rows(np.array([[1, 0], [1, 0.1], [1, 0.5], [0, 1]], dtype=np.float32))
    lengths = np.array([2000, 2100, 5000, 5400])  # the second is nearest to the first, but as long
    share, n_pairs, n_partners = share_like_counts(np.array([[1.0, 9, 1.1, 1]]).T, vectors, lengths)
    assert (share[0], n_pairs[0], n_partners[0]) == (0, 4, 2)  # 0-2, 1-2, 2-1, 3-1: all smaller in the longer one
    assert share_like_counts(np.array([[1.0, 9, 99, 1]]).T, vectors, lengths)[0] == 0.75


def test_what_has_no_depth_no_vector_or_one_length_is_not_compared():
    vectors, lengths = make_pairs(20)
    counts = lengths * 1.0
    columns = np.stack([counts] * 4, axis=1)
    columns[0, 0], columns[3, 1], columns[::2, 2], columns[:, 3] = 0, np.nan, np.nan, 0
    share, n_pairs, n_partners = share_like_counts(columns, vectors, lengths)
    assert share.tolist() == [1, 1, 0, 0]
    assert n_pairs.tolist() == n_partners.tolist() == [38, 38, 0, 0]
    assert share_like_counts(counts[:, None], vectors, np.full(len(lengths), 5000))[1] == 0
    for n in (0, 1):
        assert [one.tolist() for one in share_like_counts(columns[:n], vectors[:n], lengths[:n])] == [[0] * 4] * 3
    assert share_like_counts(counts[:2, None], vectors[:2], lengths[:2])[1] == 2
    vectors[:20] = 0  # not embedded
    assert share_like_counts(counts[:, None], vectors, lengths)[1] == 20


def test_libraries_with_variances_are_depth():
    vectors, lengths = make_pairs(20)
    refuse_read_counts(as_depth(lengths * 1.0, variance=1.0), vectors, lengths)
    depth = as_depth(lengths * 1.0, lengths * 1.0, variance=1.0)
    depth.variance[:, 1] = np.nan
    depth.variance[0, 0] = np.nan  # of one contig it is not known
    with pytest.raises(InputError, match=r"\(library1, 100% of 40 pairs\)"):
        refuse_read_counts(depth, vectors, lengths)


def test_of_many_contigs_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(read_counts, "_CONTIGS", 50)
    vectors, lengths, mean = make_sample()
    (share,), (n_pairs,), _ = share_like_counts((mean * lengths)[:, None], vectors, lengths)
    assert 40 < n_pairs <= 50
    assert share > 0.7


def test_order_of_contigs_does_not_matter():
    vectors, lengths, mean = make_sample()
    order = np.random.default_rng(1).permutation(len(mean))
    shuffled = share_like_counts(mean[order, None], vectors[order], lengths[order])
    assert shuffled == share_like_counts(mean[:, None], vectors, lengths)

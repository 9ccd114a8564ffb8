"""Numbers of reads that were given as depth are told from depth."""

import numpy as np
import pytest

from workflow_lib.bin.fuse import Depth
from workflow_lib.bin.read_counts import growth_with_length, refuse_read_counts
from workflow_lib.embed.base import unit_rows
from workflow_lib.errors import InputError


def make_sample(*, n_genomes=8, n_contigs=40, longer_if_deeper=0.0, seed=0):
    """Unit rows, lengths and depth (n,) of genomes; contigs of deep genomes are longer by that power of depth."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.lognormal(3, 1.5, n_genomes), n_contigs)
    centres = np.repeat(rng.standard_normal((n_genomes, 16)), n_contigs, axis=0)
    vectors = unit_rows((centres + 0.3 * rng.standard_normal(centres.shape)).astype(np.float32))
    lengths = (5000 * level**longer_if_deeper * rng.lognormal(0, 0.8, len(level))).astype(np.int64) + 1500
    return vectors, lengths, level * rng.lognormal(0, 0.2, len(level))


def as_depth(*columns):
    mean = np.stack(columns, axis=1)
    return Depth([f"library{number}" for number in range(mean.shape[1])], mean, mean)


@pytest.mark.parametrize("longer_if_deeper", [-0.5, 0, 0.5])
def test_depth_does_not_grow_with_length_and_counts_do(longer_if_deeper):
    vectors, lengths, mean = make_sample(longer_if_deeper=longer_if_deeper)
    growth = growth_with_length(as_depth(mean, mean * lengths / 150), vectors, lengths)
    assert growth == pytest.approx([0, 1], abs=0.15)


def test_the_library_of_counts_is_named():
    vectors, lengths, mean = make_sample()
    refuse_read_counts(as_depth(mean, mean), vectors, lengths)
    with pytest.raises(InputError, match="the depth of library1 grows") as error:
        refuse_read_counts(as_depth(mean, mean * lengths), vectors, lengths)
    assert "mean coverage" in str(error.value)


def test_what_has_no_depth_no_vector_or_one_length_says_nothing():
    vectors, lengths, mean = make_sample()
    counts = mean * lengths
    some = np.where(np.arange(len(mean)) % 5 == 0, 0, counts)
    unknown = np.where(np.arange(len(mean)) % 5 == 1, np.nan, counts)
    assert growth_with_length(as_depth(some, unknown), vectors, lengths) == pytest.approx([1, 1], abs=0.15)
    assert np.isnan(growth_with_length(as_depth(0 * mean), vectors, lengths))
    assert np.isnan(growth_with_length(as_depth(counts), vectors, np.full(len(lengths), 5000)))
    assert np.isnan(growth_with_length(as_depth(counts[:20]), vectors[:20], lengths[:20]))
    vectors[::2] = 0
    lengths[::2] = 10**9
    assert growth_with_length(as_depth(mean * lengths), vectors, lengths) == pytest.approx([1], abs=0.15)


def test_order_of_contigs_does_not_matter():
    vectors, lengths, mean = make_sample()
    order = np.random.default_rng(1).permutation(len(mean))
    assert growth_with_length(as_depth(mean[order]), vectors[order], lengths[order]) == pytest.approx(
        growth_with_length(as_depth(mean), vectors, lengths)
    )

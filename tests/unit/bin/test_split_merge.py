"""Which bins are split and which are merged, one step at a time."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from workflow_lib.bin.mixture import Bins, Contigs, Noise
from workflow_lib.bin.relatives import Relatives, no_relatives
from workflow_lib.bin.split_merge import _may_be_one, merge_bins, one_against_two, split_bins

DIM = 24
NOISE = 0.25  # of log depth


def step(sizes, *, apart=0.0, depth_apart=0.0, n_libraries=1, relatives=None):
    """What `split_bins` and `merge_bins` take, before the labels; and which contigs are of the second genome.

    Distances are in standard deviations of the noise; there are 24 axes of composition.
    """
    rng = np.random.default_rng(1)
    second = np.repeat([False, True], sizes)
    composition = rng.standard_normal((len(second), DIM))
    composition[second, 0] += apart
    log_depth = 2 + NOISE * rng.standard_normal((len(second), n_libraries))
    log_depth[second] += NOISE * depth_apart
    variance = np.full(log_depth.shape, NOISE**2)
    known, lengths = np.ones(len(second), dtype=bool), np.full(len(second), 5000.0)
    contigs = Contigs(composition, known, log_depth, lengths, relatives or no_relatives(len(second)))
    zeros = np.zeros((1, DIM))
    bins = Bins(np.eye(DIM), zeros, np.zeros(1), zeros[0], zeros[0], *np.zeros((2, 1, n_libraries)))
    return (contigs, Noise(np.ones(len(second)), variance), bins, variance), second.astype(np.int64)


def n_split(sizes, **apart):
    given, second = step(sizes, **apart)
    return split_bins(*given, np.zeros_like(second), set())[1]


def n_merged(sizes, **apart):
    given, second = step(sizes, **apart)
    return merge_bins(*given, second, np.zeros((len(second), 0), dtype=np.uint8), without_gap=False)[1]


@pytest.mark.parametrize(("depth_apart", "found"), [(2.0, 0), (3.2, 1)])
def test_depths_that_are_near_do_not_split_however_many_contigs_tell_them_apart(depth_apart, found):
    """2000 contigs gain 120 in log-likelihood from two depths that are 2 standard deviations apart, 11 would do."""
    assert n_split((1000, 1000), depth_apart=depth_apart) == found


@pytest.mark.parametrize("apart", [{"depth_apart": 20.0}, {"apart": 40.0}])
@pytest.mark.parametrize(("sizes", "found"), [((30, 4), 0), ((30, 5), 1), ((100, 10), 0), ((100, 12), 1)])
def test_the_smaller_part_has_five_contigs_and_a_tenth(apart, sizes, found):
    assert n_split(sizes, **apart) == found


@pytest.mark.parametrize(
    ("apart", "found"),
    [({}, 1), ({"depth_apart": 2.5}, 0), ({"apart": 2.5, "depth_apart": 5}, 0)],
)
def test_bins_of_one_composition_are_merged_where_their_depth_is_one(apart, found):
    assert n_merged((60, 60), **apart) == found


@pytest.mark.parametrize(("apart", "one"), [(0.0, True), (2.0, True), (12.0, False)])
def test_without_depth_composition_decides(apart, one):
    assert n_split((60, 60), apart=apart, n_libraries=0) == (not one)
    assert n_merged((60, 60), apart=apart, n_libraries=0) == one


def test_composition_counts_on_the_axes_of_the_bins():
    (contigs, noise, bins, variance), second = step((30, 30), apart=40.0)
    one_bin = np.zeros_like(second)
    assert split_bins(contigs, noise, bins, variance, one_bin, set())[1] == 1
    blind = replace(bins, axes=np.diag(np.arange(DIM) > 0).astype(np.float64))
    assert split_bins(contigs, noise, blind, variance, one_bin, set())[1] == 0


def test_bins_that_were_whole_are_not_looked_at_again():
    given, second = step((30, 30), apart=40.0)
    whole, one_bin = set(), np.zeros_like(second)
    assert split_bins(*given, second, whole)[1] == 0
    assert len(whole) == 2
    assert split_bins(*given, one_bin, whole)[1] == 1  # of other contigs
    assert split_bins(*given, one_bin, {np.arange(60).tobytes()})[1] == 0


@pytest.mark.parametrize("n", [0, 1, 9])
def test_bins_of_few_contigs_or_none_stay(n):
    given, second = step((n, 0))
    labels, found = split_bins(*given, second, set())
    assert found == 0
    assert np.array_equal(labels, second)
    unbinned, found = split_bins(*given, np.full(n, -1), set())
    assert found == 0
    assert (unbinned == -1).all()


def test_marker_families_of_parts_of_a_genome_differ_and_those_of_two_genomes_do_not():
    n, n_others = 30, 40
    likelier = [one_against_two(70, n, n_others, both) for both in range(n + 1)]
    assert np.all(np.diff(likelier) < 0)
    assert likelier[0] > 20
    assert likelier[17] < -20  # what two genomes would have: 30 x 40 / 70
    expected = binom.logpmf(3, n, 0.05) - hypergeom.logpmf(3, 70, n, n_others)
    assert likelier[3] == pytest.approx(expected)
    assert one_against_two(70, n, n_others, 3) == one_against_two(70, n_others, n, 3)
    assert one_against_two(70, 0, n, 0) == 0  # nothing found: nothing is told
    for n_families in (1100, 2000):  # probabilities too small for a float
        half = n_families // 2
        assert one_against_two(n_families, half, half, 0) == pytest.approx(
            half * np.log(0.95) - hypergeom.logpmf(0, n_families, half, half)
        )


@pytest.mark.parametrize(
    ("both", "may_be"), [(0, (True, True)), (1, (True, True)), (2, (True, False)), (3, (False, False))]
)
def test_close_bins_may_be_one_where_markers_do_not_tell_and_far_ones_where_they_do(both, may_be):
    """60 and 5 of 70 families: two genomes would have 4 in common, parts of one none; ratios 10.5, 5.3, 0.2, -4.7."""
    found = np.arange(70) < 60
    other = (np.arange(70) >= 60 - both) & (np.arange(70) < 65 - both)
    others = np.stack([other, other])
    assert tuple(_may_be_one(found, others, np.array([True, False]))) == may_be


def related(*parts):
    """Relatives of contigs in groups of (number, species, how many of them are sure)."""
    species = np.repeat([species for _, species, _ in parts], [n for n, _, _ in parts]).astype(np.int64)
    return Relatives(species, np.concatenate([np.arange(n) < sure for n, _, sure in parts]))


@pytest.mark.parametrize(
    ("second", "depth_apart", "found"),
    [((40, 0, 40), 0.0, 1), ((40, 0, 4), 0.0, 0), ((40, 1, 40), 0.0, 0), ((40, -1, 0), 0.0, 0), ((40, 0, 40), 6.0, 0)],
)
def test_bins_of_one_species_are_one_genome_unless_their_depths_part_them(second, depth_apart, found):
    relatives = related((40, 0, 40), second)
    assert n_merged((40, 40), apart=10.0, depth_apart=depth_apart, relatives=relatives) == found


def test_bins_of_two_species_stay_two_whatever_else_they_are():
    assert n_merged((40, 40)) == 1
    assert n_merged((40, 40), relatives=related((40, 0, 40), (40, 1, 40))) == 0
    assert n_merged((40, 40), relatives=related((40, 0, 40), (40, 1, 4))) == 1  # four do not tell of their bin


def test_bins_are_told_by_their_numbers_where_some_are_empty():
    """As after other merges: bin 1 has no contigs."""
    given, second = step((40, 40), apart=10.0, relatives=related((40, 0, 40), (40, 0, 40)))
    no_genes = np.zeros((80, 0), dtype=np.uint8)
    assert merge_bins(*given, 2 * second, no_genes, without_gap=False)[1] == 1
    given, second = step((40, 40), relatives=related((40, 0, 40), (40, 1, 40)))
    assert merge_bins(*given, 2 * second, no_genes, without_gap=False)[1] == 0


def test_names_that_several_species_share_do_not_merge_what_is_far_apart():
    assert n_merged((40, 40), apart=30.0, relatives=related((40, 0, 40), (40, 0, 40))) == 0


@pytest.mark.parametrize(("apart", "found"), [({"apart": 20.0}, 0), ({"depth_apart": 8.0}, 1)])
def test_parts_of_one_species_are_split_by_depth_only(apart, found):
    """Else merges and splits would undo each other."""
    assert n_split((40, 40), **apart) == 1
    assert n_split((40, 40), **apart, relatives=related((40, 0, 40), (40, 0, 40))) == found
    assert n_split((40, 40), **apart, relatives=related((40, 0, 40), (40, -1, 0))) == 1

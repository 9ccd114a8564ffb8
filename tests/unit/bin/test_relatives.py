"""What relatives in the reference do for bins: the table, its weight, and bins of several species."""

import math

import numpy as np
import pytest

from workflow_lib.bin.fuse import DepthProfile
from workflow_lib.bin.mixture import prepare, settle
from workflow_lib.bin.relatives import (
    Relatives,
    no_relatives,
    read_relatives,
    species_of_bins,
    split_by_species,
    weigh_relatives,
)
from workflow_lib.bin.split_merge import refine_by_likelihood
from workflow_lib.errors import InputError

HEADER = "contig\tspecies\tgenome\tidentity\tnext_species\tnext_identity\n"
STRAY = 0.05


def relatives_of(species, sure=None):
    species = np.array(species, dtype=np.int64)
    return Relatives(species, (species >= 0) if sure is None else np.array(sure, dtype=bool))


def test_a_contig_is_sure_from_an_identity_and_a_margin_on(tmp_path):
    rows = ["a\tx\tg\t0.9600\ty\t0.9400", "b\tx\tg\t0.9599\t\t", "c\ty\tg\t0.9800\tx\t0.9601", "d\t\t\t\t\t"]
    rows += ['e"\tx\tg\t1.0\t\t', "f\tx\tg\t0.8999\t\t", "g\tx\tg\t0.9000\t\t"]
    (tmp_path / "t.tsv").write_text(HEADER + "\n".join(rows) + "\n")
    found = read_relatives(tmp_path / "t.tsv", ["a", "b", "c", "d", 'e"', "f", "g"])
    assert found.species.tolist() == [0, 0, 1, -1, 0, -1, 0]
    assert found.is_sure.tolist() == [True, False, False, False, True, False, False]
    with pytest.raises(InputError, match="of 7 contigs, 2 are embedded"):
        read_relatives(tmp_path / "t.tsv", ["b", "a"])


def test_no_contigs_have_no_relatives(tmp_path):
    (tmp_path / "t.tsv").write_text(HEADER)
    assert len(read_relatives(tmp_path / "t.tsv", []).species) == 0


def test_evidence_is_the_likelihood_that_is_documented():
    rng = np.random.default_rng(1)
    labels, species = rng.integers(-1, 4, 200), rng.integers(-1, 5, 200)
    species[labels == 2] = -1  # a bin without any
    evidence = weigh_relatives(relatives_of(species), labels, 4)
    found = evidence.look_up(np.arange(-1, 5), slice(None))
    for row, one in enumerate(range(-1, 5)):
        share = np.mean(species == one)
        for k in range(4):
            own = (np.count_nonzero(species[labels == k] == one) + share) / (np.count_nonzero(labels == k) + 1)
            expected = math.log(((1 - STRAY) * own + STRAY * share) / (STRAY * share))
            assert found[row, k] == pytest.approx(expected)
    assert np.allclose(evidence.look_up(np.array([3, -1]), np.array([0, 2])), found[[4, 0]][:, [0, 2]])
    assert evidence.of_unknown == pytest.approx(-math.log(STRAY))


def test_a_species_of_contigs_without_a_bin_is_absent_everywhere():
    evidence = weigh_relatives(relatives_of([0, 0, 1]), np.array([0, 0, -1]), 1)
    found = evidence.look_up(np.array([0, 1]), slice(None))[:, 0]
    assert found[0] > 2 and found[1] == pytest.approx(math.log(1 + 0.95 / 0.05 / 3))


@pytest.mark.parametrize(
    ("species", "sure", "found"),
    [
        ([7] * 5, 5, 7),
        ([7] * 5, 4, -1),  # four are sure
        ([7] * 5 + [8] * 5, 10, -1),  # no more than half
        ([7] * 6 + [8] * 5, 11, 7),
        ([7] * 5 + [-1] * 45, 5, 7),
        ([7] * 5 + [-1] * 46, 5, -1),  # less than a tenth of the bin
    ],
)
def test_the_species_of_a_bin(species, sure, found):
    relatives = relatives_of([*species, 9, 9], np.arange(len(species) + 2) < sure)
    labels = np.array([0] * len(species) + [2, 2])
    assert species_of_bins(relatives, labels, 4).tolist() == [found, -1, -1, -1]


@pytest.mark.parametrize(("second", "new"), [(4, 0), (5, 1), (9, 1)])
def test_a_second_species_with_five_sure_contigs_leaves_the_bin(second, new):
    relatives = relatives_of([3] * 20 + [-1] * 10 + [1] * second)
    labels, found = split_by_species(relatives, np.zeros(len(relatives.species), dtype=np.int64))
    assert found == new
    assert (labels[:30] == 0).all() and (labels[30:] == new).all()


def test_a_second_species_has_a_fifth_of_the_sure_contigs():
    for n, new in ((40, 1), (41, 0)):
        relatives = relatives_of([3] * n + [1] * 10)
        assert split_by_species(relatives, np.zeros(n + 10, dtype=np.int64))[1] == new


@pytest.mark.parametrize(("n", "elsewhere", "new"), [(4, 0, 0), (5, 0, 1), (20, 4, 1), (20, 6, 0)])
def test_a_species_without_a_bin_gets_one(n, elsewhere, new):
    """Not where its contigs, few as they may be, have a bin."""
    relatives = relatives_of([3] * n + [-1] * 10 + [3] * elsewhere)
    labels, found = split_by_species(relatives, np.repeat([-1, -1, 0], [n, 10, elsewhere]))
    assert found == new
    assert (labels[n : n + 10] == -1).all() and (labels[n + 10 :] == 0).all()
    assert (labels[:n] == (labels.max() if new else -1)).all()


def sample(n_genomes=8, per_genome=50, dim=24, seed=1):
    """Composition, profile, lengths and truth; genomes 0 and 1 are as alike as contigs of one genome."""
    rng = np.random.default_rng(seed)
    centres = 1.5 * rng.standard_normal((n_genomes, dim))
    centres[1] = centres[0]
    truth = np.repeat(np.arange(n_genomes), per_genome)
    composition = (centres[truth] + rng.standard_normal((len(truth), dim))).astype(np.float32)
    profile = DepthProfile([], np.zeros((len(truth), 0)), np.zeros((len(truth), 0)), np.zeros(0))
    return composition, profile, np.full(len(truth), 6000), truth


def test_genomes_that_composition_cannot_part_come_apart_by_their_species():
    composition, profile, lengths, truth = sample()
    one_bin = np.where(truth == 1, 0, truth)
    known = np.arange(len(truth)) % 5 > 0  # of four contigs in five the reference has something
    relatives = relatives_of(np.where((truth < 2) & known, truth, -1))
    found = refine_by_likelihood(composition, profile, lengths, one_bin, rounds=4, relatives=relatives)
    assert len(set(found[(truth == 0) & known])) == len(set(found[(truth == 1) & known])) == 1
    assert found[0 + 1] != found[50 + 1]
    assert (refine_by_likelihood(composition, profile, lengths, one_bin, rounds=4)[truth < 2] == found[0]).all()


def test_a_contig_without_relatives_goes_to_the_genome_without_relatives():
    composition, profile, lengths, truth = sample()
    relatives = relatives_of(np.where(truth == 0, 0, -1))
    labels = truth.copy()
    labels[50:60], labels[:10] = 0, 1  # of genomes 0 and 1 some are in the bin of the other
    labels = settle(*prepare(composition, profile, lengths, relatives), labels, passes=4)[0]
    assert (labels[:50] == labels[20]).all() and (labels[50:100] == labels[80]).all() and labels[20] != labels[80]
    labels = settle(*prepare(composition, profile, lengths), np.where(truth == 1, 0, truth), passes=4)[0]
    assert (labels[:100] == labels[0]).all()


def test_a_reference_that_knows_nothing_changes_nothing():
    composition, profile, lengths, truth = sample()
    labels = np.where(np.arange(len(truth)) % 7, truth, -1)
    without = refine_by_likelihood(composition, profile, lengths, labels, rounds=2)
    found = refine_by_likelihood(composition, profile, lengths, labels, rounds=2, relatives=no_relatives(len(truth)))
    assert np.array_equal(found, without)

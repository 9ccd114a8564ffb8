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

HEADER = "contig\thashes\tspecies\tgenome\tidentity\tnext_species\tnext_identity\n"
STRAY = 0.05


def relatives_of(species, sure=None):
    species = np.array(species, dtype=np.int64)
    return Relatives(species, (species >= 0) if sure is None else np.array(sure, dtype=bool))


def test_a_contig_is_sure_from_an_identity_and_a_margin_on(tmp_path):
    rows = [
        "a\t10\tx\tg\t0.9600\ty\t0.9400",
        "b\t99\tx\tg\t0.9599\t\t",
        "c\t99\ty\tg\t0.9800\tx\t0.9601",
        "d\t99\t\t\t\t\t",
    ]
    rows += ['e"\t99\tx\tg\t1.0\t\t', "f\t99\tx\tg\t0.8999\t\t", "g\t99\tx\tg\t0.9000\t\t", "h\t9\tx\tg\t1.0\t\t"]
    (tmp_path / "t.tsv").write_text(HEADER + "\n".join(rows) + "\n")
    found = read_relatives(tmp_path / "t.tsv", ["a", "b", "c", "d", 'e"', "f", "g", "h"])
    assert found.species.tolist() == [1, 1, 2, -1, 1, -1, 1, 1]
    assert found.is_sure.tolist() == [True, False, False, False, True, False, False, False]
    with pytest.raises(InputError, match="of 8 contigs, 2 are embedded"):
        read_relatives(tmp_path / "t.tsv", ["b", "a"])


@pytest.mark.parametrize(
    "text", ["", "contig\tspecies\na\tx\n", HEADER + "a\t9\tx\tg\tnear\t\t\n", HEADER + "a\t\t\t\t\t\t\n"]
)
def test_a_damaged_table_is_told(tmp_path, text):
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(InputError, match=r"t\.tsv[\s\S]*not a table of relatives"):
        read_relatives(tmp_path / "t.tsv", ["a"])


def test_no_contigs_have_no_relatives(tmp_path):
    (tmp_path / "t.tsv").write_text(HEADER)
    assert len(read_relatives(tmp_path / "t.tsv", []).species) == 0


def test_evidence_is_the_likelihood_that_is_documented():
    rng = np.random.default_rng(1)
    labels, species = rng.integers(-1, 4, 200), rng.integers(-1, 5, 200)
    species[:9] = [5] * 4 + [6] * 5  # below ten contigs
    species[labels == 2] = -1  # a bin without any
    kind = np.where(species >= 5, 5, species)
    evidence = weigh_relatives(relatives_of(species), labels, 4)
    found = evidence.look_up(np.arange(-1, 7), slice(None))
    for row, one in enumerate([-1, 0, 1, 2, 3, 4, 5, 5]):
        share = np.mean(kind == one)
        for k in range(4):
            own = (np.count_nonzero(kind[labels == k] == one) + share) / (np.count_nonzero(labels == k) + 1)
            expected = math.log(((1 - STRAY) * own + STRAY * share) / (STRAY * share))
            assert found[row, k] == pytest.approx(expected)
    assert np.allclose(evidence.look_up(np.array([3, -1]), np.array([0, 2])), found[[4, 0]][:, [0, 2]])
    assert evidence.of_unknown == pytest.approx(-math.log(STRAY))


def test_a_species_of_contigs_without_a_bin_is_absent_everywhere():
    evidence = weigh_relatives(relatives_of([0] * 10 + [1] * 10), np.repeat([0, -1], 10), 1)
    found = evidence.look_up(np.array([0, 1]), slice(None))[:, 0]
    assert found[0] > 3 and found[1] == pytest.approx(math.log(1 + 0.95 / 0.05 / 11))


@pytest.mark.parametrize("known", [0, 3])
def test_nothing_to_tell(known):
    evidence = weigh_relatives(relatives_of([-1] * known), np.full(known, -1), 2)
    assert evidence.look_up(np.array([-1]), slice(None)).shape == (1, 2)
    assert species_of_bins(no_relatives(known), np.full(known, -1), 2).tolist() == [-1, -1]
    assert split_by_species(no_relatives(known), np.full(known, -1))[1] == 0


def test_a_genome_as_far_from_two_species_stays_whole():
    """By chance some of its contigs are nearer to one, some to the other; most are not sure."""
    relatives = relatives_of([1] * 50 + [2] * 50, np.arange(100) % 5 < 1)
    assert species_of_bins(relatives, np.zeros(100, dtype=np.int64), 1).tolist() == [-1]
    assert split_by_species(relatives, np.zeros(100, dtype=np.int64))[1] == 0
    relatives = relatives_of([1] * 50 + [2] * 50, np.arange(100) % 5 < 2)
    assert split_by_species(relatives, np.zeros(100, dtype=np.int64))[1] == 1


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


def test_contigs_of_rare_species_find_their_bin():
    """Each has a species of its own, and a tenth is in the wrong bin."""
    composition, profile, lengths, truth = sample(n_genomes=8, seed=3)
    labels = truth.copy()
    moved = np.arange(5, len(truth), 10)
    labels[moved] = (truth[moved] + 3) % 8
    relatives = relatives_of(np.arange(len(truth)))
    found = settle(*prepare(composition, profile, lengths, relatives), labels, passes=4)[0]
    without = settle(*prepare(composition, profile, lengths), labels, passes=4)[0]
    parted = truth[moved] > 1
    assert np.array_equal(found, without) and np.mean((found[moved] == found[moved - 1])[parted]) > 0.95


def test_contigs_without_an_embedding_make_no_bin():
    composition, profile, lengths, truth = sample()
    composition[:20] = 0
    relatives = relatives_of(np.where(np.arange(len(truth)) < 20, 0, -1))
    found = refine_by_likelihood(
        composition, profile, lengths, np.where(truth == 0, -1, truth), rounds=2, relatives=relatives
    )
    assert (found[:20] == -1).all() and found.max() + 1 == 7


@pytest.mark.parametrize("apart", [False, True])
def test_relatives_are_those_of_their_contigs_beside_bins_that_are_left_apart(apart):
    """A bin of two contigs before the others stays as it is."""
    composition, profile, lengths, truth = sample()
    labels = np.where(truth == 1, 0, truth)
    relatives = relatives_of(np.where(truth < 2, truth, -1))
    if apart:
        order = np.r_[[398, 399], np.arange(398)]
        composition, truth = composition[order], truth[order]
        labels = np.where(np.arange(400) < 2, 9, labels[order])
        relatives = relatives.of(order)
    found = refine_by_likelihood(composition, profile, lengths, labels, rounds=4, relatives=relatives)
    assert len(set(found[truth == 0])) == len(set(found[truth == 1])) == 1
    assert found[truth == 0][0] != found[truth == 1][0]


def test_near_bins_are_looked_up_by_their_number():
    """With more bins than a contig is compared with, and genomes that only their species part."""
    composition, profile, lengths, truth = sample(n_genomes=90, per_genome=20, seed=2)
    labels = truth.copy()
    labels[20:24], labels[:4] = 0, 1
    prepared = prepare(composition, profile, lengths, relatives_of(np.where(truth < 2, truth, -1)))
    near, everywhere = (settle(*prepared, labels, passes=4, near_only=near_only)[0] for near_only in (True, False))
    assert np.array_equal(near, everywhere)
    assert (near[:20] == near[10]).all() and (near[20:40] == near[30]).all() and near[10] != near[30]


def test_a_reference_that_knows_nothing_changes_nothing():
    composition, profile, lengths, truth = sample()
    labels = np.where(np.arange(len(truth)) % 7, truth, -1)
    without = refine_by_likelihood(composition, profile, lengths, labels, rounds=2)
    found = refine_by_likelihood(composition, profile, lengths, labels, rounds=2, relatives=no_relatives(len(truth)))
    assert np.array_equal(found, without)

"""Species at an F1: the sparse alignment against the dense Hungarian method, the counts against scikit-learn."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import f1_score

from workflow_lib.evaluate import evaluate_binning
from workflow_lib.evaluate.contingency import count_pairs
from workflow_lib.evaluate.species import align_bins, species_f1


def random_table(seed, *, contigs, genomes, bins, unbinned=0.2):
    rng = np.random.default_rng(seed)
    of_bin = np.where(rng.random(contigs) < unbinned, -1, rng.integers(bins, size=contigs))
    of_genome = rng.integers(genomes, size=contigs)
    lengths = rng.integers(1, 1000, contigs)
    return of_bin, of_genome, count_pairs(of_bin, of_genome, lengths, n_bins=bins, n_genomes=genomes)


@pytest.mark.parametrize(
    ("contigs", "genomes", "bins"), [(500, 10, 10), (300, 30, 5), (300, 5, 30), (40, 30, 30), (1, 3, 3), (60, 1, 9)]
)
def test_the_alignment_is_an_optimum(contigs, genomes, bins):
    of_bin, of_genome, table = random_table(contigs, contigs=contigs, genomes=genomes, bins=bins)
    dense = np.zeros((genomes, bins), dtype=int)
    np.add.at(dense, (of_genome[of_bin >= 0], of_bin[of_bin >= 0]), 1)
    aligned = align_bins(table)
    rows = aligned[aligned >= 0]
    assert (table.genomes[rows] == np.flatnonzero(aligned >= 0)).all()
    assert len(set(table.bins[rows])) == len(rows)
    assert table.contigs[rows].sum() == dense[linear_sum_assignment(dense, maximize=True)].sum()


def test_nothing_to_align():
    nothing = np.zeros(0, dtype=np.int64)
    table = count_pairs(nothing, nothing, nothing, n_bins=0, n_genomes=2)
    assert align_bins(table).tolist() == [-1, -1]
    assert np.isnan(species_f1(table, align_bins(table))).all()


@pytest.mark.parametrize("unbinned", ["counted", "ignored"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_counts_follow_the_published_evaluation(make_community, seed, unbinned):
    """Species with fewer than 10 contigs go first, then unbinned contigs (or they stay, as missed); then F1s."""
    community = make_community(seed, contigs=350, genomes=25, bins=25, right=0.8, binned=0.6, named=1.0)
    found = evaluate_binning(community.assignments, community.truth, community.lengths, kept=community.kept)
    reference = {c: g for c, g in community.truth.items() if unbinned == "counted" or c in community.kept}
    sizes = {genome: list(reference.values()).count(genome) for genome in set(reference.values())}
    contigs = [c for c, g in reference.items() if sizes[g] >= 10]
    assert len({reference[c] for c in contigs}) < 25, "no species is rare: the rule is not at work"
    if unbinned == "ignored":
        contigs = [c for c in contigs if c in community.assignments]
    species = sorted({reference[c] for c in contigs})
    bins = sorted({community.assignments[c] for c in contigs if c in community.assignments})
    dense = np.zeros((len(species), len(bins)), dtype=int)
    for contig in contigs:
        if contig in community.assignments:
            dense[species.index(reference[contig]), bins.index(community.assignments[contig])] += 1
    # Every species has most of its contigs in a bin of its own, so the optimum is unique and the counts are, too.
    ranked = np.sort(dense, axis=1)
    assert (ranked[:, -1] > ranked[:, -2]).all() and len(set(dense.argmax(axis=1))) == len(species)
    to_species = {bins[b]: species[s] for s, b in zip(*linear_sum_assignment(dense, maximize=True), strict=True)}
    predicted = [to_species.get(community.assignments.get(c), "no species") for c in contigs]
    f1 = f1_score([reference[c] for c in contigs], predicted, labels=species, average=None, zero_division=0)
    for level in range(1, 10):
        value = found.value(f"species_f1_gt_{level / 10:g}", by="contig", unbinned=unbinned)
        assert value == np.count_nonzero(f1 > level / 10), level
    assert found.value("species", by="contig", unbinned=unbinned) == len(species)

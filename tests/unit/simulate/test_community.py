import itertools

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement
from workflow_lib.simulate import SimulatedGenome, evolve_genomes, reference_lineages, simulate_community
from workflow_lib.simulate.community import MIN_CONTIG_LENGTH, READ_LENGTH


@pytest.fixture(scope="module")
def genomes():
    return evolve_genomes(reference_lineages(6), genome_length=150_000, seed=2)


def simulate(genomes, **changes):
    options = {"n_libraries": 3, "mean_depth": 12, "contig_median": 5000, "seed": 1} | changes
    return simulate_community(genomes, **options)


def test_contigs_stand_where_they_say(genomes):
    community = simulate(genomes, traps=False)
    assert len({contig.name for contig in community.contigs}) == len(community.contigs)
    for contig in community.contigs:
        place = genomes[contig.genome].sequences[contig.source][contig.start : contig.end]
        assert contig.sequence == (reverse_complement(place) if contig.reverse else place)
        assert len(contig.sequence) >= MIN_CONTIG_LENGTH
    assert 0.3 < np.mean([contig.reverse for contig in community.contigs]) < 0.7


def test_contigs_cover_the_genomes_without_overlap(genomes):
    community = simulate(genomes)
    for i, genome in enumerate(genomes):
        places = sorted((contig.start, contig.end) for contig in community.contigs if contig.genome == i)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(places))
        # Gaps of 100 bp a contig and the share of a log-normal below 1 kbp: a few percent.
        assert sum(end - start for start, end in places) > 0.9 * genome.length


def test_contig_lengths_are_log_normal(genomes):
    lengths = simulate(genomes, contig_median=6000, contig_sigma=0.5).lengths
    logs = np.log(lengths)
    # 130 contigs: standard error 0.045 of the mean, 0.03 of the deviation; the genomes' ends widen both a little.
    assert np.exp(np.median(logs)) == pytest.approx(6000, rel=0.2)
    assert logs.std() == pytest.approx(0.5, abs=0.12)


def test_genomes_that_are_copied_are_deepest_at_their_origin(genomes):
    still, copied = (
        simulate(genomes, n_libraries=4, mean_depth=200, replication=ratio, traps=False) for ratio in (1, 4)
    )
    contigs = still.contigs
    assert [contig.sequence for contig in contigs] == [contig.sequence for contig in copied.contigs]
    place = np.array([(contig.start + contig.end) / 2 / genomes[contig.genome].length for contig in contigs])
    change = np.log(copied.depth / still.depth)
    origin, terminus = np.abs(place - 0.5) > 0.4, np.abs(place - 0.5) < 0.1
    assert 0.05 < change[origin].mean() < np.log(4) / 2
    assert -np.log(4) / 2 < change[terminus].mean() < -0.05
    assert np.corrcoef(change.T)[np.triu_indices(4, 1)].min() > 0.7  # alike in all libraries


def test_depth_follows_abundance_with_a_quarter_of_noise(genomes):
    community = simulate(genomes, mean_depth=40, contig_median=8000, seed=3)
    np.testing.assert_allclose(community.abundance.mean(axis=0), 40)
    genome = np.array([contig.genome for contig in community.contigs])
    long = community.lengths >= 2500
    spread = []
    for i in range(len(genomes)):
        depth = community.depth[long & (genome == i)]
        spread.extend(depth.std(axis=0) / depth.mean(axis=0))
    assert 0.18 < np.mean(spread) < 0.33
    shares = community.abundance / community.abundance.sum(axis=1, keepdims=True)
    assert shares.std() > 0.05  # a genome's abundance differs between libraries


def test_short_contigs_are_noisier_and_variance_exceeds_depth(genomes):
    community = simulate(genomes, mean_depth=200, contig_median=3000, seed=5)
    genome = np.array([contig.genome for contig in community.contigs])
    residual = np.log(community.depth / community.abundance[genome])
    short, long = community.lengths < 2000, community.lengths > 8000
    assert residual[short].std() > residual[long].std()
    assert np.mean(community.variance > community.depth) > 0.9


def test_depth_counts_read_pairs(genomes):
    community = simulate(genomes)
    expected = 2 * READ_LENGTH * community.pairs / community.lengths[:, None]
    np.testing.assert_allclose(community.depth, expected)


def test_traps_change_two_contigs_and_nothing_else(genomes):
    plain, trapped = simulate(genomes, traps=False), simulate(genomes)
    different = [
        (a.sequence, b.sequence)
        for a, b in zip(plain.contigs, trapped.contigs, strict=True)
        if a.sequence != b.sequence
    ]
    assert len(different) == 2
    assert sorted(b.islower() for _, b in different) == [False, True]
    (masked,) = (b for _, b in different if not b.islower())
    assert 0.15 < masked.count(b"N") / len(masked) < 0.25
    np.testing.assert_array_equal(plain.pairs, trapped.pairs)


def test_same_seed_same_community(genomes):
    one, two, other = simulate(genomes), simulate(genomes), simulate(genomes, seed=2)
    assert one.contigs == two.contigs
    np.testing.assert_array_equal(one.pairs, two.pairs)
    np.testing.assert_array_equal(one.variance, two.variance)
    assert other.contigs != one.contigs


def test_one_genome_of_one_contig():
    genome = SimulatedGenome("one", (b"ACGT" * 300,), {})
    community = simulate([genome])
    assert len(community.contigs) <= 1 or community.lengths.sum() <= 1200


def test_unusable_genomes_are_refused(genomes):
    with pytest.raises(InputError, match="found 0 genomes"):
        simulate([])
    with pytest.raises(InputError, match="each once"):
        simulate([genomes[0], genomes[0]])
    with pytest.raises(InputError, match="no contig of 1000 bp"):
        simulate([SimulatedGenome("short", (b"ACGT" * 100, b""), {})])

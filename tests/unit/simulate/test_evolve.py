import itertools

import numpy as np
import pytest

from workflow_lib.simulate.composition import AMINO_ACIDS, START_CODON, STOP_CODONS, Composition, spacer_context
from workflow_lib.simulate.evolve import _STRAIN_BRANCH, _diverge, _draw_draft, evolve_genomes
from workflow_lib.taxonomy import RANKS

PIECE = 5000  # bp
STARTS = range(0, 11 * PIECE, PIECE)
# Two strains of two species of two genera of two families, in each of two phyla.
LINEAGES = list(itertools.product((0, 1), (0,), (0,), (0, 1), (0, 1), (0, 1), (0, 1)))


@pytest.fixture(scope="module")
def genomes():
    return evolve_genomes(LINEAGES, genome_length=60_000, seed=4)


def test_sequences_are_plain_and_about_as_long_as_asked(genomes):
    for genome in genomes:
        (sequence,) = genome.sequences
        assert not sequence.translate(None, b"ACGT")
        assert genome.length == len(sequence) == pytest.approx(60_000, rel=0.03)


def test_gc_spreads_between_a_quarter_and_three_quarters():
    genomes = evolve_genomes([(phylum, 0, 0, 0, 0, 0, 0) for phylum in range(40)], genome_length=10_000, seed=1)
    gc = [(s.count(b"G") + s.count(b"C")) / len(s) for genome in genomes for s in genome.sequences]
    assert min(gc) > 0.25
    assert max(gc) < 0.75
    assert max(gc) - min(gc) > 0.25


def test_a_genome_depends_on_its_lineage_and_seed_only(genomes):
    again = evolve_genomes([LINEAGES[9], LINEAGES[3]], genome_length=60_000, seed=4)
    assert again == [genomes[9], genomes[3]]
    assert evolve_genomes([LINEAGES[3]], genome_length=60_000, seed=5)[0].sequences != genomes[3].sequences


def shared_kmers(a: bytes, b: bytes, k: int) -> float:
    """Share of the k-mers of `a` that are in `b`."""
    theirs = {b[i : i + k] for i in range(len(b) - k + 1)}
    mine = [a[i : i + k] for i in range(len(a) - k + 1)]
    return sum(word in theirs for word in mine) / len(mine)


def test_strains_are_99_percent_alike_and_species_far_less(genomes):
    strain_1, strain_2, other_species, _, other_genus = (genome.sequences[0] for genome in genomes[:5])
    # With independent substitutions a share of identity^k of the k-mers survives; indels and new genes take some more.
    assert 0.985 < shared_kmers(strain_1, strain_2, 21) ** (1 / 21) < 0.995
    assert 0.01 < shared_kmers(strain_1, other_species, 21) < 0.2
    assert shared_kmers(strain_1, other_genus, 21) < 0.01


def test_genes_keep_start_and_stop_and_no_stop_within():
    rng = np.random.default_rng(3)
    composition = Composition.ancestral().drifted(1.0, rng)
    draft = _draw_draft(composition, 50_000, rng)
    for _ in range(3):
        draft = _diverge(draft, composition, _STRAIN_BRANCH, rng)
        genes = np.split(draft.codons, np.flatnonzero(np.diff(draft.gene)) + 1)
        assert len(genes) == len(draft.forward)
        for gene in genes:
            assert gene[0] == START_CODON
            assert gene[-1] in STOP_CODONS
            assert not np.isin(gene[:-1], STOP_CODONS).any()


def test_genetic_code():
    assert AMINO_ACIDS[START_CODON] == "M"
    assert [AMINO_ACIDS[i] for i in (0, 63, 4 * 4 + 1)] == ["K", "F", "H"]  # AAA, TTT, CAC
    assert sorted(STOP_CODONS) == [48, 50, 56]  # TAA, TAG, TGA


def test_spacers_follow_their_markov_chain():
    rng = np.random.default_rng(1)
    composition = Composition.ancestral().drifted(2.0, rng)
    bases = composition.sample_spacers(np.full(40, 5000), rng)
    counts = np.zeros((64, 4))
    np.add.at(counts, (spacer_context(bases), bases), 1)
    expected = np.diff(composition.spacer_table(), axis=1, prepend=0)
    observed = counts / counts.sum(axis=1, keepdims=True)
    # About 3,000 draws a context: a standard error of at most 0.01; the worst of 256 within 5 of them.
    assert np.abs(observed - expected).max() < 0.05


def tetranucleotides(sequence: bytes) -> np.ndarray:
    codes = np.frombuffer(sequence.translate(bytes.maketrans(b"ACGT", bytes(range(4)))), dtype=np.uint8).astype(int)
    counts = np.zeros(256)
    for strand in (codes, 3 - codes[::-1]):
        words = 64 * strand[:-3] + 16 * strand[1:-2] + 4 * strand[2:-1] + strand[3:]
        counts += np.bincount(words, minlength=256)
    return counts / counts.sum()


def test_composition_tells_phyla_and_genera_apart_but_no_strains():
    """Chance that a piece is nearer to one of its own genome than to one of another genome, by the rank they share."""
    shares: dict[str, list[float]] = {}
    not_homologous = ~np.eye(len(STARTS), dtype=bool)
    for seed in (1, 2):
        genomes = evolve_genomes(LINEAGES, genome_length=60_000, seed=seed)
        pieces = np.array(
            [[tetranucleotides(genome.sequences[0][i : i + PIECE]) for i in STARTS] for genome in genomes]
        )
        distance = np.linalg.norm(pieces[:, :, None, None] - pieces[None, None], axis=-1)
        for i, one in enumerate(genomes):
            own = distance[i, :, i][not_homologous]
            for j, other in enumerate(genomes):
                if i != j:
                    rank = max((r for r in RANKS if one.taxonomy[r] == other.taxonomy[r]), key=RANKS.index)
                    shares.setdefault(rank, []).append(np.mean(own[:, None] < distance[i, :, j][not_homologous]))
    mean = {rank: np.mean(values) for rank, values in shares.items()}
    assert 0.46 < mean["species"] < 0.54
    assert 0.54 < mean["genus"] < 0.75
    assert 0.68 < mean["family"] < 0.92
    assert mean["domain"] > 0.92

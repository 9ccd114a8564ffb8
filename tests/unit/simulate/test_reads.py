from types import SimpleNamespace

import numpy as np
import pytest

from workflow_lib.fasta import open_input, reverse_complement
from workflow_lib.simulate import evolve_genomes, reference_lineages, simulate_community, write_read_pairs
from workflow_lib.simulate.community import READ_LENGTH
from workflow_lib.simulate.reads import _ADAPTERS, _sequence


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reads")
    genomes = evolve_genomes(reference_lineages(8)[::7], genome_length=60_000, seed=2)
    community = simulate_community(genomes, n_libraries=2, mean_depth=10, contig_median=5000, seed=1)
    paths = folder / "a_R1.fastq.gz", folder / "a_R2.fastq.gz"
    count = write_read_pairs(paths, community, library=1, seed=7)
    return SimpleNamespace(folder=folder, community=community, paths=paths, count=count)


def fastq(path):
    with open_input(path) as handle:
        lines = handle.read().splitlines()
    return list(zip(*(iter(lines),) * 4, strict=True))


def test_fastq_is_well_formed_and_paired(made):
    first, second = map(fastq, made.paths)
    assert len(first) == len(second) == made.count == made.community.pairs[:, 1].sum()
    for mate, reads in enumerate((first, second), start=1):
        for number, (name, bases, plus, quality) in enumerate(reads, start=1):
            assert name == b"@library_2.%09d/%d" % (number, mate)
            assert len(bases) == len(quality) == READ_LENGTH
            assert plus == b"+"
            assert not bases.translate(None, b"ACGTN")


def test_reads_come_from_the_genomes_in_facing_pairs(made):
    """Slow oracle: find the ends of error-free pairs in the genomes."""
    text = b"#".join(genome.sequences[0] for genome in made.community.genomes)
    inserts, found = [], 0
    for one, two in list(zip(*map(fastq, made.paths), strict=True))[:400]:
        for left, right in ((one[1], two[1]), (two[1], one[1])):
            begin, end = text.find(left), text.find(reverse_complement(right))
            if min(begin, end) >= 0 and abs(end - begin) < 1000:
                inserts.append(end + READ_LENGTH - begin)
                found += 1
    # 0.3% errors leave exp(-0.9) = 40% of the pairs without any; short fragments show the adapter.
    assert 0.3 < found / 400 < 0.65
    assert np.mean(inserts) == pytest.approx(350, abs=15)
    assert np.std(inserts) == pytest.approx(50, abs=10)


def test_depth_of_the_reads_is_that_of_the_community(made):
    """Slow oracle: assign reads to contigs by a 31-mer; the two genomes, of different phyla, share none."""
    community, k = made.community, 31
    contig_of = {}
    for row, contig in enumerate(community.contigs):
        place = community.genomes[contig.genome].sequences[0][contig.start : contig.end]
        contig_of.update((place[i : i + k], row) for i in range(len(place) - k + 1))
    hits = np.zeros(len(community.contigs))
    for _, bases, _, _ in fastq(made.paths[0]):
        word = bases[:k]
        row = contig_of.get(word, contig_of.get(reverse_complement(word)))
        if row is not None:
            hits[row] += 1
    # 31 bases without an error: 95%; in the contigs, not the gaps: 97%.
    assert hits.sum() > 0.85 * made.count
    assert np.corrcoef(hits, community.pairs[:, 1])[0, 1] > 0.95


def test_two_percent_of_the_fragments_show_their_adapter(made):
    for path, adapter in zip(made.paths, _ADAPTERS, strict=True):
        share = np.mean([adapter[:12] in bases for _, bases, _, _ in fastq(path)])
        assert 0.01 < share < 0.03


def test_errors_are_as_frequent_as_the_qualities_say():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, size=(40_000, READ_LENGTH)).astype(np.uint8)
    letters, quality = _sequence(codes, rng)
    wrong = letters != np.frombuffer(b"ACGT", dtype=np.uint8)[codes]
    good = (quality > 33 + 2).mean(axis=1) > 0.9  # all but the bad reads
    assert wrong[good].mean() == pytest.approx(0.003, rel=0.2)
    third = READ_LENGTH // 3
    assert wrong[good][:, -third:].mean() > 2 * wrong[good][:, :third].mean()
    for score in (37, 23, 12, 2):
        # At least 1,000 errors a score: 3%; probabilities are multiples of 1 / 65536: 4% at score 37.
        assert wrong[quality == 33 + score].mean() == pytest.approx(10 ** (-score / 10), rel=0.12)
    assert 0.005 < 1 - good.mean() < 0.015


def test_n_is_read_as_n_with_the_worst_score():
    codes = np.full((3, READ_LENGTH), 4, dtype=np.uint8)
    letters, quality = _sequence(codes, np.random.default_rng(1))
    assert (letters == ord("N")).all()
    assert (quality == 33 + 2).all()


def test_same_seed_same_bytes_and_libraries_differ(made):
    again = made.folder / "b_R1.fastq.gz", made.folder / "b_R2.fastq.gz"
    write_read_pairs(again, made.community, library=1, seed=7)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made.paths]
    write_read_pairs(again, made.community, library=0, seed=7)
    assert fastq(again[0])[0][1] != fastq(made.paths[0])[0][1]


def test_a_library_without_reads_is_an_empty_file(made, tmp_path):
    from dataclasses import replace

    empty = replace(made.community, pairs=np.zeros_like(made.community.pairs))
    paths = tmp_path / "1.fastq.gz", tmp_path / "2.fastq.gz"
    assert write_read_pairs(paths, empty, library=0, seed=1) == 0
    assert fastq(paths[0]) == fastq(paths[1]) == []

"""The k-mer sketch: what it keeps, what it finds, its files."""

from dataclasses import replace

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement, write_fasta
from workflow_lib.novelty import sketch as sketch_module
from workflow_lib.novelty.identity import K, Matches, best_identities, keep_large, keep_placed, pair_identities
from workflow_lib.novelty.sketch import (
    SEGMENT,
    cut_segments,
    hash_sequence,
    merge_sketches,
    read_sketch,
    sketch_genomes,
    write_sketch,
)
from workflow_lib.tables import Genome


def random_sequence(rng, length):
    return bytes(rng.choice(np.frombuffer(b"ACGT", np.uint8), length))


def mutate(rng, sequence, rate):
    """Substitutions at a share of the places."""
    codes = np.frombuffer(sequence, np.uint8).copy()
    places = rng.random(len(codes)) < rate
    codes[places] = np.frombuffer(b"CGTA", np.uint8)[np.searchsorted(np.frombuffer(b"ACGT", np.uint8), codes[places])]
    return bytes(codes)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Four unrelated genomes of 60 kbp, and their sketch through the files."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("sketch")
    sequences = [random_sequence(rng, 60_000) for _ in range(4)]
    genomes = []
    for i, sequence in enumerate(sequences):
        write_fasta(folder / f"{i}.fa.gz", [("a", sequence[:40_000]), ("b", sequence[40_000:])])
        genomes.append(Genome(f"g{i}", str(folder / f"{i}.fa.gz"), {}))
    write_sketch(folder / "sketch", sketch_genomes(genomes, scale=20))
    return sequences, read_sketch(folder / "sketch"), folder / "sketch", genomes


def test_hashes_are_those_of_both_strands_and_a_fixed_share():
    sequence = random_sequence(np.random.default_rng(1), 200_000)
    kept = hash_sequence(sequence, 50)
    assert np.array_equal(kept, hash_sequence(reverse_complement(sequence), 50))
    assert (np.diff(kept.astype(object)) > 0).all()
    n = 200_000 / 50
    assert abs(len(kept) - n) < 5 * np.sqrt(n)  # a binomial count
    # A coarser sketch keeps a part of what a finer one keeps.
    assert set(hash_sequence(sequence, 100)) <= set(kept)


def test_every_kmer_is_kept_at_scale_one_and_none_across_an_n():
    sequence = random_sequence(np.random.default_rng(2), 300)
    kmers = {min(sequence[i : i + K], reverse_complement(sequence[i : i + K])) for i in range(300 - K + 1)}
    assert len(hash_sequence(sequence, 1)) == len(kmers)
    assert len(hash_sequence(sequence[:K] + b"N" + sequence[K : 2 * K - 1], 1)) == 1
    assert len(hash_sequence(b"", 1)) == len(hash_sequence(b"ACGT", 1)) == 0
    assert np.array_equal(hash_sequence(sequence.lower(), 1), hash_sequence(sequence, 1))


def test_segments_are_even_and_cover_the_sequence():
    for length in (0, 1, SEGMENT, 3 * SEGMENT // 2 - 1, 123_456):
        parts = cut_segments(bytes(length))
        assert sum(map(len, parts)) == length
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert max(map(len, parts)) < 1.5 * SEGMENT


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.05, 0.1])
def test_identity_is_found_again(world, rate):
    sequences, sketch, _, _ = world
    rng = np.random.default_rng(3)
    contigs = [mutate(rng, sequences[2][start : start + 10_000], rate) for start in range(0, 60_000, 10_000)]
    matches = sketch.match(contigs, sketch.genomes)
    identity, genome = best_identities(pair_identities(matches, np.zeros(len(contigs), dtype=np.int64), 4), 1)
    assert genome.tolist() == [2]
    # 3,000 hashes: at 90% identity 330 are shared, which is 6% of noise, and a 21st of that in the identity.
    assert identity[0] == pytest.approx(1 - rate, abs=0.01)


def test_what_is_unrelated_has_no_identity(world):
    _, sketch, _, _ = world
    contigs = [random_sequence(np.random.default_rng(9), 20_000), b"", b"ACGT"]
    matches = sketch.match(contigs, sketch.genomes)
    identity, genome = best_identities(pair_identities(matches, np.arange(3), 4), 3)
    assert identity.tolist() == [0, 0, 0]
    assert genome.tolist() == [-1, -1, -1]


def test_genomes_are_numbered_as_asked(world):
    sequences, sketch, _, _ = world
    matches = sketch.match([sequences[1][:5000]], ["x", "g1"])
    assert set(matches.genome.tolist()) == {1}
    assert len(sketch.match([sequences[1][:5000]], ["g0"]).genome) == 0


def test_pairs_by_hand():
    """Group 0: two of three segments match genome 1, fully and to a half; all hashes 300, so its share is 2/3."""
    matches = Matches(*map(np.array, ([0, 0, 1], [100, 100, 100], [0, 1], [1, 1], [100, 50])))
    group, genome, identity, share = pair_identities(matches, np.array([0, 0]), 2)
    assert (group.tolist(), genome.tolist(), share.tolist()) == ([0], [1], [2 / 3])
    assert identity[0] == pytest.approx((150 / 200) ** (1 / K), abs=1e-6)
    # A twentieth of a bin's hashes in matched segments counts for half.
    matches = Matches(*map(np.array, ([0, 0], [5, 95], [0], [0], [5])))
    assert pair_identities(matches, np.array([0]), 1)[2].tolist() == [0.5]
    assert [len(part) for part in pair_identities(Matches.none(), np.zeros(0, np.int64), 3)] == [0, 0, 0, 0]


def test_pairs_of_a_large_part():
    """Group 0 has a fifth of genome 0 and more of the others."""
    pairs = tuple(map(np.array, ([0, 0, 1], [0, 1, 2], [0.99, 0.98, 0.9], [0.2, 0.4, 1 / 3])))
    assert [values.tolist() for values in keep_large(pairs)] == [[0, 1], [1, 2], [0.98, 0.9], [0.4, 1 / 3]]


def test_same_genomes_same_sketch_and_damage_is_found(world, tmp_path):
    _, sketch, folder, genomes = world
    again = sketch_genomes(genomes, scale=20)
    assert again.sketch_id == sketch.sketch_id
    assert np.array_equal(again.hashes, sketch.hashes)
    assert sketch_genomes(genomes, scale=21).sketch_id != sketch.sketch_id
    write_sketch(tmp_path, again)
    data = bytearray((tmp_path / "hashes.npy").read_bytes())
    data[-3] ^= 1
    (tmp_path / "hashes.npy").write_bytes(data)
    with pytest.raises(InputError, match="SHA-256"):
        read_sketch(tmp_path)
    with pytest.raises(InputError, match="no manifest"):
        read_sketch(folder / "none")


def test_a_manifest_changed_by_hand_is_refused(world, tmp_path):
    _, sketch, _, _ = world
    write_sketch(tmp_path, sketch)
    path = tmp_path / "manifest.json"
    text = path.read_text()
    for old, new in (('"scale": 20', '"scale": 10'), ('"g1"', '"g7"')):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(InputError, match="changed after it was written"):
            read_sketch(tmp_path)


@pytest.mark.parametrize("block", [100, 10**9])
def test_parts_are_merged_to_the_sketch_of_all(world, tmp_path, monkeypatch, block):
    _, _, folder, genomes = world
    monkeypatch.setattr(sketch_module, "_MERGED", block)
    same = [genomes[3], *genomes[:1], genomes[3]]  # hashes that two genomes of two parts, and two of one, share
    parts = [sketch_genomes(part, scale=20) for part in (same, [], genomes[1:3] + genomes[3:])]
    renamed = [Genome(f"{i}{genome.name}", genome.fasta, {}) for i, genome in enumerate(same + genomes[1:])]
    names = iter(renamed)
    parts = [replace(part, genomes=[next(names).name for _ in part.genomes]) for part in parts]
    sizes = [len(hashes) for hashes, _ in sketch_module._merged_blocks(parts)]
    assert len(sizes) == sum(sizes) // block + 1
    assert max(sizes) < 2 * block  # hashes are even over their range
    merge_sketches(tmp_path / "merged", parts)
    write_sketch(tmp_path / "whole", sketch_genomes(renamed, scale=20))
    for name in ("hashes.npy", "genomes.npy", "manifest.json"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    merge_sketches(tmp_path / "one", [read_sketch(folder)])
    assert read_sketch(tmp_path / "one").sketch_id == read_sketch(folder).sketch_id


def test_matches_do_not_depend_on_how_many_hashes_are_looked_up_at_a_time(world, monkeypatch):
    sequences, sketch, _, _ = world
    rng = np.random.default_rng(4)
    contigs = [mutate(rng, sequences[i % 4][7000 * i % 40_000 :][:9000], 0.02) for i in range(12)]
    contigs[3:3] = [b"", sequences[0][:30_000] + sequences[1][:30_000]]
    whole = vars(sketch.match(contigs, sketch.genomes))
    assert len(whole["genome"]) > 15
    # By hand: the hashes of a segment that are among those of a genome.
    own = [set(sketch.hashes[sketch.codes == code].tolist()) for code in range(4)]
    segments = [segment for contig in contigs for segment in cut_segments(contig)]
    shared = [[len(own[code] & set(hash_sequence(segment, 20).tolist())) for code in range(4)] for segment in segments]
    expected = [(i, code, n) for i, row in enumerate(shared) for code, n in enumerate(row) if n >= 3]
    assert list(zip(*(whole[name].tolist() for name in ("segment", "genome", "shared")), strict=True)) == expected
    for batch, pairs in ((700, 10**9), (10**9, 900), (1, 1)):
        monkeypatch.setattr(sketch_module, "_BATCH", batch)
        monkeypatch.setattr(sketch_module, "_MOST_PAIRS", pairs)
        found = vars(sketch.match(contigs, sketch.genomes))
        assert all(np.array_equal(found[name], whole[name]) for name in whole)


def test_a_bin_counts_as_a_genome_only_where_it_has_its_place():
    """Three bins: beside the genome that they match, too far from it, and with others nearer."""
    pairs = np.array([0, 1, 2]), np.array([3, 3, 3]), np.array([0.99, 0.98, 0.97])
    candidates = np.array([[3, 1], [3, 1], [0, 1]])
    distances = np.array([[0.4, 0.9], [0.8, 0.9], [0.1, 0.2]])
    spread = np.array([0.5, 0.5, 0.5, 0.6])
    group, genome, identity = keep_placed(pairs, candidates, distances, spread)
    assert (group.tolist(), genome.tolist(), identity.tolist()) == ([0], [3], [0.99])

"""Positive pairs and the split by genus: what pairs are made of, and what must never be in one batch or both parts."""

import itertools
from collections import Counter

import numpy as np
import pytest
from tiny_models import random_sequence

from workflow_lib.embed import load_embedder
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta, reverse_complement, write_fasta
from workflow_lib.tables import Genome, load_reference
from workflow_lib.train.genomes import TrainingGenome, hash_genomes, load_genomes, split_by_genus
from workflow_lib.train.pairs import PairOptions, PairSampler, draw_apart, draw_length, draw_pieces, mutate
from workflow_lib.train.validation import HeldOutPieces

SHORT = {"length_median": 300, "length_sigma": 0.3, "min_length": 100, "max_length": 900}


def make_genome(name, species=None, genus=None, lengths=(4000, 1000, 2500)):
    rng = np.random.default_rng(sum(map(ord, name)))
    segments = tuple(random_sequence(rng, length).encode() for length in lengths)
    return TrainingGenome(name, species or name, genus or species or name, segments)


def find(piece, genome):
    """(segment, start, stop) of a piece on either strand."""
    hits = [
        (i, start, start + len(piece))
        for text in (piece, reverse_complement(piece))
        for i, segment in enumerate(genome.segments)
        if (start := segment.find(text)) >= 0
    ]
    assert len(hits) == 1
    return hits[0]


def test_pieces_of_one_genome_share_no_base():
    genomes = [make_genome(f"g{i}") for i in range(6)] + [make_genome("single", lengths=(450,))]
    sampler = PairSampler(genomes, PairOptions(batch_size=7, **SHORT))
    rng, strands = np.random.default_rng(0), Counter()
    for _ in range(60):
        batch = sampler.draw(rng)
        for first, second, genome in zip(*batch, strict=True):
            (i, *one), (j, *other) = find(first, genome), find(second, genome)
            assert i != j or one[1] <= other[0] or other[1] <= one[0]
            assert min(len(first), len(second)) >= 100
            strands[first in genome.segments[i], second in genome.segments[j]] += 1
    assert len(strands) == 4
    assert min(strands.values()) > 60


def test_lengths_of_a_batch_are_alike_and_follow_the_distribution():
    options = PairOptions(batch_size=5, **SHORT)
    sampler = PairSampler([make_genome(f"g{i}") for i in range(5)], options)
    rng = np.random.default_rng(1)
    for _ in range(20):
        first, second, _ = sampler.draw(rng)
        assert len(set(map(len, first))) == len(set(map(len, second))) == 1
    lengths = [draw_length(options, rng) for _ in range(4000)]
    assert 290 < np.median(lengths) < 310
    assert 0.25 < np.std(np.log(lengths)) < 0.31  # cut off at both ends
    assert min(lengths) >= 100
    assert max(lengths) <= 900


@pytest.mark.parametrize("lengths", [(100_000,), (4000, 1000, 2500), (400,), (110, 100)])
def test_validation_pieces_share_no_base_and_every_genome_has_two(lengths):
    genome, options = make_genome("g", lengths=lengths), PairOptions(**SHORT)
    rng, places = np.random.default_rng(9), set()
    for _ in range(30):
        pieces = draw_pieces(genome, 10, options, rng)
        spans = sorted(find(piece, genome) for piece in pieces)
        assert 2 <= len(spans) <= 10
        assert all(one[0] < other[0] or one[2] <= other[1] for one, other in itertools.pairwise(spans))
        assert 100 <= min(map(len, pieces)) <= max(map(len, pieces)) <= max(100, max(lengths) // 2)
        places.update(spans)
    if lengths == (100_000,):
        assert len(pieces) == 10
        assert max(stop for _, _, stop in places) > 90_000  # drawn from everywhere
        assert 250 < np.median([stop - start for _, start, stop in places]) < 350


def test_small_genomes_of_random_bases_are_not_told_apart(caplog):
    caplog.set_level("INFO")
    genomes = [make_genome(f"g{i}", lengths=(20_000,)) for i in range(5)]
    scores = []
    for seed in range(5):
        pieces = HeldOutPieces(genomes, PairOptions(), n=10, rng=np.random.default_rng(seed))
        scores.append(pieces.score(load_embedder("tnf").embed)["ari"])
    assert abs(np.mean(scores)) < 0.1  # 0 but for chance; pieces that overlap or are copies had 0.5
    assert "5 of 5 held-out genomes have no room for 10 pieces, and fewer of them" in caplog.text


def test_every_place_is_drawn_alike():
    rng = np.random.default_rng(2)
    segments = (b"ACGTA", b"C", b"TTGCA")
    counts = Counter(draw_apart(segments, (4, 1), rng, least=2)[0] for _ in range(4000))
    assert set(counts) == {b"ACGT", b"CGTA", b"TTGC", b"TGCA"}
    assert min(counts.values()) > 850  # 1000 +- 27


@pytest.mark.parametrize("lengths", [(1190, 1190), (1190, 300), (300, 1190)])
def test_the_one_contig_that_is_long_enough_is_not_preferred(lengths):
    rng = np.random.default_rng(5)
    segments = (*[b"A" * 500] * 40, b"C" * 1200)  # which has 0.057 of the bases
    pairs = [draw_apart(segments, lengths, rng, least=100) for _ in range(2000)]
    for pieces, length in zip(zip(*pairs, strict=True), lengths, strict=True):
        assert 0.04 < np.mean([piece[:1] == b"C" for piece in pieces]) < 0.075  # three standard errors
        assert Counter(map(len, pieces)).keys() <= {min(length, 500), length, *range(100, 901)}
    assert max(len(first) for first, _ in pairs) == lengths[0]


def test_where_nothing_fits_whole_segments_are_drawn_by_their_length():
    rng = np.random.default_rng(4)
    segments = (b"A" * 30, b"C" * 10, b"G" * 20, b"T" * 4)
    pairs = [draw_apart(segments, (1000, 1000), rng, least=10) for _ in range(3000)]
    assert {len(piece) for pair in pairs for piece in pair} == {10, 20, 30}  # 32 at most, and of no segment
    counts = Counter(first[:1] for first, _ in pairs)
    assert {base: round(n / 3000, 1) for base, n in counts.items()} == {b"A": 0.5, b"C": 0.2, b"G": 0.3}
    assert all(first[:1] != second[:1] for first, second in pairs)
    one = [draw_apart((b"A" * 9, b"C" * 3), (6, 99), rng, least=8) for _ in range(50)]
    assert {len(second) for _, second in one} <= {3}  # of what is left nothing has 8


def test_a_batch_has_each_species_once_and_all_species_alike():
    genomes = [make_genome(f"g{i}", species="common", genus="a") for i in range(6)]
    genomes += [make_genome("h", species="rare"), make_genome("i"), make_genome("j")]
    sampler = PairSampler(genomes, PairOptions(batch_size=3, **SHORT))
    rng, seen, common = np.random.default_rng(3), Counter(), Counter()
    for _ in range(400):
        batch = sampler.draw(rng)
        species = [genome.species for genome in batch.genomes]
        assert len(set(species)) == 3
        seen.update(species)
        common.update(genome.name for genome in batch.genomes if genome.species == "common")
    assert max(seen.values()) - min(seen.values()) < 60
    assert len(common) == 6


def test_batches_are_those_of_the_seed_whatever_the_order_of_genomes():
    genomes = [make_genome(f"g{i}", species=f"s{i // 2}") for i in range(8)]
    options = PairOptions(batch_size=4, **SHORT)
    one, other = (PairSampler(order, options).draw(np.random.default_rng(5)) for order in (genomes, genomes[::-1]))
    assert one == other
    assert one != PairSampler(genomes, options).draw(np.random.default_rng(6))


def test_other_strategies():
    genomes = [make_genome(f"g{i}") for i in range(3)]

    def draw(strategy, **changes):
        options = PairOptions(batch_size=3, strategy=strategy, **SHORT, **changes)
        return PairSampler(genomes, options).draw(np.random.default_rng(4))

    for first, second, genome in zip(*draw("double_strand"), strict=True):
        complement = dict(zip(b"ACGT", b"TGCA", strict=True))
        assert second == bytes(complement[letter] for letter in reversed(first))
        assert any(first in segment for segment in genome.segments)
    assert all(first == second for first, second, _ in zip(*draw("dropout"), strict=True))
    assert all(first != second for first, second, _ in zip(*draw("mutate"), strict=True))


def test_mutations_change_and_lose_half_of_the_share_each():
    rng = np.random.default_rng(7)
    sequence = random_sequence(rng, 100_000, "ACGTN").encode()
    mutated = mutate(sequence, 0.2, rng)
    assert len(mutated) / len(sequence) == pytest.approx(0.9, abs=0.005)  # 5 deviations
    poly = mutate(b"A" * 100_000, 0.2, rng)
    assert poly.count(b"A") / len(poly) == pytest.approx(0.8 / 0.9, abs=0.005)
    assert min(poly.count(base) for base in (b"C", b"G", b"T")) > 3050  # 3333 +- 57
    assert set(mutate(b"N" * 1000, 0.5, rng)) == {ord("N")}


def write_table(folder, rows):
    """Genomes of (name, taxonomy, sequence lengths)."""
    genomes = []
    for name, taxonomy, lengths in rows:
        rng = np.random.default_rng(sum(map(ord, name)))
        records = [(f"{name}_{i}", random_sequence(rng, length).encode()) for i, length in enumerate(lengths)]
        write_fasta(folder / f"{name}.fa.gz", records)
        genomes.append(Genome(name, str(folder / f"{name}.fa.gz"), taxonomy))
    return genomes


def test_genomes_are_loaded_with_their_units(tmp_path, caplog):
    rows = [
        ("d", {"species": "A b", "genus": "A"}, [500, 80, 500]),
        ("c", {"genus": "A"}, [900]),
        ("b", {"species": "C d"}, [900]),
        ("a", {}, [900]),
        ("short", {}, [399, 99]),
    ]
    table = write_table(tmp_path, rows)
    for name, text in (("empty", ""), ("blank", ">one\n>two\n")):
        (tmp_path / f"{name}.fa").write_text(text)
        table.append(Genome(name, str(tmp_path / f"{name}.fa"), {}))
    genomes = load_genomes(table, min_length=100)
    assert "2 genomes have no sequence and are left out: blank, empty" in caplog.text
    assert "1 genomes are too short for two pieces and are left out: short" in caplog.text
    assert [(genome.name, genome.species, genome.genus) for genome in genomes] == [
        ("a", "genome a", "genome a"),
        ("b", "species C d", "species C d"),
        ("c", "genome c", "genus A"),
        ("d", "species A b", "genus A"),
    ]
    assert genomes[3].n_bp == 1000
    changed = [*genomes[:3], make_genome("d")]
    assert hash_genomes(genomes) != hash_genomes(changed)


def test_copies_of_a_genome_are_told_and_those_of_other_species_refused(tmp_path, caplog):
    species = {"species": "A b", "genus": "A"}
    one, other = write_table(tmp_path, [("one", species, [900, 500]), ("other", {}, [900])])
    sequences = [(name, record.sequence) for name, record in zip("yx", read_fasta(one.fasta), strict=True)]
    write_fasta(tmp_path / "copy.fa", sequences[::-1])  # in another order, with other names
    copy = Genome("copy", str(tmp_path / "copy.fa"), species)
    assert len(load_genomes([one, other, copy], min_length=100)) == 3
    assert "1 genomes have the sequences of another one: one of copy" in caplog.text
    for taxonomy in ({}, {"species": "A c", "genus": "A"}):
        copies = [Genome(f"copy{i}", copy.fasta, taxonomy) for i in range(8)]
        with pytest.raises(InputError, match=r"another species: .*\n.*remove one"):
            load_genomes([one, other, *copies], min_length=100)


def test_copies_on_the_other_strand_are_copies(tmp_path, caplog):
    (one,) = write_table(tmp_path, [("one", {}, [900, 500])])
    first, second = (record.sequence for record in read_fasta(one.fasta))

    def write(name, sequences):
        write_fasta(tmp_path / f"{name}.fa", [(str(i), sequence) for i, sequence in enumerate(sequences)])
        return Genome(name, str(tmp_path / f"{name}.fa"), {})

    for name, sequences in {
        "all": [reverse_complement(second), reverse_complement(first)],
        "some": [first, reverse_complement(second)],
    }.items():
        with pytest.raises(InputError, match="1 genomes have the sequences of another one and another species"):
            load_genomes([one, write(name, sequences)], min_length=100)
    reverse = write("reverse", [first[::-1], second[::-1]])  # that is no strand of it
    assert len(load_genomes([one, reverse], min_length=100)) == 2


@pytest.mark.parametrize("seed", range(5))
def test_the_split_is_by_genus_and_independent_of_order(seed):
    genomes = [make_genome(f"g{i}", species=f"s{i // 2}", genus=f"n{i // 6}") for i in range(60)]
    genomes += [make_genome(f"unnamed{i}") for i in range(5)]
    genomes += [make_genome("x1", species="x", genus="n0"), make_genome("x2", species="x", genus="other name of n0")]
    train, held_out = split_by_genus(genomes, held_out=0.3, seed=seed)
    assert split_by_genus(genomes[::-1], held_out=0.3, seed=seed) == (train, held_out)
    assert sorted(genome.name for genome in train + held_out) == sorted(genome.name for genome in genomes)
    for level in ("genus", "species"):
        one, other = ({getattr(genome, level) for genome in part} for part in (train, held_out))
        assert not one & other
    assert 4 <= len({genome.genus for genome in held_out}) <= 6  # of 15, or 16 if the joined ones are among them


def load_lineages(folder, lineages):
    """Genomes g0, g1, ... of these lineages, read from a table."""
    for i in range(len(lineages)):
        (folder / f"{i}.fa").write_text(f">c\n{random_sequence(np.random.default_rng(i), 9000)}\n")
    rows = [f"g{i}\t{folder / f'{i}.fa'}\t{lineage}\n" for i, lineage in enumerate(lineages)]
    (folder / "genomes.tsv").write_text("genome_id\tfasta\ttaxonomy\n" + "".join(rows))
    return load_genomes(load_reference(folder / "genomes.tsv").values(), min_length=100)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("g__Bacillus;s__X y", "g__Bacillus_A;s__X y"),
        ("f__F;g__Alpha", "f__H;g__Alpha"),
        ("p__P;g__Alpha", "p__Q;g__Alpha"),
        ("f__F;s__X y", "f__H;s__X y"),
        ("g__Candidatus Foo", "g__candidatus_foo"),
    ],
)
def test_what_may_be_one_taxon_is_on_one_side_and_never_unlike(tmp_path, one, other):
    """Names of two parents are parted when the table is read."""
    genomes = load_lineages(tmp_path, [one, other, *(f"g__G{i}" for i in range(8))])
    for seed in range(12):
        sides = [{genome.name for genome in side} for side in split_by_genus(genomes, held_out=0.4, seed=seed)]
        assert any({"g0", "g1"} <= side for side in sides)
    if "s__" in one:
        sampler = PairSampler(genomes, PairOptions(batch_size=10, **SHORT))
        assert sampler.n_rows == 9


def test_epithets_alone_link_no_genera(tmp_path, caplog):
    epithets = ["faecis", "sp001", "sp. 7", "genomosp. 1", "cf. oralis"]
    genomes = load_lineages(tmp_path, [f"g__G{i};s__{epithets[i % 5]}" for i in range(20)])
    assert PairSampler(genomes, PairOptions(batch_size=48, **SHORT)).n_rows == 20
    caplog.clear()
    held_out = split_by_genus(genomes, held_out=0.5, seed=1)[1]
    assert len({genome.genus for genome in held_out}) == 10
    assert "count as one" not in caplog.text


def test_many_genomes_that_names_join_are_told(tmp_path, caplog):
    lineages = [f"g__{genus};s__X y" for genus in "AB"] + [f"g__G{i}" for i in range(18)]
    genomes = load_lineages(tmp_path, lineages)
    split_by_genus(genomes, held_out=0.2, seed=1)
    assert "2 of 20 genomes are of 2 genera that count as one" in caplog.text
    assert "genus A, genus B" in caplog.text
    caplog.clear()
    split_by_genus(genomes[1:], held_out=0.2, seed=1)
    assert "count as one" not in caplog.text


def test_spellings_are_one_species(tmp_path):
    names = ["g__Bacillus;s__Bacillus subtilis", "g__bacillus;s__Bacillus_subtilis", "g__Bacillus;s__Bacillus cereus"]
    one, other, another = load_lineages(tmp_path, names)
    assert (one.species, one.genus) == (other.species, other.genus) == ("species Bacillus subtilis", "genus Bacillus")
    assert another.species == "species Bacillus cereus"


def test_seeds_split_differently():
    genomes = [make_genome(f"g{i}") for i in range(20)]
    names = [
        frozenset(genome.name for genome in split_by_genus(genomes, held_out=0.2, seed=seed)[1]) for seed in range(4)
    ]
    assert all(one != other for one, other in itertools.combinations(names, 2))


def test_too_little_to_split():
    genomes = [make_genome(f"g{i}", species=f"s{i}", genus="all") for i in range(4)]
    with pytest.raises(InputError, match=r"0 species to train on and 4 held out, of 1 genera.*\n.*0: nothing is held"):
        split_by_genus(genomes, held_out=0.1, seed=1)
    assert split_by_genus(genomes, held_out=0, seed=1) == (genomes, [])
    with pytest.raises(InputError, match=r"fill in their taxonomy$"):
        split_by_genus(genomes[:1], held_out=0, seed=1)
    with pytest.raises(InputError, match="1 species"):
        PairSampler([make_genome("a", species="s"), make_genome("b", species="s")], PairOptions(**SHORT))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "same"}, "same_genome, mutate, dropout, double_strand"),
        ({"min_length": 400}, "400 to 900 bp with a median of 300"),
        ({"min_length": 10}, "20 <= min_length"),
        ({"batch_size": 1}, "batch of 1"),
        ({"mutation_rate": 1.0}, "rate of 1.0"),
        ({"strategy": "mutate", "mutation_rate": 0.0}, r"would be the same\n.*train\.mutation_rate"),
    ],
)
def test_bad_options(changes, message):
    with pytest.raises(InputError, match=message):
        PairOptions(**{**SHORT, **changes})

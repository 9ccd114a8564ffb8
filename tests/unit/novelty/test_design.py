"""Who calibrates which rank, what is left out, and what is one unit."""

import itertools

import numpy as np
import pytest

from workflow_lib.novelty import design as design_module
from workflow_lib.novelty.alike import Alike
from workflow_lib.novelty.design import (
    CALIBRATED,
    KNOWN,
    REFERENCE,
    TEST_RANKS,
    TESTS,
    encode_names,
    limit_genomes,
    make_design,
)


def lineage(text):
    ranks = {"p": "phylum", "f": "family", "g": "genus", "s": "species"}
    return {ranks[part[0]]: part for part in text.split()}


def make_alike(*pairs, sizes=(1,) * 9, held=()):
    """Pairs of genomes, ascending; of (genome, other[, identity[, share]]); bp of the genomes; pairs (held, holder)."""
    filled = [pair + (0.99, 1.0)[len(pair) - 2 :] for pair in pairs]
    columns = [np.array(values) for values in zip(*filled, strict=True)]
    return Alike(*columns, np.array(sizes), *np.array(held, dtype=int).reshape(-1, 2).T)


def units(design, test):
    return design.units[TESTS.index(test)].tolist()


def test_without_taxonomy_only_the_reference_test_remains():
    design = make_design([{}, {}, {}])
    assert units(design, REFERENCE) == [0, 1, 2]
    assert all(units(design, test) == [-1] * 3 for test in TESTS if test != REFERENCE)
    assert design.excluded(REFERENCE, 1).tolist() == [False, True, False]


def test_one_genome_calibrates_nothing():
    assert (make_design([lineage("p1 g1 s1")]).units == -1).all()
    assert make_design([]).units.shape == (len(CALIBRATED), 0)


def test_each_rank_leaves_out_the_next_lower_one():
    genomes = ["p1 g1 s1", "p1 g1 s1", "p1 g1 s2", "p1 g2 s3", "p2 g3 s4"]
    design = make_design([lineage(text) for text in genomes])
    # species: the genome itself is left out, so its species needs another genome.
    assert units(design, "species") == [0, 0, -1, -1, -1]
    assert design.excluded("species", 0).tolist() == [True, False, False, False, False]
    # genus: the species is left out and is the unit; s3 and s4 have no genus that stays.
    assert units(design, "genus") == [0, 0, 1, -1, -1]
    assert design.excluded("genus", 0).tolist() == [True, True, False, False, False]
    # phylum: the genus is left out; family, order and class are not in use.
    assert units(design, "phylum") == [0, 0, 0, 1, -1]
    assert design.excluded("phylum", 2).tolist() == [True, True, True, False, False]
    assert set(units(design, "family") + units(design, "class")) == {-1}
    # known: species left out whose genus stays.
    assert units(design, KNOWN) == units(design, "genus")


def test_a_genome_that_might_be_of_the_taxon_is_left_out_of_novelty_tests_only():
    genomes = ["p1 g1 s1", "p1 g1 s2", "p1 g1", "p1", "p2", ""]
    design = make_design([lineage(text) for text in genomes])
    # Nameless genomes of the same genus, of no genus, and of nothing known might be s1; one of another phylum cannot.
    assert design.excluded("genus", 0).tolist() == [True, False, True, True, False, True]
    assert design.excluded(KNOWN, 0).tolist() == [True, False, False, False, False, False]
    assert units(design, "genus") == [0, 1, -1, -1, -1, -1]


def test_a_nameless_genome_of_the_species_is_left_out_of_known():
    genomes = ["p1 g1 s1", "p1 g1 s2", "p1 g1", "p1 g2 s3", "p1 g2", ""]
    plain = make_design([lineage(text) for text in genomes])
    assert np.flatnonzero(plain.excluded(KNOWN, 0)).tolist() == [0]
    design = plain.with_alike(make_alike((0, 2), (3, 5)))
    assert np.flatnonzero(design.excluded(KNOWN, 0)).tolist() == [0, 2]
    assert np.flatnonzero(design.excluded("genus", 0)).tolist() == [0, 2, 5]
    assert np.flatnonzero(design.excluded(KNOWN, 3)).tolist() == [3, 5]
    # Nothing of the genus would be left.
    assert plain.with_alike(make_alike((3, 4))).excluded(KNOWN, 3).all()


def test_what_holds_a_part_of_a_copy_is_left_out_too():
    design = make_design([lineage(text) for text in ["p1 g1 s1", "p1 g1 s2", "p1 g2 s3", "p2 g3 s4"]])
    design = design.with_alike(make_alike((0, 2), held=[(2, 3)]))
    assert np.flatnonzero(design.excluded("genus", 0)).tolist() == [0, 2, 3]


def test_a_genome_whose_name_below_is_missing_does_not_calibrate():
    design = make_design([lineage(text) for text in ["f1 g1", "f1", "f1 g2"]])
    assert units(design, "family") == [0, -1, 1]
    # genus is the lowest rank in use: the genome itself is left out.
    assert units(design, "genus") == [-1, -1, -1]
    assert units(design, KNOWN) == [-1, -1, -1]


def test_units_agree_with_a_plain_search():
    rng = np.random.default_rng(3)
    lineages = []
    for _ in range(40):
        p, g, s = rng.integers(2), rng.integers(3), rng.integers(3)
        full = {"phylum": f"p{p}", "genus": f"g{p}{g}", "species": f"s{p}{g}{s}"}
        lineages.append({rank: name for rank, name in full.items() if rng.random() < 0.8})
    design = make_design(lineages)
    for test, lower in (("genus", "species"), ("phylum", "genus")):
        for i, one in enumerate(lineages):
            stays = [
                other
                for j, other in enumerate(lineages)
                if test in one and other.get(test) == one[test] and not design.excluded(test, i)[j]
            ]
            assert (design.units[TESTS.index(test), i] >= 0) == (lower in one and bool(stays))


def test_a_nameless_genome_goes_only_where_it_is_near():
    """Twelve genera of two near species each; two nameless genomes, one of them beside the first genus."""
    rng = np.random.default_rng(6)
    centres = rng.standard_normal((13, 16))
    rows = np.concatenate([np.repeat(centres[:12], 2, axis=0), centres[:1], centres[12:]])
    rows += 0.05 * rng.standard_normal(rows.shape)
    means = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    lineages = [lineage(f"p1 g{i // 2} s{i}") for i in range(24)] + [{}, {}]
    plain, near = make_design(lineages), make_design(lineages, means)
    assert np.array_equal(plain.units, near.units)
    assert np.flatnonzero(plain.excluded("phylum", 0)).tolist() == [0, 1, 24, 25]
    assert np.flatnonzero(near.excluded("phylum", 0)).tolist() == [0, 1, 24]
    assert np.flatnonzero(near.excluded("phylum", 2)).tolist() == [2, 3]
    # Too few pairs to say how near members of a taxon are: every nameless genome goes.
    few = make_design([*lineages[:10], {}], means[[*range(10), 25]])
    assert np.flatnonzero(few.excluded("phylum", 2)).tolist() == [2, 3, 10]


def test_a_limited_design_takes_one_genome_of_each_unit_before_a_second():
    text = [f"p{i % 3} g{i % 10} s{i % 30}" for i in range(60)] + ["p0 g0 s0"] * 15
    names = [f"genome.{i}" for i in range(75)]
    design = make_design([lineage(one) for one in text])
    for most in (5, 30, 45):
        limited = limit_genomes(design, names, most)
        for row, full in zip(limited.units, design.units, strict=True):
            chosen = row >= 0
            assert np.array_equal(row[chosen], full[chosen])
            assert chosen.sum() == min(most, (full >= 0).sum())
            _, of_full = np.unique(full[full >= 0], return_counts=True)
            taken = np.array([np.count_nonzero(row == unit) for unit in np.unique(full[full >= 0])])
            assert (taken[taken < of_full] >= taken.max(initial=0) - 1).all()
    assert np.array_equal(limit_genomes(design, names, 100).units, design.units)


def test_of_a_species_twenty_genomes_calibrate_each_test():
    text = ["p0 g0 s0"] * 70 + ["p0 g0 s1", "p0 g1 s2", "p1 g2 s3", "p0 g0 s0"] + ["p0 g0"] * 30
    names = [f"genome.{i}" for i in range(len(text))]
    design = make_design([lineage(one) for one in text])
    limited = limit_genomes(design, names, 2000)
    strains = np.array([one == "p0 g0 s0" for one in text])
    assert (limited.units[TESTS.index(REFERENCE), strains] >= 0).sum() == 20
    for row, full in zip(limited.units, design.units, strict=True):
        assert (row[strains] >= 0).sum() == min(20, (full[strains] >= 0).sum())
        assert np.array_equal(row[~strains], full[~strains])
    drawn = (limited.units[:, strains] >= 0).any(axis=0)
    assert drawn.sum() == 20 and not drawn[:20].all()


def test_the_same_genomes_are_drawn_in_any_order():
    text, names = [f"p{i % 3} g{i % 10} s{i % 30}" for i in range(60)], [f"genome.{i}" for i in range(60)]
    order = np.random.default_rng(1).permutation(60)
    one = limit_genomes(make_design([lineage(t) for t in text]), names, 20)
    other = limit_genomes(make_design([lineage(text[i]) for i in order]), [names[i] for i in order], 20)
    assert np.array_equal(one.units[:, order] >= 0, other.units >= 0)


def test_units_are_drawn_whatever_their_size():
    """One species in ten has twenty genomes, the others two: so it is among those that are drawn."""
    sizes = [20 if number % 10 == 0 else 2 for number in range(1000)]
    text = [f"p1 g{number // 5} s{number}" for number, size in enumerate(sizes) for _ in range(size)]
    names = [f"{number}.{i}" for number, size in enumerate(sizes) for i in range(size)]
    limited = limit_genomes(make_design([lineage(one) for one in text]), names, 200)
    row = limited.units[TESTS.index("species")]
    drawn = np.flatnonzero(row >= 0)
    assert len(drawn) == len(np.unique(row[drawn])) == 200
    assert 8 <= sum(text[i].endswith("0") for i in drawn) <= 34  # three standard deviations about 20


def test_names_are_drawn_by_no_order_of_theirs():
    names = [f"genome.{i:03d}" for i in range(400)]
    limited = limit_genomes(make_design([{}] * 400), names, 100)
    drawn = np.flatnonzero(limited.units[TESTS.index(REFERENCE)] >= 0)
    assert 150 < drawn.mean() < 250


def slow_units(codes, rank, lower, *, strict):
    """Genome by genome: whether any of its taxon of `rank` is not left out."""
    units = codes[lower or rank].copy()
    for genome in np.flatnonzero(units >= 0):
        same = True if rank is None else codes[rank] == codes[rank][genome]
        stays = same & ~design_module._excluded(codes, lower, genome, strict=strict)
        if (rank is not None and codes[rank][genome] < 0) or not np.any(stays):
            units[genome] = -1
    return units


def slow_limit(codes, rank, means):
    """Genome by genome: the distance to its nearest of the same taxon, of another species above that rank."""
    found = []
    for genome in np.flatnonzero(codes[rank] >= 0):
        others = (codes[rank] == codes[rank][genome]) & (np.arange(len(means)) != genome)
        if rank != "species":
            others &= codes["species"] != codes["species"][genome]
        if others.any():
            found.append(design_module._nearest(means, np.array([genome]), np.flatnonzero(others))[0])
    return np.quantile(found, 0.95) if len(found) >= 20 else None


@pytest.mark.parametrize("missing", [0, 0.1, 0.4, 0.8])
def test_units_and_limits_are_those_of_a_genome_at_a_time(monkeypatch, missing):
    """Also where lineages contradict each other, and names are missing in their midst."""
    monkeypatch.setattr(design_module, "_BLOCK_ROWS", 3)
    rng, n_limits = np.random.default_rng(7), 0
    for size in [0, 1, 2, *rng.integers(3, 60, 40)]:
        lineages = []
        for _ in range(size):
            family, genus, species = (rng.integers(3) for _ in range(3))
            named = {"phylum": f"p{family % 2}", "family": f"f{family}", "genus": f"g{family}{genus}"}
            named |= {"species": f"s{family}{genus}{species}"}
            if rng.random() < 0.1:
                named["family"] = "f9"
            lineages.append({rank: name for rank, name in named.items() if rng.random() >= missing})
        means = rng.standard_normal((size, 8)).astype(np.float32)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        codes = {rank: encode_names([one.get(rank) for one in lineages]) for rank in design_module.TEST_RANKS}
        ranks = [rank for rank in TEST_RANKS if (codes[rank] >= 0).any()]
        for lower, rank in [(None, ranks[0]), *itertools.combinations(ranks, 2), (ranks[-1], None)] if ranks else []:
            for strict in (False, True):
                found = design_module._rank_units(codes, rank, lower, strict=strict)
                assert found.tolist() == slow_units(codes, rank, lower, strict=strict).tolist()
        for rank in ranks:
            limit = slow_limit(codes, rank, means)
            n_limits += limit is not None
            assert design_module._near_limit(codes, rank, means) == (None if limit is None else pytest.approx(limit))
    assert n_limits > 20 or missing == 0.8

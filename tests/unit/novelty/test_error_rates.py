"""The promise of the stage, on worlds where the truth is known: p-values, false discovery rate, power."""

from dataclasses import replace

import numpy as np
import pytest

from workflow_lib.novelty.design import KNOWN, TESTS
from workflow_lib.novelty.queries import call_bins, call_contigs
from workflow_lib.novelty.tested import Settings

REPEATS = 20
LEVELS = (0.05, 0.1, 0.2)
SETTINGS = Settings(alpha=0.1, min_length=2500, min_calibration=20)
RANKS = ("species", "genus", "phylum")
# Novelty of a query -> ranks at which it is novel.
NOVEL_AT = {"strain": (), "species": RANKS[:1], "genus": RANKS[:2], "phylum": RANKS}
N_QUERIES = {"strain": 16, "species": 12, "genus": 10, "phylum": 22}
BIN_PIECES = 6


def draw_tree(rng):
    """Reference and query lineages: of one tree, taxa held out at random, so that both are alike but for the index.

    12 phyla x 4 genera x 3 species x 2 strains; queries are a strain of each taxon held out, and of other phyla.
    """
    tree = np.array([(p, g, s, t) for p in range(12) for g in range(4) for s in range(3) for t in range(2)])
    kept, queries = tree, []
    for kind, depth in (("genus", 2), ("species", 3), ("strain", 4)):
        for taxon in rng.permutation(np.unique(kept[:, :depth], axis=0))[: N_QUERIES[kind]]:
            own = (kept[:, :depth] == taxon).all(axis=1)
            queries.append(tuple(kept[own][0].tolist()))
            kept = kept[~own]
    reference = [tuple(lineage) for lineage in kept.tolist()]
    queries += [(90 + p, 0, 0, 0) for p in range(N_QUERIES["phylum"])]
    return reference, queries


def novelty_of(lineage, reference):
    """What a query truly is: both strains of a species may have been held out."""
    for depth, kind in ((3, "strain"), (2, "species"), (1, "genus")):
        if any(other[:depth] == lineage[:depth] for other in reference):
            return kind
    return "phylum"


def call(level, index, calibration, world, queries):
    pieces = 1 if level == "contig" else BIN_PIECES
    vectors = np.concatenate([world.draw(lineage, pieces) for lineage in queries])
    names = [f"c{i}" for i in range(len(vectors))]
    lengths = np.where(np.arange(len(vectors)) % 3 == 0, 3500, 7000)
    if level == "contig":
        return call_contigs(index, calibration, vectors, names, lengths, SETTINGS).calls
    bins = {f"bin.{i}": own for i, own in enumerate(np.arange(len(vectors)).reshape(-1, pieces))}
    return call_bins(index, calibration, bins, vectors, names, lengths, SETTINGS).calls


@pytest.fixture(scope="module")
def worlds(build, make_world):
    """Novelty of queries (repeats, queries); level -> (p, q), each (repeats, queries, tests); every world anew."""
    found, kinds = {"contig": [], "bin": []}, []
    for seed in range(REPEATS):
        world = make_world(seed)
        reference, queries = draw_tree(world.rng)
        kinds.append([novelty_of(lineage, reference) for lineage in queries])
        index, calibration, _ = build(world, reference)
        for level, calls in found.items():
            calls.append(call(level, index, calibration, world, queries))
    tables = {level: tuple(np.array([getattr(c, n) for c in calls]) for n in "pq") for level, calls in found.items()}
    return np.array(kinds), tables


@pytest.fixture(params=["contig", "bin"])
def outcomes(request, worlds):
    kinds, found = worlds
    return kinds, *found[request.param]


def standard_error(values):
    """Of the mean over worlds: queries of one world share its calibration and are not independent."""
    return values.std(ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize(
    ("test", "null"),
    [("species", "strain"), ("genus", "species"), ("genus", "strain"), ("phylum", "genus"), (KNOWN, "species")],
)
def test_p_values_hold_where_the_null_hypothesis_does(outcomes, test, null):
    kinds, p, _ = outcomes
    own = np.where(kinds == null, p[:, :, TESTS.index(test)], np.nan)
    assert np.isfinite(own[kinds == null]).mean() > 0.95  # with so few genomes one bin in n + 1 is taken for a mixture
    for level in LEVELS:
        shares = np.nanmean(np.where(np.isnan(own), np.nan, own <= level), axis=1)
        independent = np.sqrt(level * (1 - level) / (kinds == null).sum())
        assert shares.mean() <= level + 2 * max(standard_error(shares), independent)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("rank", RANKS)
def test_false_discovery_rate_of_novelty(outcomes, rank, level):
    kinds, _, q = outcomes
    rejected = q[:, :, TESTS.index(rank)] <= level
    novel = np.isin(kinds, [kind for kind, ranks in NOVEL_AT.items() if rank in ranks])
    rates = (rejected & ~novel).sum(axis=1) / np.maximum(rejected.sum(axis=1), 1)
    assert rates.mean() <= level + 2 * standard_error(rates)


@pytest.mark.parametrize("level", LEVELS)
def test_false_discovery_rate_of_known(outcomes, level):
    kinds, _, q = outcomes
    rejected = q[:, :, TESTS.index(KNOWN)] <= level
    rates = (rejected & (kinds != "strain")).sum(axis=1) / np.maximum(rejected.sum(axis=1), 1)
    assert rates.mean() <= level + 2 * standard_error(rates)


def test_power(outcomes):
    """The clusters are well apart: what is novel is found, at every rank, and what is known too."""
    kinds, _, q = outcomes
    for rank in RANKS:
        assert (q[kinds == "phylum", TESTS.index(rank)] <= 0.1).mean() > 0.9
    assert (q[kinds == "genus", TESTS.index("genus")] <= 0.1).mean() > 0.8
    assert (q[kinds == "strain", TESTS.index(KNOWN)] <= 0.1).mean() > 0.8


def test_contigs_of_one_genome_are_called_as_one_query(build, make_world):
    """All are novel or none and do not tell the shares of the classes: q is that of Benjamini and Hochberg."""
    world = make_world(5)
    reference, queries = draw_tree(world.rng)
    index, calibration, _ = build(world, reference)
    vectors = world.draw(next(one for one in queries if novelty_of(one, reference) == "phylum"), 30)
    given = index, calibration, vectors, [f"c{i}" for i in range(30)], np.full(30, 7000)
    one, own = {"bin.1": np.arange(30)}, {f"bin.{i}": np.array([i]) for i in range(30)}
    column = TESTS.index("species")
    plain = call_contigs(*given, replace(SETTINGS, fdr="benjamini_hochberg"), bins=one).calls.q[:, column]
    together = call_contigs(*given, SETTINGS, bins=one).calls.q[:, column]
    assert together == pytest.approx(plain, rel=0.2)  # the next class has more units, and so a finer p
    apart = call_contigs(*given, SETTINGS, bins=own).calls.q[:, column]
    assert (apart < 0.5 * together).all()
    # Without bins, contigs with one nearest genome are taken for one genome's.
    assert (call_contigs(*given, SETTINGS).calls.q[:, column] > apart).any()

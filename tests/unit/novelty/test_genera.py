"""What several genera share makes nothing known."""

from types import SimpleNamespace

import numpy as np

from workflow_lib.novelty.genera import find_genera, keep_one_genus
from workflow_lib.novelty.identity import Matches


def kept(pairs, genera):
    """(group, genome) of the pairs that are kept, of (group, genome, identity)."""
    group, genome, identity = (np.array(values) for values in zip(*pairs, strict=True))
    found = keep_one_genus((group, genome, identity, np.ones(len(group))), np.array(genera))
    return list(zip(found[0].tolist(), found[1].tolist(), strict=True))


def test_a_genome_is_kept_where_no_other_genus_is_as_near():
    genera = [0, 0, 1, -1, -1]
    strain = [(0, 0, 0.99), (0, 1, 0.91), (0, 2, 0.93)]
    operon = [(1, 0, 0.95), (1, 1, 0.94), (1, 2, 0.91)]
    assert kept(strain + operon, genera) == [(0, 0)]
    assert kept([(0, 0, 0.95), (0, 1, 0.94)], genera) == [(0, 0), (0, 1)]  # one genus alone
    # A genome of no name may be of the nearest genus: only a second one holds it back.
    assert kept([(0, 3, 0.95), (0, 0, 0.94)], genera) == [(0, 3), (0, 0)]
    assert kept([(0, 3, 0.95), (0, 0, 0.94), (0, 2, 0.93)], genera) == []
    assert kept([(0, 3, 0.95), (0, 4, 0.95)], genera) == [(0, 3), (0, 4)]


def test_a_difference_of_the_margin_is_no_more_than_the_margin_however_it_is_rounded():
    for identity in np.arange(0.9, 1.0, 0.001).round(6):
        assert kept([(0, 0, identity), (0, 2, identity - 0.05)], [0, 0, 1]) == []
        assert kept([(0, 0, identity), (0, 2, identity - 0.051)], [0, 0, 1]) == [(0, 0)]


def test_the_order_of_pairs_does_not_matter():
    rng = np.random.default_rng(2)
    genera = rng.integers(-1, 4, 30)
    pairs = [(int(g), int(o), float(rng.uniform(0.85, 1))) for g in range(20) for o in rng.permutation(30)[:4]]
    expected = set(kept(pairs, genera))
    assert 0 < len(expected) < len(pairs)
    assert set(kept([pairs[i] for i in rng.permutation(len(pairs))], genera)) == expected
    by_hand = set()
    for group, genome, identity in pairs:
        own = [(genera[o], x) for g, o, x in pairs if g == group and genera[o] >= 0]
        nearest = max(own, key=lambda one: one[1], default=(-1, 0))[0]
        best = nearest if genera[genome] < 0 else genera[genome]
        if identity - max((x for genus, x in own if genus != best), default=0) > 0.05:
            by_hand.add((group, genome))
    assert by_hand == expected


def test_genera_of_one_species_are_one():
    lineages = [{"genus": "Escherichia"}, {"genus": "Shigella"}, {"genus": "Salmonella"}, {}]
    every = np.array([0, 0, 0])  # one segment of 100 hashes of genome 0's piece, and what it shares with the others
    matches = Matches(np.array([0]), np.array([100]), every, np.array([1, 2, 3]), np.array([60, 20, 90]))
    calibration = SimpleNamespace(matches=matches, piece_genome=np.array([0]), calibrating=np.array([0]))
    genera = find_genera(lineages, calibration)
    assert genera[0] == genera[1] != genera[2]
    assert genera[3] == -1

"""What several genera share makes nothing known."""

from types import SimpleNamespace

import numpy as np

from workflow_lib.index.windows import RepeatedNames, WindowTable
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


def genera_of(lineages, calibrating, hits):
    """Genera by the pieces, of two segments of 100 hashes, of `calibrating`; hits: (piece, segment, genome, shared)."""
    pieces = np.arange(len(calibrating))
    piece, segment, genome, shared = (np.array(column) for column in zip(*hits, strict=True))
    sizes = np.full(2 * len(pieces), 100)
    matches = Matches(np.repeat(pieces, 2), sizes, 2 * piece + segment, genome, shared)
    calibration = SimpleNamespace(matches=matches, piece_genome=pieces, calibrating=np.array(calibrating))
    return find_genera(make_table(lineages), calibration).tolist()


def make_table(genera):
    """The table of an index of one window a genome."""
    n = len(genera)
    contigs = RepeatedNames(np.frombuffer(b"c", np.uint8), np.array([0, 1]), np.zeros(n, np.int32))
    columns = np.arange(n, dtype=np.int32), contigs, np.zeros(n, np.int32), np.full(n, 1000, np.int32)
    return WindowTable([f"g{i}" for i in range(n)], [{"genus": name} if name else {} for name in genera], *columns)


def test_genera_of_one_species_are_one():
    # 0.95^21 = 0.34: of 100 hashes genomes of one species share 35 and more.
    lineages = ["Salmonella", "", "Shigella", "Escherichia", "", "Citrobacter", "Klebsiella"]
    hits = [
        (0, 0, 2, 60),  # genome 3, the first that calibrates, is of the species of genome 2,
        (0, 1, 0, 33),  # not of genome 0's,
        (0, 0, 1, 99),  # and one without a genus joins nothing
        (0, 0, 4, 99),
        (1, 0, 4, 99),  # though genome 6 is of its species, too
        (1, 0, 5, 35),  # genome 6: just so
    ]
    salmonella, none, shigella, escherichia, no_name, citrobacter, klebsiella = genera_of(lineages, [3, 6], hits)
    assert none == no_name == -1
    assert shigella == escherichia
    assert citrobacter == klebsiella
    assert len({salmonella, shigella, citrobacter}) == 3


def test_a_nameless_genome_that_calibrates_joins_no_genera():
    first, nameless, second = genera_of(["A", "", "B"], [1], [(0, 0, 0, 90), (0, 0, 2, 90)])
    assert nameless == -1
    assert first != second


def test_one_conserved_stretch_joins_no_genera():
    sizes = np.array([20, 180])  # hashes of a stretch, and of the rest of the pieces
    matches = Matches(np.array([0, 1]), sizes, np.array([0]), np.array([1]), np.array([20]))
    calibration = SimpleNamespace(matches=matches, piece_genome=np.zeros(2, dtype=int), calibrating=np.array([0]))
    first, second = find_genera(make_table("AB"), calibration)
    assert first != second

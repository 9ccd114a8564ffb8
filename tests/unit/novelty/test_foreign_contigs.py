"""Bins that hold contigs of other genomes, in worlds of drawn vectors."""

from dataclasses import replace

import numpy as np
import pytest

from workflow_lib.novelty import Settings, call_bins
from workflow_lib.novelty.identity import Matches


def test_a_bin_of_two_genomes_is_abstained_from(build, make_world):
    lineages = [(p, g, s, t) for p in range(10) for g in range(3) for s in range(4) for t in range(2)]
    world = make_world(2)
    index, calibration, _ = build(world, lineages)
    vectors = np.concatenate([world.draw(lineage, 4) for lineage in ((0, 0, 0, 9), (5, 0, 0, 9))])
    names, lengths = list("abcdefgh"), np.full(8, 7000)
    bins = {"pure": np.arange(4), "mixed": np.array([0, 1, 4, 5])}
    results = call_bins(index, calibration, bins, vectors, names, lengths, Settings(0.1, 2500, 20))
    assert results.reasons == ["", "mixed_bin"]


def test_strangers_of_an_indexed_genome_do_not_make_a_bin_known(build, make_world):
    """A tenth of foreign contigs, which match their genome in full: without a place near it, it does not count."""
    lineages = [(p, g, s, t) for p in range(10) for g in range(3) for s in range(4) for t in range(2)]
    world = make_world(5)
    index, calibration, _ = build(world, lineages)
    matched = replace(calibration, segment_piece=np.zeros(1, dtype=np.int64), segment_size=np.ones(1, dtype=np.int64))
    own, stranger = world.draw((99, 0, 0, 0), 9), world.draw(lineages[0], 10)
    vectors = np.concatenate([own, stranger])
    # The last ten contigs match the first genome.
    matches = Matches(np.arange(19), np.full(19, 100), np.arange(9, 19), np.zeros(10, np.int64), np.full(10, 80))
    names, lengths = [f"c{i}" for i in range(19)], np.array([3500, 7000])[np.arange(19) % 2]

    def match(rows):
        queries = {"bin": np.array(rows)}, vectors, names, lengths, Settings(0.1, 2500, 20)
        found = call_bins(index, matched, *queries, matches=matches).neighbours
        return found.identity[0], index.table.genomes[found.genome[0]]

    identity = pytest.approx(0.8 ** (1 / 21), abs=1e-4)
    assert match(range(9, 19)) == (identity, index.table.genomes[0])
    assert match(range(10))[0] == 0
    eight = [*range(7), 9]  # four of each length; with fewer the mean is too unsure for a place
    assert match(eight)[0] == 0
    assert match(eight[1:]) == (identity, index.table.genomes[0])

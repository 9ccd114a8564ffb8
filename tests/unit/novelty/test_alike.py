"""Genomes that are of one species by sequence, under other names: left out together, one unit, and told."""

import numpy as np
import pytest
from test_design import lineage, make_alike, units
from test_sketch import mutate, random_sequence

from workflow_lib.embed import load_embedder
from workflow_lib.fasta import write_fasta
from workflow_lib.index import load_index
from workflow_lib.index.reference import embed_reference
from workflow_lib.novelty import read_calibration
from workflow_lib.novelty.alike import find_alike, warn_of_names
from workflow_lib.novelty.build import build_calibrated_index
from workflow_lib.novelty.design import CALIBRATED, KNOWN, OUTSIDE, REFERENCE, TEST_RANKS, encode_names, make_design
from workflow_lib.novelty.identity import Matches
from workflow_lib.novelty.sketch import sketch_genomes
from workflow_lib.tables import Genome


def left_out(design, test, genome):
    return np.flatnonzero(design.excluded(test, genome)).tolist()


def test_a_genome_of_the_species_is_left_out_under_another_name():
    plain = make_design([lineage(text) for text in ["p1 g1 s1", "p1 g1 s1x", "p1 g1 s2", "p1 g2 s3", "p2 g3 s4"]])
    assert left_out(plain, "genus", 0) == [0]
    design = plain.with_alike(make_alike((0, 1), (1, 0)))
    assert left_out(design, "genus", 0) == left_out(design, "genus", 1) == left_out(design, KNOWN, 0) == [0, 1]
    assert left_out(design, REFERENCE, 0) == [0]
    assert left_out(design, "genus", 2) == [2]
    # The two are one unit.
    assert units(plain, "genus") == [0, 1, 2, -1, -1]
    assert units(design, "genus") == units(design, KNOWN) == [0, 0, 1, -1, -1]
    assert units(design, REFERENCE) == [0, 1, 2, 3, 4]


def test_a_genome_of_whose_genus_only_its_copy_is_left_does_not_calibrate():
    design = make_design([lineage(text) for text in ["p1 g1 s1", "p1 g1 s1x", "p1 g2 s2"]])
    assert not design.excluded("genus", 0).all()
    design = design.with_alike(make_alike((0, 1), (1, 0)))
    assert design.excluded("genus", 0).all()
    assert design.excluded(KNOWN, 1).all()
    assert left_out(design, "phylum", 0) == [0, 1]
    assert left_out(design, OUTSIDE, 2) == [0, 1, 2]


def test_names_of_close_species_are_left_out_of_novelty_tests_only():
    """Each to its safe side: calibration scores may be too large for novelty, too small for `known`."""
    plain = make_design([lineage(text) for text in ["p1 g1 s1", "p1 g1 s2", "p1 g1 s3"]])
    close, same = (plain.with_alike(make_alike((0, 1, identity))) for identity in (0.969, 0.97))
    assert left_out(close, "genus", 0) == left_out(same, "genus", 0) == left_out(same, KNOWN, 0) == [0, 1]
    assert left_out(close, KNOWN, 0) == [0]
    nameless = make_design([lineage(text) for text in ["p1 g1 s1", "p1 g1", "p1 g1 s3"]])
    assert left_out(nameless, KNOWN, 0) == [0]
    assert left_out(nameless.with_alike(make_alike((0, 1, 0.96))), KNOWN, 0) == [0, 1]


def test_all_genomes_that_are_alike_are_left_out():
    design = make_design([lineage(text) for text in ["p1 g1 s1", "p1 g1 s2", "p1 g1 s3", "p1 g1 s4"]])
    design = design.with_alike(make_alike((0, 1), (0, 2)))
    assert left_out(design, "genus", 0) == left_out(design, KNOWN, 0) == [0, 1, 2]


def test_genera_that_a_genome_links_are_left_out_together():
    """Of a genus of which one genome is again under another genus, no other genome has that genus to come back to."""
    plain = make_design([lineage(text) for text in ["p1 g1 s1", "p1 g1 s2", "p1 g2 s1x", "p1 g2 s4", "p1 g3 s5"]])
    design = plain.with_alike(make_alike((0, 2), (2, 0)))
    assert left_out(plain, "phylum", 1) == [0, 1]
    assert all(left_out(design, "phylum", genome) == [0, 1, 2, 3] for genome in range(4))
    assert (units(plain, "phylum"), units(design, "phylum")) == ([0, 0, 1, 1, 2], [0, 0, 0, 0, 1])
    # Below a third of its pieces, or of the other's, only the genome itself goes.
    for sizes, pair in (((1, 1, 1, 1, 1), (0, 2, 0.99, 0.33)), ((32, 1, 100, 1, 1), (0, 2, 0.99, 1.0))):
        partly = plain.with_alike(make_alike(pair, sizes=sizes))
        assert left_out(partly, "phylum", 0) == [0, 1, 2]
        assert left_out(partly, "phylum", 1) == [0, 1]
    partly = plain.with_alike(make_alike((0, 2, 0.99, 0.34)))
    assert left_out(partly, "phylum", 1) == [0, 1, 2, 3]


def test_genomes_inside_contaminated_ones_link_no_genera():
    lineages = [lineage(text) for text in ["p1 g1 s1", "p1 g2 s2", "p1 g3 s3", "p1 g4 s4"]]
    genera = encode_names([one["genus"] for one in lineages])
    small, large = [(0, 1, 0.99, 1.0), (2, 1, 0.99, 1.0)], [(1, 0, 0.99, 0.15), (1, 2, 0.99, 0.15)]
    for pairs in (small, large, sorted(small + large)):  # any of them may calibrate, or not
        assert make_alike(*pairs, sizes=(15, 100, 15, 100)).join(genera).tolist() == [0, 1, 2, 3]
    assert make_alike(*small, sizes=(34, 100, 33, 100)).join(genera).tolist() == [0, 0, 1, 2]


def test_phyla_may_be_linked_too():
    design = make_design([lineage(text) for text in ["p1 g1 s1", "p2 g2 s2", "p3 g3 s3"]])
    assert left_out(design, OUTSIDE, 0) == [0]
    design = design.with_alike(make_alike((0, 1), (1, 0)))
    assert left_out(design, OUTSIDE, 0) == left_out(design, OUTSIDE, 1) == [0, 1]
    assert units(design, "phylum") == [-1, -1, -1]


def test_alike_is_from_a_tenth_of_the_pieces_on_and_never_the_genome_itself():
    # Genome 7 calibrates as the first one: pieces of 100 and 900 hashes; 0.95^21 = 0.34.
    hits = np.array([[0, 7, 100], [0, 2, 99], [0, 3, 33], [1, 4, 900]])  # segment, genome, hashes shared
    matches = Matches(np.array([0, 0]), np.array([100, 900]), *hits.T)
    alike = find_alike(matches, np.zeros(1, dtype=int), np.array([7]), np.full(9, 1000))
    assert (alike.genome.tolist(), alike.other.tolist(), alike.share.tolist()) == ([7, 7], [2, 4], [0.1, 0.9])
    assert alike.of(7) == slice(0, 2)
    assert alike.of(3) == slice(0, 0)


def test_genomes_that_hold_a_part_of_what_is_left_out_are_left_out_of_novelty_tests():
    """Contaminated ones, of other genera: with the part the taxon that calibrates would still be in the index."""
    texts = ["p1 g1 s1", "p1 g1 s2", "p1 g2 s3", "p1 g2 s4", "p2 g3 s5", "p2", "p1 g1 s1"]
    plain = make_design([lineage(text) for text in texts])
    design = plain.with_alike(make_alike((0, 6), held=[(0, 1), (0, 4), (0, 5), (1, 3)]))
    assert left_out(plain, "genus", 0) == [0, 6]
    assert left_out(design, "genus", 0) == left_out(design, "genus", 6) == [0, 4, 5, 6]  # 1 is of the genus
    assert left_out(design, "genus", 1) == [1, 3]
    assert left_out(design, "phylum", 0) == [0, 1, 3, 4, 5, 6]
    assert left_out(design, KNOWN, 0) == left_out(plain, KNOWN, 0) == [0, 6]  # its safe side is the other one
    assert left_out(design, REFERENCE, 0) == [0]
    nameless = make_design([lineage(text) for text in [*texts, "p1 s7", "p3 s9"]])
    assert left_out(nameless, "phylum", 0) == [0, 1, 6, 7]
    design = nameless.with_alike(make_alike((0, 6), held=[(7, 8)]))
    assert left_out(design, "phylum", 0) == [0, 1, 6, 7, 8]
    # Where they are all that is left of the taxon, the genome does not calibrate.
    design = plain.with_alike(make_alike((0, 6), held=[(0, 2), (1, 3)]))
    assert design.excluded("phylum", 0).all()


def test_a_part_is_held_where_one_segment_has_the_identity_of_a_species():
    hits = np.array([[0, 7, 100], [0, 2, 35], [0, 3, 33], [1, 4, 300]])  # segment, genome, hashes shared
    matches = Matches(np.array([0, 1]), np.array([100, 900]), *hits.T)
    alike = find_alike(matches, np.array([1, 1]), np.array([5, 7]), np.full(9, 1000))
    assert (alike.held.tolist(), alike.holder.tolist()) == ([7], [2])  # neither itself nor 0.33 < 0.95^21


def test_pairs_of_other_names_are_told(caplog):
    lineages = [lineage(text) for text in ["p1 g1 s1", "p1 g2 s2", "p1 g1 s1", "p1 g1", "p1 g1 s3"]]
    ranks = [encode_names([one.get(rank) for one in lineages]) for rank in TEST_RANKS]
    names = list("bacde")
    warn_of_names(make_alike((0, 2), (0, 3), (2, 0)), ranks, names, lineages)
    assert not caplog.messages  # one name, or none
    warn_of_names(make_alike((0, 1, 0.998), (0, 4, 0.96), (1, 0, 0.997)), ranks, names, lineages)
    (message,) = caplog.messages
    assert "of one species: 2 (identity 0.95 or more; 1 of 0.97 or more" in message
    told = "a (g__g2;s__s2) and b (g__g1;s__s1), 0.998; b (s__s1) and e (s__s3), 0.960"
    assert message.endswith(f"The most alike: {told}")


LENGTH, COPIES = 30_000, (0, 3, 8)


@pytest.fixture(scope="module")
def genomes(tmp_path_factory):
    """8 genera of two species that differ at 10% of the places; three genomes again, but for their last base."""
    rng, folder = np.random.default_rng(11), tmp_path_factory.mktemp("copies")
    found = {}
    for number in range(16):
        if number % 2 == 0:
            genus = random_sequence(rng, LENGTH)
        sequence = mutate(rng, genus, 0.05)
        taxonomy = {"phylum": f"p{number // 8}", "genus": f"g{number // 2}", "species": f"s{number}"}
        copies = [("", sequence)] + ([("x", sequence[:-1])] if number in COPIES else [])
        for suffix, own in copies:
            path = folder / f"{number}{suffix}.fa.gz"
            write_fasta(path, [("c", own)])
            genome = Genome(f"{number}{suffix}", str(path), taxonomy | {"species": f"s{number}{suffix}"})
            found[genome.name] = genome
    return found


def test_near_copies_under_other_species_change_no_score(genomes, tmp_path, caplog):
    """With a copy in the index no genus had a new species among those that calibrate it."""
    found = {}
    for copies in (False, True):
        own = {name: genome for name, genome in genomes.items() if copies or not name.endswith("x")}
        stores = embed_reference(
            *(load_embedder("tnf", threads=1), own.values()), window=10_000, strata=(2500, 5000), pieces=3, seed=1,
            shard_folder=tmp_path / "shards", shard_mbp=1,
        )  # fmt: skip
        assert not caplog.messages
        build_calibrated_index(
            *(*stores, {name: genome.taxonomy for name, genome in own.items()}, tmp_path / "index"),
            factory="Flat", neighbours=1, n_pieces=3, sketch=sketch_genomes(own.values(), scale=20), genomes=own,
        )  # fmt: skip
        index = load_index(tmp_path / "index")
        calibration = read_calibration(tmp_path / "index", index)
        pieces = [index.table.genomes[code] for code in calibration.calibrating[calibration.piece_genome]]
        for test in ("genus", "phylum", KNOWN, OUTSIDE):
            row = CALIBRATED.index(test)
            found[copies, test] = {
                name: calibration.piece_scores[row][np.array(pieces) == name] for name in own if name in genomes
            }
            n_units = len(np.unique(calibration.units[row][calibration.units[row] >= 0]))
            assert n_units == found.setdefault(test, n_units)  # a genome and its copy are one
    (message,) = [message for message in caplog.messages if "pairs of reference" in message]
    assert "of one species: 3 (" in message
    assert "0 (s__s0) and 0x (s__s0x)" in message
    for test in ("genus", "phylum", KNOWN, OUTSIDE):
        for name, scores in found[False, test].items():
            assert np.isfinite(scores).all()
            # Windows of a copy that is one base shorter are cut elsewhere; with it in the index scores are 2 lower.
            assert found[True, test][name] == pytest.approx(scores, abs=2e-3)

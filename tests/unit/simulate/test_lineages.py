import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.simulate.evolve import evolve_genomes
from workflow_lib.simulate.lineages import (
    LINEAGE_RANKS,
    NOVELTY_CYCLE,
    community_lineages,
    lineage_name,
    lineage_taxonomy,
    novelty_rank,
    reference_lineages,
)
from workflow_lib.tables import NAME_PATTERN
from workflow_lib.taxonomy import RANKS, format_taxonomy, parse_taxonomy


def test_reference_calibrates_every_rank():
    """Two units a rank and phylum: taxa whose parent stays in the reference when they are left out."""
    lineages = reference_lineages(28)
    assert len(set(lineages)) == 28
    for depth in range(1, len(LINEAGE_RANKS) + 1):
        taxa = {lineage[: depth + 1] for lineage in lineages}
        units = [taxon for taxon in taxa if any(other[:-1] == taxon[:-1] and other != taxon for other in taxa)]
        assert len(units) == 8, LINEAGE_RANKS[depth - 1]
    assert reference_lineages(9) == lineages[:9]


@pytest.mark.parametrize("seed", range(5))
def test_community_has_the_novelty_of_the_cycle(seed):
    reference = reference_lineages(24)
    community = community_lineages(reference, 17, np.random.default_rng(seed))
    assert not set(community) & set(reference)
    assert len(set(community)) == 17
    taxonomies = [lineage_taxonomy(lineage) for lineage in reference]
    found = [novelty_rank(lineage_taxonomy(lineage), taxonomies) for lineage in community]
    assert found == [NOVELTY_CYCLE[i % len(NOVELTY_CYCLE)] for i in range(17)]


def test_known_hosts_are_not_drawn_twice_while_others_are_left():
    reference = reference_lineages(14)
    community = community_lineages(reference, 30, np.random.default_rng(0))
    known = [lineage[:6] for lineage in community if lineage[:6] in {x[:6] for x in reference}]
    assert len(known) == len(set(known)) == 12  # two in five; the reference has as many species


def test_taxon_names_are_unique_and_names_fit_files():
    lineages = [
        (p, c, 0, f, 0, s, t) for p in range(90) for c in (0, 85) for f in (0, 1) for s in (0, 81) for t in (0, 1)
    ]
    for depth, rank in enumerate(LINEAGE_RANKS, start=1):
        names = {}
        for lineage in lineages:
            assert names.setdefault(lineage_taxonomy(lineage)[rank], lineage[:depth]) == lineage[:depth]
        assert len(names) == len({lineage[:depth] for lineage in lineages})
    assert len({lineage_name(lineage) for lineage in lineages}) == len(lineages)
    assert all(NAME_PATTERN.fullmatch(lineage_name(lineage)) for lineage in lineages)
    taxonomy = lineage_taxonomy(lineages[7])
    assert parse_taxonomy(format_taxonomy(taxonomy)) == taxonomy


@pytest.mark.parametrize("text", ["d__Bacteria|p__X", "d__Bacteria, p__X;g__Y", "Bacteria;X", "d__A;d__B"])
def test_lineages_in_another_form_are_refused(text):
    with pytest.raises(ValueError, match=r"__|rank"):
        parse_taxonomy(text)


def test_names_with_commas_and_bars_are_names():
    assert parse_taxonomy("d__Bacteria;g__X, a|b; s__X y ;") == {
        "domain": "Bacteria",
        "genus": "X, a|b",
        "species": "X y",
    }


def full(*names):
    return dict(zip(RANKS, names, strict=True))


REFERENCE = [full("B", "P", "C", "O", "F", "G", "G s")]


@pytest.mark.parametrize(
    ("taxonomy", "expected"),
    [
        (full("B", "P", "C", "O", "F", "G", "G s"), "known"),
        (full("B", "P", "C", "O", "F", "G", "G t"), "species"),
        (full("B", "P", "C", "O", "F", "H", "H s"), "genus"),
        (full("B", "P", "C", "O", "E", "H", "H s"), "family"),
        (full("B", "P", "C", "N", "E", "H", "H s"), "order"),
        (full("B", "P", "D", "N", "E", "H", "H s"), "class"),
        (full("B", "Q", "D", "N", "E", "H", "H s"), "phylum"),
        (full("A", "Q", "D", "N", "E", "H", "H s"), "domain"),
        ({"phylum": "P", "genus": "H", "species": "H s"}, "genus"),  # gaps say nothing
        ({"phylum": "P", "genus": "G"}, ""),  # a known genus of no named species: known or not, nobody can say
        ({}, ""),
    ],
)
def test_novelty_rank(taxonomy, expected):
    assert novelty_rank(taxonomy, REFERENCE) == expected


def test_malformed_lineages_are_refused():
    with pytest.raises(InputError, match="child number"):
        evolve_genomes([(0, 1, 2)], genome_length=5000, seed=1)
    with pytest.raises(InputError, match="twice"):
        evolve_genomes([(0,) * 7, (0,) * 7], genome_length=5000, seed=1)
    with pytest.raises(InputError, match="at least 2000"):
        evolve_genomes([(0,) * 7], genome_length=100, seed=1)

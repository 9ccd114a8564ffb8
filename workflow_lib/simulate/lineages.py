"""Made-up lineages: where genomes stand in a tree of seven ranks and strains, and what is novel against a reference."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.taxonomy import RANKS

# A lineage holds the child number at each of these ranks, then that of the strain.
LINEAGE_RANKS = RANKS[1:]
Lineage = tuple[int, ...]
KNOWN = "known"
# Novelty of one community genome after the other: 40% known species; the rest novel at three ranks.
NOVELTY_CYCLE = (KNOWN, "species", "genus", KNOWN, "phylum")

_CONSONANTS = "bclmnprstvdfghkz"
_VOWELS = "aeiou"
_ENDINGS = ("ota", "ia", "ales", "aceae", "a")  # phylum, class, order, family, genus


def reference_lineages(n_genomes: int) -> list[Lineage]:
    """Lineages of a reference in which every rank has sisters: seven genomes a phylum, one phylum after the other.

    To a phylum's first genome come a sister strain, then genomes of a sister species, genus, family, order and class.
    So each phylum has two taxa of every rank below it whose parent stays when one of them is left out: with ten phyla
    (70 genomes) every rank has 20 units to calibrate its conformal p-values.
    """
    lineages = []
    for i in range(n_genomes):
        phylum, steps_up = divmod(i, len(LINEAGE_RANKS) + 1)
        lineage = [phylum] + [0] * len(LINEAGE_RANKS)
        if steps_up:
            lineage[-steps_up] = 1
        lineages.append(tuple(lineage))
    return lineages


def community_lineages(reference: list[Lineage], n_genomes: int, rng: np.random.Generator) -> list[Lineage]:
    """Lineages of a community whose novelty against `reference` follows `NOVELTY_CYCLE`.

    A known genome is a further strain of a reference species, a genome novel at the species a further species of a
    reference genus, and so on. Hosts are drawn at random among those least related to the community so far.
    """
    if not reference:
        raise ValueError("a community needs reference lineages to stand beside")
    taken, lineages = set(reference), []
    for i in range(n_genomes):
        novelty = NOVELTY_CYCLE[i % len(NOVELTY_CYCLE)]
        depth = len(LINEAGE_RANKS) if novelty == KNOWN else LINEAGE_RANKS.index(novelty)
        hosts = sorted({lineage[:depth] for lineage in reference})
        hosts = [hosts[k] for k in rng.permutation(len(hosts))]
        host = min(hosts, key=lambda host: sorted((_shared_ranks(host, other) for other in lineages), reverse=True))
        child = 1 + max((lineage[depth] for lineage in taken if lineage[:depth] == host), default=-1)
        lineage = (*host, child, *[0] * (len(LINEAGE_RANKS) - depth))
        taken.add(lineage)
        lineages.append(lineage)
    return lineages


def _shared_ranks(one: Lineage, other: Lineage) -> int:
    """How many ranks, from the phylum down, two lineages have in common."""
    for rank, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return rank
    return min(len(one), len(other))


def _stem(lineage: Lineage) -> str:
    """A pronounceable word with a syllable a rank; different lineages of one depth have different words."""
    syllables = []
    for rank, child in enumerate(lineage):
        more, number = divmod(child, len(_CONSONANTS) * len(_VOWELS))
        vowel, consonant = divmod(number, len(_CONSONANTS))
        letter = _CONSONANTS[(consonant + 3 * rank) % len(_CONSONANTS)]
        syllables.append(letter + _VOWELS[(vowel + rank) % len(_VOWELS)] + (str(more) if more else ""))
    return "".join(syllables)


def lineage_taxonomy(lineage: Lineage) -> dict[str, str]:
    """Rank -> name for a lineage, in GTDB's manner; names that begin alike are related."""
    taxonomy = {"domain": "Bacteria"}
    for depth, (rank, ending) in enumerate(zip(LINEAGE_RANKS, _ENDINGS, strict=False), start=1):
        taxonomy[rank] = _stem(lineage[:depth]).capitalize() + ending
    epithet = _stem((lineage[5], lineage[5] + 1))
    taxonomy["species"] = f"{taxonomy['genus']} {epithet}us"
    return taxonomy


def lineage_name(lineage: Lineage) -> str:
    """Name of a genome: genus, species and strain, fit for a file name."""
    return f"{lineage_taxonomy(lineage)['species'].replace(' ', '_')}.{lineage[6] + 1}"


def novelty_rank(taxonomy: dict[str, str], reference: Iterable[dict[str, str]]) -> str:
    """The highest rank whose taxon is not in the reference: `known`, `species`, `genus`, ..., `phylum` or `domain`.

    Ranks without a name say nothing: a genome without a family whose genus is new and whose order is known is
    `genus`. Without a species name, a genome of a known genus may be known or not: the empty string.
    """
    reference = list(reference)
    missing = ""
    for rank in reversed(RANKS):
        name = taxonomy.get(rank)
        if not name:
            continue
        if any(other.get(rank) == name for other in reference):
            return missing or (KNOWN if rank == "species" else "")
        missing = rank
    return missing


def check_lineages(lineages: list[Lineage]) -> None:
    """Refuse lineages of the wrong depth or given twice.

    Raises
    ------
    InputError
        naming the lineage.
    """
    for lineage in lineages:
        if len(lineage) != len(LINEAGE_RANKS) + 1 or min(lineage) < 0:
            expected = ", ".join((*LINEAGE_RANKS, "strain"))
            raise InputError(f"lineage {lineage}, expected a child number from 0 on for each of {expected}")
    if len(set(lineages)) != len(lineages):
        twice = next(lineage for lineage in lineages if lineages.count(lineage) > 1)
        raise InputError(f"lineage {twice} stands there twice, expected each strain once")

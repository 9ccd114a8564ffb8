"""Ranks and lineages in GTDB style: `d__Bacteria;p__...;...;s__...`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

RANKS = ("domain", "phylum", "class", "order", "family", "genus", "species")
# Words for a missing name: genomes that share one need not be alike. Anywhere in a name; at its end, where more would
# tell one from another (`Bacillus sp. CG1`, `Clostridiales bacterium VE202-06`); and alone.
_MISSING = re.compile(
    r"(?:.*[\W_])?(?:uncultured|unclassified|unidentified|unassigned|unknown|unnamed|noname|norank|metagenome"
    r"|incertae[ _]sedis|environmental[ _]samples?)(?:[\W_].*)?"
    r"|(?:.*[ _])?(?:spp?\.?|bacterium|archaeon)"
    r"|(?:not|no)[ _-]+(?:applicable|assigned|available|classified|determined|hit|name|rank|support)"
    r"|undefined|undetermined|unranked|unspecified|na|n/a|n[.]a[.]|nan|none|null|-|[?]+",
    re.IGNORECASE,
)
_PARENT = re.compile(r" \([^()]*\)$")
_NAMES_GENUS = re.compile(r"(?!(?:genomo)?spp?[. _]|cf[. _]|aff[. _])[^\s_]+[\s_]+\S", re.IGNORECASE)  # of a species
_PREFIXES = {rank[0]: rank for rank in RANKS}


def parse_taxonomy(text: str) -> dict[str, str]:
    """Parse a GTDB-style lineage into rank -> name; ranks may be missing or empty (`g__`), and are then left out.

    Raises
    ------
    ValueError
        with what was expected: a field without a known prefix, a rank given twice, or ranks parted otherwise.
    """
    lineage: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        prefix, separator, name = part.partition("__")
        if not separator or prefix not in _PREFIXES:
            raise ValueError(f"'d__..;p__..;c__..;o__..;f__..;g__..;s__..'; {part!r} has no such prefix")
        if _PREFIXES[prefix] in lineage:
            raise ValueError(f"each rank once; {prefix}__ stands there twice")
        if re.search(r"[|,]\s*[dpcofgs]__", name):
            raise ValueError(f"ranks with `;` between; {part!r} holds several")
        if name.strip():
            lineage[_PREFIXES[prefix]] = name.strip()
    return lineage


def format_taxonomy(lineage: dict[str, str]) -> str:
    """Write rank -> name as a GTDB-style lineage with all seven ranks; a rank not known is empty."""
    return ";".join(f"{rank[0]}__{lineage.get(rank, '')}" for rank in RANKS)


def tell_apart(one: dict[str, str], other: dict[str, str]) -> tuple[str, str] | None:
    """The names, as `g__A;s__b`, of the ranks at which two lineages have different ones; None where they have none."""
    ranks = [rank for rank in RANKS if rank in one and rank in other and one[rank] != other[rank]]
    first, second = (";".join(f"{rank[0]}__{lineage[rank]}" for rank in ranks) for lineage in (one, other))
    return (first, second) if ranks else None


def drop_missing(lineages: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], list[str]]:
    """Leave out names that stand for none: `uncultured bacterium`, `Bacillus sp.`, `unclassified Bacillales`.

    Genomes that share such a name need not be of one taxon.

    Returns
    -------
    The lineages without them; and these, of every genome, as `s__uncultured bacterium`.
    """
    dropped = [f"{rank[0]}__{name}" for one in lineages for rank, name in one.items() if _MISSING.fullmatch(name)]
    kept = [{rank: name for rank, name in one.items() if not _MISSING.fullmatch(name)} for one in lineages]
    return kept, dropped


def part_homonyms(lineages: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], list[str]]:
    """Give taxa of one rank and name that stand below different taxa names of their own: `sp001 (Alpha)`.

    A taxon stands below the nearest higher rank that its genome names (`drop_missing` comes first). Names that stand
    below two or more names of one rank are of different taxa (`sp001` of two genera, a genus name of two phyla); below
    names of different ranks only, as where the genus is not known of some, they are taken for one. Decided by the names
    as given, as else a misspelled phylum would part all that is below it: the taxa below one that is renamed keep
    theirs. The order of the genomes does not matter.

    Returns
    -------
    The lineages, renamed where there are homonyms; and these, as `s__sp001`, sorted.
    """
    parents: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for lineage in lineages:
        for rank, name in lineage.items():
            above, parent = _parent(lineage, rank)
            parents[rank, name][above].add(parent)
    homonyms = {taxon for taxon, found in parents.items() if any(len(names) > 1 for names in found.values())}

    def rename(lineage: dict[str, str], rank: str) -> str:
        parent = _parent(lineage, rank)[1] if (rank, lineage[rank]) in homonyms else ""
        return f"{lineage[rank]} ({parent})" if parent else lineage[rank]

    parted = [{rank: rename(lineage, rank) for rank in lineage} for lineage in lineages]
    return parted, sorted(f"{rank[0]}__{name}" for rank, name in homonyms)


def fold_name(name: str) -> str:
    """A name without what is only spelling: case, and whether words are parted by blanks or `_`."""
    return re.sub(r"[\s_]+", " ", name).strip().casefold()


def drop_parent(rank: str, name: str) -> str:
    """A name without the parent that `part_homonyms` adds: what two genomes that may be of one taxon have alike.

    A species called by its epithet alone, as `g__Blautia;s__faecis`, keeps it: many genera have one of that name.
    """
    bare = _PARENT.sub("", name)
    return bare if rank != "species" or _NAMES_GENUS.match(bare) else name


def _parent(lineage: dict[str, str], rank: str) -> tuple[str, str]:
    """The nearest rank above that the lineage names, and the name; empty where there is none."""
    for higher in reversed(RANKS[: RANKS.index(rank)]):
        if higher in lineage:
            return higher, lineage[higher]
    return "", ""

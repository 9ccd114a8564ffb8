"""Ranks and lineages in GTDB style: `d__Bacteria;p__...;...;s__...`."""

from __future__ import annotations

import re

RANKS = ("domain", "phylum", "class", "order", "family", "genus", "species")
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

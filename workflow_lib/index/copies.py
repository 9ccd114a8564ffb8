"""Genomes with the sequences of an earlier one, which an index leaves out."""

from __future__ import annotations

import logging

from workflow_lib.taxonomy import tell_apart

logger = logging.getLogger(__name__)


def tell_copy(genome: str, digest: str, seen: dict[str, str], taxonomy: dict[str, dict[str, str]]) -> bool:
    """Tell of a genome that has the sequences of an earlier one, or note it in `seen`; whether it is such a copy.

    Parameters
    ----------
    digest : of `genome_cache.LoadedGenome`. seen : digest -> genome.
    taxonomy : genome -> rank -> name, of those of which it is known; where the two differ the warning names both.
    """
    first = seen.setdefault(digest, genome)
    if first == genome:
        return False
    names = tell_apart(taxonomy.get(genome, {}), taxonomy.get(first, {}))
    if names:
        logger.warning(
            "genome %s (%s) has the sequences of %s (%s), which has another lineage; left out: if that of %s is the "
            "wrong one, take it out of the table",
            *(genome, names[0], first, names[1], first),
        )
    else:
        logger.warning("genome %s has the sequences of %s; left out", genome, first)
    return True

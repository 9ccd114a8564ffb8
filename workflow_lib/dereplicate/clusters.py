"""Clusters of genomes by average nucleotide identity (ANI), greedy around the best genome of each."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from workflow_lib.dereplicate.genomes import DraftGenome
from workflow_lib.fasta import read_fasta

logger = logging.getLogger(__name__)

_SCREEN_SLACK = 0.05  # below the ANI asked for, at which skani's rough screen may still leave a pair out
_LOG_EVERY = 500  # genomes


@dataclass(frozen=True)
class Membership:
    """A genome and the representative of its cluster.

    Attributes
    ----------
    genome, representative : the same one for a representative.
    ani : between the two, 0 to 1; 1 for a representative.
    aligned, aligned_representative : share of the genome, and of the representative, that aligns with the other.
    """

    genome: DraftGenome
    representative: DraftGenome
    ani: float = 1.0
    aligned: float = 1.0
    aligned_representative: float = 1.0


def cluster_genomes(
    genomes: Sequence[DraftGenome], *, min_ani: float = 0.95, min_aligned: float = 0.3
) -> list[list[Membership]]:
    """Cluster genomes so that each is within `min_ani` of the best genome of its cluster.

    The genomes are taken from the best to the worst (`DraftGenome.rank`). Each joins the representative of the highest
    ANI if that is at least `min_ani` and the larger of the two aligned shares at least `min_aligned`; else it becomes a
    representative itself. The larger share, since two halves of a genome share a quarter of it.

    Parameters
    ----------
    genomes : in any order; their files are read once more.
    min_ani : 0 to 1.
    min_aligned : 0 to 1; skani itself finds nothing below 0.15.

    Returns
    -------
    Clusters in the order of their representatives, best first; each with its representative first and its members from
    the best to the worst. Only the sketches of representatives are held: about 0.3 MB a Mbp.

    Notes
    -----
    ANI and aligned shares: skani (Shaw and Yu 2023, Nature Methods 20:1661). The greedy order is that of CD-HIT (Li and
    Godzik 2006, Bioinformatics 22:1658).
    """
    import pyskani

    started = time.monotonic()
    database = pyskani.Database()
    clusters: dict[str, list[Membership]] = {}
    for number, genome in enumerate(sorted(genomes, key=lambda genome: genome.rank), start=1):
        contigs = [record.sequence for record in read_fasta(genome.path)]
        hits = database.query(genome.name, *contigs, cutoff=max(min_ani - _SCREEN_SLACK, 0.0)) if clusters else []
        near = [
            hit
            for hit in hits
            if hit.identity >= min_ani and max(hit.query_fraction, hit.reference_fraction) >= min_aligned
        ]
        if near:
            best = min(near, key=lambda hit: (-hit.identity, -hit.query_fraction, hit.reference_name))
            cluster = clusters[best.reference_name]
            shares = best.identity, best.query_fraction, best.reference_fraction
            cluster.append(Membership(genome, cluster[0].genome, *shares))
        else:
            clusters[genome.name] = [Membership(genome, genome)]
            database.sketch(genome.name, *contigs)
        if number % _LOG_EVERY == 0:
            logger.info("%d of %d genomes, %d clusters", number, len(genomes), len(clusters))
    logger.info("%d genomes in %d clusters, %.1f s", len(genomes), len(clusters), time.monotonic() - started)
    return list(clusters.values())

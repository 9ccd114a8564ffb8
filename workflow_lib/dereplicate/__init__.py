"""Bins of several samples and runs as genomes: clusters by average nucleotide identity, a representative each."""

from workflow_lib.dereplicate.clusters import Membership, cluster_genomes
from workflow_lib.dereplicate.genomes import DraftGenome, describe_genomes

__all__ = ["DraftGenome", "Membership", "cluster_genomes", "describe_genomes"]

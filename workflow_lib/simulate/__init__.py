"""Simulation: genomes evolved down a tree, communities of any genomes, depth, reads and truth.

>>> from workflow_lib.simulate import evolve_genomes, reference_lineages, simulate_community
>>> genomes = evolve_genomes(reference_lineages(4), genome_length=30_000, seed=1)
>>> community = simulate_community(genomes, n_libraries=2, mean_depth=8, contig_median=5000, seed=1)
>>> community.depth.shape == (len(community.contigs), 2)
True
"""

from workflow_lib.simulate.community import Community, Contig, simulate_community
from workflow_lib.simulate.dataset import draw_genomes, evolve_community_and_reference, write_dataset
from workflow_lib.simulate.evolve import SimulatedGenome, evolve_genomes
from workflow_lib.simulate.lineages import community_lineages, novelty_rank, reference_lineages
from workflow_lib.simulate.reads import write_read_pairs
from workflow_lib.simulate.strains import evolve_strains

__all__ = [
    "Community",
    "Contig",
    "SimulatedGenome",
    "community_lineages",
    "draw_genomes",
    "evolve_community_and_reference",
    "evolve_genomes",
    "evolve_strains",
    "novelty_rank",
    "reference_lineages",
    "simulate_community",
    "write_dataset",
    "write_read_pairs",
]

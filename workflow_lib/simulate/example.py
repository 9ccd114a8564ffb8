"""The example that a fresh clone runs on: tests/data/example and the tables in config/."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.simulate.community import simulate_community
from workflow_lib.simulate.dataset import (
    evolve_community_and_reference,
    write_contigs,
    write_reference,
    write_tables,
    write_truth,
)

_COMMENT = "The example. Put your own files here: config/README.md explains every column."
_SEED = 1
_GENOMES, _GENOME_LENGTH = 5, 75_000  # of the community; bp
_REFERENCE_GENOMES = 70
_CONTIG_MEDIAN, _CONTIG_SIGMA = 4500, 0.5  # bp; of its log


def write_example(folder: str | Path, tables: str | Path) -> None:
    """Write the example's data to `folder` and samples.tsv, libraries.tsv and reference.tsv to `tables`.

    The repository's own were made, in its root, by
    `python -c "from workflow_lib.simulate.example import write_example as w; w('tests/data/example', 'config')"`.
    """
    folder, tables = Path(folder), Path(tables)
    genomes, reference = evolve_community_and_reference(
        n_genomes=_GENOMES, n_reference=_REFERENCE_GENOMES, genome_length=_GENOME_LENGTH, seed=_SEED
    )
    community = simulate_community(
        genomes,
        n_libraries=2,
        mean_depth=10,
        contig_median=_CONTIG_MEDIAN,
        contig_sigma=_CONTIG_SIGMA,
        seed=_SEED,
    )
    write_reference(folder, reference, table=tables / "reference.tsv", comment=_COMMENT)
    write_contigs(folder, community)
    write_truth(folder, community, [genome.taxonomy for genome in reference])
    write_tables(folder, community, tables=tables, read_pairs=False, comment=_COMMENT)

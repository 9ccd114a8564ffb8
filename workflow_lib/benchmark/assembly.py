"""The truth of an assembly of simulated reads: the genome that each contig has most of its k-mers from."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from workflow_lib.fasta import batch_records, read_fasta, write_fasta
from workflow_lib.novelty.sketch import sketch_sequences
from workflow_lib.relatives.find import find_nearest
from workflow_lib.simulate.benchmark_set import BenchmarkSet, write_truth
from workflow_lib.simulate.community import Community

logger = logging.getLogger(__name__)

_SCALE = 10  # one of so many k-mers is compared: 50 of a contig of 500 bp, the shortest of an assembly
_BATCH = 20_000_000  # bp of contigs that are compared at a time


def label_assembly(
    assembly: str | Path, chosen: BenchmarkSet, community: Community, *, contigs: str | Path, truth: str | Path
) -> None:
    """Write the contigs of an assembly that binners get, and the truth of all, as `benchmark_set.write_set`.

    A contig is of the genome that has the largest share of its k-mers, of equals of the first: a contig of two strains
    is of one of them, and a chimera of the genome that most of it is from. Contigs that share hardly any k-mers with
    any genome are of none: they are left out of both files, and counted in the log.

    Parameters
    ----------
    assembly : FASTA of all contigs.
    chosen, community : the set, and what its reads were drawn from.
    contigs : FASTA to write. truth : TSV to write, see `benchmark_set.write_truth`.
    """
    genomes = community.genomes
    sketch = sketch_sequences(((genome.name, genome.sequences) for genome in genomes), scale=_SCALE)
    rows, kept, n_unknown = [], [], 0
    for records in batch_records(read_fasta(assembly), _BATCH):
        nearest = find_nearest(sketch, [record.sequence for record in records], np.arange(len(genomes)))
        for record, genome in zip(records, nearest.genome[:, 0], strict=True):
            if genome < 0:
                n_unknown += 1
                continue
            is_kept = chosen.keeps(record.sequence)
            rows.append((record.name, genomes[genome].name, len(record.sequence), is_kept))
            if is_kept:
                kept.append((record.name, record.sequence))
    write_fasta(contigs, kept)
    write_truth(truth, rows)
    logger.info(
        "%d contigs, of which %d are given to binners; %d share hardly any k-mers with any genome and are left out",
        len(rows),
        len(kept),
        n_unknown,
    )

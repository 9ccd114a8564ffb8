"""Draft genomes: bins from anywhere, described by their FASTA files and by marker genes where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.bin.outputs import n50
from workflow_lib.bin_folders import list_bin_files
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta
from workflow_lib.quality import Quality


@dataclass(frozen=True)
class DraftGenome:
    """A bin as a genome.

    Attributes
    ----------
    name : {source}.{bin}, used once among all.
    source, bin : the sample or folder that it comes from, and its name there.
    path : its FASTA file.
    length, n_contigs, n50 : bp, contigs, bp.
    quality : from marker genes; None where there is none.
    """

    name: str
    source: str
    bin: str
    path: Path
    length: int
    n_contigs: int
    n50: int
    quality: Quality | None = None

    @property
    def rank(self) -> tuple:
        """Sorts the best first: quality before none, then by score, length, N50; the name decides the rest."""
        score = self.quality.score if self.quality else 0.0
        return self.quality is None, -score, -self.length, -self.n50, self.name


def describe_genomes(
    sources: Mapping[str, str | Path], qualities: Mapping[str, Mapping[str, Quality]] | None = None
) -> list[DraftGenome]:
    """Describe the bins of every source, in the order of the sources; files without a sequence are left out.

    Parameters
    ----------
    sources : name -> folder with a FASTA file a bin.
    qualities : source -> bin -> quality, where it is known.

    Raises
    ------
    InputError
        when a folder is missing, a file cannot be read, or two genomes have one name.
    """
    genomes: dict[str, DraftGenome] = {}
    for source, folder in sources.items():
        known = (qualities or {}).get(source, {})
        for name, path in list_bin_files(folder).items():
            lengths = np.array([len(record.sequence) for record in read_fasta(path)], dtype=np.int64)
            if not lengths.sum():
                continue
            full = f"{source}.{name}"
            if full in genomes:
                message = f"two genomes are called {full!r}; the other one is {genomes[full].path}"
                raise InputError(message, path=path, remedy="rename a folder in dereplicate.folders")
            genomes[full] = DraftGenome(
                full, source, name, path, int(lengths.sum()), len(lengths), n50(lengths), known.get(name)
            )
    return list(genomes.values())

"""Completeness and contamination of bins that other runs and programs made, by marker genes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from workflow_lib.bin_folders import list_bin_files
from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.files import scratch_folder
from workflow_lib.markers.counts import read_counts, write_marker_quality
from workflow_lib.markers.find import find_markers


def rate_folders(
    folders: Mapping[str, str | Path],
    table: str | Path,
    *,
    method: str,
    hmm: str | Path | None = None,
    e_value: float | None = None,
    threads: int = 1,
) -> int:
    """Estimate completeness and contamination of the bins of folders by marker genes, as of the samples' own bins.

    Parameters
    ----------
    folders : name -> folder with a FASTA file a bin (`bin_folders.name_folders`).
    table : to write, as of `counts.write_marker_quality`; a bin is called {folder}.{bin}, as its genome is.
    method, hmm, e_value : as of `find.find_markers`.

    Returns
    -------
    The number of bins.

    Raises
    ------
    InputError
        when a folder or file cannot be read, and what `find_markers` raises.
    """
    assignments: dict[str, str] = {}  # number of a contig -> genome: contigs of several assemblies share names

    def records() -> Iterator[tuple[str, bytes]]:
        for folder, place in folders.items():
            for name, path in list_bin_files(place).items():
                for record in read_fasta(path):
                    number = str(len(assignments))
                    assignments[number] = f"{folder}.{name}"
                    yield number, record.sequence

    Path(table).parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(Path(table).parent) as scratch:  # as large as all the bins
        tables = {"genes_table": scratch / "genes.tsv", "families_table": scratch / "families.tsv"}
        write_fasta(scratch / "contigs.fa.gz", records())
        options = {} if e_value is None else {"e_value": e_value}
        find_markers(scratch / "contigs.fa.gz", **tables, method=method, hmm=hmm, threads=threads, **options)
        contigs = list(assignments)
        write_marker_quality(table, read_counts(*tables.values(), contigs), contigs, assignments)
    return len(set(assignments.values()))

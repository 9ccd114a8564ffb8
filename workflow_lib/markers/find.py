"""Marker genes by the method that the configuration names."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.errors import InputError

NONE = "none"


def find_markers(
    contigs: str | Path,
    *,
    genes_table: str | Path,
    families_table: str | Path,
    method: str,
    hmm: str | Path | None = None,
    e_value: float = 1e-10,
    threads: int = 1,
) -> int:
    """Find the marker genes of a FASTA file; write markers/{sample}/contigs.tsv and families.tsv (docs/output.md).

    Parameters
    ----------
    method : "kmers" (`kmer_search.find_kmer_markers`) or "hmm" (`genes.find_hmm_markers`).
    hmm, e_value : for the method "hmm".

    Returns
    -------
    The number of genes found.

    Raises
    ------
    InputError
        for another method, for "hmm" without a file of HMMs, and what these two raise.
    """
    tables = {"genes_table": genes_table, "families_table": families_table}
    if method == "kmers":
        from workflow_lib.markers.kmer_search import find_kmer_markers

        return find_kmer_markers(contigs, **tables, threads=threads)
    if method != "hmm" or not hmm:
        raise InputError(
            f"found markers.method {method!r} with markers.hmm {hmm!r}, expected kmers, or hmm with a file"
        )
    from workflow_lib.markers.genes import find_hmm_markers

    return find_hmm_markers(contigs, hmm, **tables, e_value=e_value, threads=threads)

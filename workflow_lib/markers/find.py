"""Marker genes by the method that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workflow_lib.errors import InputError

NO_MARKERS = "none"


def check_markers(section: Mapping) -> None:
    """Check that the method and the file of the configuration's section `markers` go together.

    Raises
    ------
    InputError
        when the method hmm has no file, or another method has one.
    """
    method, hmm = section["method"], section["hmm"]
    if method == "hmm" and not hmm:
        raise InputError(
            "markers.method is hmm, but markers.hmm names no file",
            remedy="name a file of HMMs, or set markers.method to kmers or none",
        )
    if hmm and method != "hmm":
        raise InputError(
            f"markers.hmm is {str(hmm)!r}, but markers.method is {method}",
            remedy="set markers.method to hmm, or markers.hmm to null",
        )


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
    if method != "hmm":
        raise InputError(f"found the method {method!r} of finding markers, expected kmers or hmm")
    check_markers({"method": method, "hmm": hmm})
    from workflow_lib.markers.genes import find_hmm_markers

    return find_hmm_markers(contigs, hmm, **tables, e_value=e_value, threads=threads)

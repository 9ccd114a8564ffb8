"""Contig-to-bin (or contig-to-genome) tables: plain TSV and the CAMI bioboxes binning format 0.9.1."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.fasta import read_text
from workflow_lib.files import atomic_open

BIOBOXES_VERSION = "0.9.1"
_HEADER_WORDS = ("contig", "contig_id", "contigname", "sequenceid", "sequence", "scaffold", "#contig")
_SWAPPED_HEADER = ["clustername", "contigname"]  # of VAMB


def read_contig2bin(path: str | Path) -> dict[str, str]:
    """Read contig -> bin from a TSV (header optional, further columns ignored) or a bioboxes file; gzip allowed.

    VAMB's tables have the bin first; their header tells them. Blanks around fields are stripped and contig names cut at
    the first blank, as everywhere in novabin.

    Raises
    ------
    InputError
        with file and line: fewer than two columns, an empty field, a contig in two different bins, damaged gzip data.
    """
    assignments: dict[str, str] = {}
    contig_column, bin_column = 0, 1
    for number, row in enumerate(read_text(path).split("\n"), start=1):
        fields = [field.strip() for field in row.split("\t")]
        if not row.strip() or (row.startswith("@") and not row.startswith("@@")):
            continue
        if row.startswith("@@"):
            contig_column, bin_column = _bioboxes_columns(fields, path, number)
            continue
        if number == 1 and [field.lower() for field in fields[:2]] == _SWAPPED_HEADER:
            contig_column, bin_column = 1, 0
            continue
        if number == 1 and fields[0].lower() in _HEADER_WORDS:
            continue
        if len(fields) <= max(contig_column, bin_column) or not fields[contig_column] or not fields[bin_column]:
            raise InputError(
                f"found {row!r}, expected a contig and a bin separated by a tab",
                path=path,
                line=number,
                remedy="give one contig a line: name, tab, bin (or genome)",
            )
        contig, name = fields[contig_column].split()[0], fields[bin_column]
        if assignments.setdefault(contig, name) != name:
            raise InputError(
                f"contig {contig!r} stands in {name!r} and in {assignments[contig]!r}, expected one bin a contig",
                path=path,
                line=number,
            )
    return assignments


def _bioboxes_columns(fields: list[str], path: str | Path, line: int) -> tuple[int, int]:
    columns = [field.lstrip("@").upper() for field in fields]
    if "SEQUENCEID" not in columns or "BINID" not in columns:
        raise InputError(f"bioboxes header {fields}, expected SEQUENCEID and BINID", path=path, line=line)
    return columns.index("SEQUENCEID"), columns.index("BINID")


def write_contig2bin(path: str | Path, assignments: dict[str, str]) -> None:
    """Write contig -> bin as a TSV with the header `contig bin`, in the order given."""
    with atomic_open(path) as handle:
        handle.write("contig\tbin\n")
        handle.writelines(f"{contig}\t{name}\n" for contig, name in assignments.items())


def write_bioboxes(
    path: str | Path, assignments: dict[str, str], *, sample: str, lengths: dict[str, int] | None = None
) -> None:
    """Write contig -> bin in the CAMI bioboxes binning format; with `lengths` (bp), as a gold standard with LENGTH."""
    with atomic_open(path) as handle:
        handle.write(f"@Version:{BIOBOXES_VERSION}\n@SampleID:{sample}\n\n")
        handle.write("@@SEQUENCEID\tBINID" + ("\tLENGTH\n" if lengths is not None else "\n"))
        for contig, name in assignments.items():
            handle.write(f"{contig}\t{name}" + (f"\t{lengths[contig]}\n" if lengths is not None else "\n"))

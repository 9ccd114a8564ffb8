"""Bins that another program made: a folder of FASTA files, or a table of contigs and bins."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.contig2bin import read_contig2bin
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta

_SUFFIXES = (".fa", ".fasta", ".fna")
_LEFTOVERS = (".unbinned", ".tooShort", ".lowDepth")  # what MetaBAT2 writes beside its bins
_NO_BIN = ("-1", "unbinned")  # SemiBin2 and others name these contigs too


def list_bin_files(folder: str | Path) -> dict[str, Path]:
    """Bin -> FASTA file (.fa, .fasta, .fna, each also with .gz) of a folder, by name; MetaBAT2's leftovers are no bins.

    Raises
    ------
    InputError
        when it is no folder, or two files are of one bin.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("no such folder", path=folder, remedy="name a folder with a FASTA file a bin")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        stem = path.name.removesuffix(".gz")
        suffix = next((suffix for suffix in _SUFFIXES if stem.endswith(suffix)), None)
        name = stem.removesuffix(suffix or "")
        if path.name.startswith(".") or suffix is None or not name or name.endswith(_LEFTOVERS):
            continue
        if name in files:
            raise InputError(f"{files[name].name} and {path.name} are of one bin", path=folder, remedy="remove one")
        files[name] = path
    return files


def read_bins(path: str | Path) -> dict[str, str]:
    """Contig -> bin, as any binner gives it; contigs in no bin are left out.

    Parameters
    ----------
    path : a folder of FASTA files (`list_bin_files`), or a table as `contig2bin.read_contig2bin` takes it: two columns
        (MetaBAT2, DAS Tool, SemiBin2, VAMB) or CAMI bioboxes. The bin -1 or "unbinned" is none, nor is 0 where every
        bin is a number and none is -1 (MetaBAT2 --noBinOut; SemiBin2 has -1, and 0 is a bin).

    Raises
    ------
    InputError
        when nothing is there, it cannot be read, or a contig is in two bins.
    """
    path = Path(path)
    if not path.is_dir():
        assignments = read_contig2bin(path)
        if all(name.isdigit() for name in assignments.values()):
            assignments = {contig: name for contig, name in assignments.items() if name != "0"}
        return {contig: name for contig, name in assignments.items() if name not in _NO_BIN}
    files = list_bin_files(path)
    if not files:
        raise InputError("no FASTA file in it (.fa, .fasta, .fna, also with .gz)", path=path)
    assignments = {}
    for name, file in files.items():
        for record in read_fasta(file):
            if assignments.setdefault(record.name, name) != name:
                raise InputError(
                    f"contig {record.name!r} is in {assignments[record.name]!r} already, expected one bin a contig",
                    path=file,
                    line=record.line,
                )
    return assignments

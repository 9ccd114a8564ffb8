"""Bins that another program made: a folder of FASTA files, or a table of contigs and bins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from workflow_lib.contig2bin import read_contig2bin
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta

_OWN_FOLDER = "fasta"  # novabin's name of every sample's folder of bins: results/bins/{sample}/fasta
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


def name_folders(folders: Sequence[str | Path], samples: Collection[str]) -> dict[str, str | Path]:
    """Call each folder by its last part, or by as many of its last parts, joined by `_`, as tell it from all others.

    A last part `fasta` is passed over where the folder has another: novabin calls every sample's folder so.

    Parameters
    ----------
    samples : names that are taken.

    Returns
    -------
    name -> folder, in the order given.

    Raises
    ------
    InputError
        when a folder is named twice, or all its parts do not tell it from the others.
    """
    parts = [_parts(folder) for folder in folders]
    used = [1] * len(parts)
    while True:
        names = ["_".join(own[-n:]) for own, n in zip(parts, used, strict=True)]
        times = Counter([*names, *samples])
        alike = [number for number, name in enumerate(names) if times[name] > 1]
        longer = [number for number in alike if used[number] < len(parts[number])]
        if not longer:
            break
        for number in longer:
            used[number] += 1
    if alike:
        raise InputError(
            f"it is named twice, or its whole path gives a name that is taken, {names[alike[-1]]!r}",
            path=folders[alike[-1]],
            remedy="name every folder once in dereplicate.folders, or rename it: genomes are called after it",
        )
    return dict(zip(names, folders, strict=True))


def _parts(folder: str | Path) -> list[str]:
    """Parts of the whole path, the root left out."""
    path = Path(folder).resolve()
    parts = list(path.parts[1:]) or ["root"]
    return parts[:-1] if len(parts) > 1 and parts[-1] == _OWN_FOLDER else parts

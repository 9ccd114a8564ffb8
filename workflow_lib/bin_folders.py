"""Bins that another program made: a folder of FASTA files, or a table of contigs and bins."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from workflow_lib.contig2bin import read_contig2bin
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta

logger = logging.getLogger(__name__)

_OWN_FOLDER = "fasta"  # novabin's name of every sample's folder of bins: results/bins/{sample}/fasta
_FASTA = re.compile(r"(.+)\.(fa|fasta|fna)(\.gz)?", re.IGNORECASE)
# What MetaBAT2 and MaxBin2 (x.noclass) write beside their bins, and what nf-core/mag makes of it (x.unbinned.pooled,
# .remaining, .1, .2, ...)
_LEFTOVERS = re.compile(
    r"(.*\.)?(unbinned([._-](pooled|remaining|\d+))?|tooShort|lowDepth|unclassified|noclass)", re.IGNORECASE
)
# Of tables, in lower case.
_NO_BIN = ("", "-", ".", "-1", "-1.0", "na", "nan", "none", "null", "nobin", "no_bin", "not_binned", "unassigned")
_MANY = 20  # bins from which on it is strange that most have one contig
_NUMBER = re.compile(r"\d+(\.0+)?")


def list_bin_files(folder: str | Path) -> dict[str, Path]:
    """Bin -> FASTA file of a folder, by name (.fa, .fasta, .fna in any case, each also with .gz).

    The leftovers of MetaBAT2 and nf-core/mag (unbinned, too short, of low depth, unclassified) are no bins.

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
        match = _FASTA.fullmatch(path.name)
        if path.name.startswith(".") or match is None or _LEFTOVERS.fullmatch(match[1]):
            continue
        name = match[1]
        if name in files:
            raise InputError(f"{files[name].name} and {path.name} are of one bin", path=folder, remedy="remove one")
        files[name] = path
    return files


def read_bins(path: str | Path, contigs: Collection[str] | None = None) -> dict[str, str]:
    """Contig -> bin, as any binner gives it; contigs in no bin are left out.

    Parameters
    ----------
    path : a folder of FASTA files (`list_bin_files`), or a table as `contig2bin.read_contig2bin` takes it: two columns
        (MetaBAT2, DAS Tool, SemiBin2, VAMB) or CAMI bioboxes. The bins -1, NA, NaN, None, null, `-`, `.`, noBin,
        no_bin, not_binned, unassigned, an empty field and what is no bin as a file (in any case) are none; where there
        are none of these and every bin is a number, 0 is none, with a warning (MetaBAT2 --noBinOut; SemiBin2 has -1,
        and 0 is a bin).
    contigs : names that contigs may have, see there.

    Raises
    ------
    InputError
        when nothing is there, it cannot be read, or a contig is in two bins.
    """
    path = Path(path)
    assignments = _read_folder(path) if path.is_dir() else _read_table(path, contigs)
    if not assignments:
        logger.warning("%s has no contig that is in a bin: there is nothing to judge", path)
    return assignments


def _read_table(path: Path, contigs: Collection[str] | None) -> dict[str, str]:
    given = read_contig2bin(path, contigs, is_none=_is_none)
    none = {name for name in set(given.values()) if _is_none(name)}
    numbers = all(_NUMBER.fullmatch(name) for name in set(given.values()) - none)
    if numbers and not none:
        none |= {name for name in given.values() if float(name) == 0}
        if none:
            logger.warning(
                "%s: every bin is a number and nothing else stands for no bin, so that bin 0 is taken for none, as "
                "MetaBAT2 writes it: %d contigs are left out; if it is a bin, give it another name",
                path, sum(name in none for name in given.values()),
            )  # fmt: skip
    logger.info("%s: %d contigs, %d of them in no bin", path, len(given), sum(name in none for name in given.values()))
    bins = {contig: name for contig, name in given.items() if name not in none}
    n_bins = len(set(bins.values()))
    if n_bins >= _MANY and 2 * n_bins > len(bins):
        logger.warning(
            "%s: %d contigs are in %d bins; if that is not so, another column than that of bins was read: put the "
            "header `contig`, `bin` above, with a name for every other column", path, len(bins), n_bins,
        )  # fmt: skip
    return bins


def _is_none(name: str) -> bool:
    return name.lower() in _NO_BIN or _LEFTOVERS.fullmatch(name) is not None


def _read_folder(path: Path) -> dict[str, str]:
    files = list_bin_files(path)
    if not files:
        raise InputError("no FASTA file in it (.fa, .fasta, .fna, also with .gz)", path=path)
    assignments: dict[str, str] = {}
    for name, file in files.items():
        for record in read_fasta(file):
            if assignments.setdefault(record.name, name) != name:
                raise InputError(
                    f"contig {record.name!r} is in {assignments[record.name]!r} already, expected one bin a contig",
                    path=file,
                    line=record.line,
                )
    return assignments


def check_folders(folders: Sequence[str | Path], samples: Mapping[str, str | Path]) -> None:
    """Refuse a folder of the samples' own bins (sample -> folder) among those of other runs and programs.

    Raises
    ------
    InputError
        with the folder and the sample.
    """
    own = {Path(place).resolve(): sample for sample, place in samples.items()}
    for folder in folders:
        if sample := own.get(Path(folder).resolve()):
            message = f"these are the bins of the sample {sample!r}, which are clustered anyway"
            raise InputError(message, path=folder, remedy="leave the folder out of dereplicate.folders")


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

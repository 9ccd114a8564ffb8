"""Completeness and contamination of bins as marker genes tell them: novabin's tables and CheckM2's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workflow_lib.errors import InputError

# Columns of novabin's tables (shares) and of CheckM2's (percent), each with the size of its unit.
_FORMATS = ((("bin", "completeness", "contamination"), 1.0), (("Name", "Completeness", "Contamination"), 0.01))
_SUFFIX = ".fa"  # that CheckM2 leaves of the name of a file .fa.gz


@dataclass(frozen=True)
class Quality:
    """Completeness and contamination of a bin, shares; contamination may exceed 1."""

    completeness: float
    contamination: float

    @property
    def score(self) -> float:
        """Completeness - 5 contamination, by which bins are ranked (Parks et al. 2017, Nature Microbiology 2:1533)."""
        return self.completeness - 5 * self.contamination


def read_quality(path: str | Path) -> dict[str, Quality]:
    """Bin -> quality of markers/{sample}/bins.tsv or CheckM2's quality_report.tsv; bins without a value are left out.

    Raises
    ------
    InputError
        when the file is neither, or a value is no number.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    header = lines[0].split("\t") if lines else []
    known = [(columns, unit) for columns, unit in _FORMATS if set(columns) <= set(header)]
    if not known:
        expected = " or ".join(", ".join(columns) for columns, _ in _FORMATS)
        raise InputError(f"found columns {header}, expected {expected}", path=path, line=1)
    columns, unit = known[0]
    at = [header.index(column) for column in columns]
    found = {}
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        try:
            name, *values = (fields[i] for i in at)
            name = name.removesuffix(_SUFFIX)
            if all(values):
                found[name] = Quality(*(unit * float(value) for value in values))
        except (IndexError, ValueError) as error:
            raise InputError(f"found {line!r}: {error}", path=path, line=number) from error
    return found

"""Completeness and contamination of bins as marker genes tell them: novabin's tables and CheckM2's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from workflow_lib.errors import InputError

# Columns of novabin's tables (shares) and of CheckM2's (percent), each with the size of its unit.
_FORMATS = ((("bin", "completeness", "contamination"), 1.0), (("Name", "Completeness", "Contamination"), 0.01))
# Domain -> contamination that marker genes show of a whole pure genome by chance (docs/methods.md, *Genomes*).
_BY_CHANCE = {"": 0.025, "Archaea": 0.11}
_SUFFIX = ".fa"  # that CheckM2 leaves of the name of a file .fa.gz


@dataclass(frozen=True)
class Quality:
    """Completeness and contamination of a bin, shares; contamination may exceed 1.

    `by_chance` is the contamination that a whole pure genome shows in the mean; 0 where that is allowed for already.
    """

    completeness: float
    contamination: float
    by_chance: float = field(default=0.0, compare=False)

    @property
    def score(self) -> float:
        """Completeness - 5 contamination, by which bins are ranked (Parks et al. 2017, Nature Microbiology 2:1533).

        Contamination is taken less what a pure bin shows by chance, for which both copies must be in it: the square of
        completeness. It is not cut at 0, so that bins of like completeness keep their order.
        """
        return self.completeness - 5 * (self.contamination - self.by_chance * self.completeness**2)


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
    domain_at = header.index("domain") if columns is _FORMATS[0][0] and "domain" in header else None
    found = {}
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        try:
            name, *values = (fields[i] for i in at)
            name = name.removesuffix(_SUFFIX)
            if all(values):
                by_chance = 0.0 if domain_at is None else _BY_CHANCE.get(fields[domain_at], 0.0)
                found[name] = Quality(*(unit * float(value) for value in values), by_chance=by_chance)
        except (IndexError, ValueError) as error:
            raise InputError(f"found {line!r}: {error}", path=path, line=number) from error
    return found

"""Layouts of depth tables, by their headers: this project's, MetaBAT's, CoverM's and those put together by hand."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.tables import DEPTH_TABLE_COLUMNS, LENGTH_HEADER, VARIANCE_SUFFIX

_METABAT_KEYS = ("contigName", "contigLen", "totalAvgDepth")
_FIRST = (DEPTH_TABLE_COLUMNS[0], _METABAT_KEYS[0], "Contig")  # the last is CoverM's
_LENGTH = re.compile(LENGTH_HEADER, re.IGNORECASE)
_COVERM_MEAN, _COVERM_TRIMMED, _COVERM_VARIANCE, _COVERM_LENGTH = " Mean", " Trimmed Mean", " Variance", " Length"
_COVERM = re.compile(
    r".+ (Mean|Trimmed Mean|Variance|Length|Read Count|Reads per base|Covered (Bases|Fraction)|RPKM|TPM|"
    r"Relative Abundance \(%\)|ANIr)"
)

# Words that tell what a column holds, alone or at an end of its name, in lower case and without what parts them.
_MEAN, _SURE, _LIKELY, _WHOLE = (
    frozenset(words.split())
    for words in (
        # Mean coverage.
        "mean avg average cov coverage depth meancov meancoverage meandepth avgcov avgcoverage avgdepth avgfold "
        "averagecoverage averagedepth covmean coveragemean depthmean",
        # Something else, and no library is called so.
        "gccontent gcpercent gcfraction refgc readgc nreads numreads readcount readcounts readscount readscounts "
        "ncount ncounts numcount numcounts mappedcount mappedcounts covbases coveredbases covbp coveredbp covfraction "
        "coveredfraction covpercent coveredpercent covlength coveredlength percentcovered percentagecovered "
        "fractioncovered breadth meanbaseq meanmapq stdev stddev variance",
        # Something else, but a library may be called so where no other column is its mean.
        "gc reads mappedreads unmappedreads totalreads plusreads minusreads count counts mapped unmapped median "
        "medianfold mediandepth mediancov mediancoverage trimmedmean sd std var",
        # Something else where it is the whole name.
        "read noread noreads start startpos end endpos",
    )
)
_SHARE = frozenset({"cov", "coverage"})  # beside a column of depth: the share of a contig that is covered
_VARIANCE = frozenset({"var", "variance"})
_PARTS = re.compile(r"[ _.-]+")

_NO_LIBRARY = (
    "take out of the table what is not mean coverage; call the variance of a library as that with -var behind; give "
    "a library that is called so another name"
)
_MAKE_ONE = (
    "give depth.tsv of this workflow, the table of jgi_summarize_bam_contig_depths, or one of `coverm contig -m "
    "metabat` or `-m mean variance`; any other (VAMB, MaxBin2, samtools, bedtools) can be made one: columns separated "
    "by tabs under a header, `contig` first, `length` if there are lengths, then a column of mean coverage (no numbers "
    "of reads) for each library"
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """Places of fields: of the length (None: nowhere), and (label, mean, variance or None) of each library."""

    length: int | None
    libraries: list[tuple[str, int, int | None]]


def read_layout(header: list[str], path: str | Path) -> Layout:
    """What the columns of a table hold, by its header; columns that may be no depth by their name are told.

    Raises
    ------
    InputError
        when it is of no layout that is known, or columns are no mean coverage by their names.
    """
    length, libraries = None, []
    if header[0] in _FIRST:
        length = next((i for i, name in enumerate(header) if _is_length(name)), None)
        coverm = _coverm_libraries(header)
        labels = [label for label, _, _ in coverm]
        means = [name for i, name in enumerate(header) if i not in (0, length) and not _is_known(name, header, labels)]
        libraries = sorted(coverm + _named_libraries(means, labels, header, path), key=lambda library: library[1])
    if not libraries:
        tabs = "; columns are separated by tabs" if len(header) == 1 else ""
        raise InputError(
            f"the header {' | '.join(header[:6])!r} is of no depth table that is known{tabs}",
            path=path,
            line=1,
            remedy=_MAKE_ONE,
        )
    return Layout(length, libraries)


def _is_length(name: str) -> bool:
    return bool(_LENGTH.fullmatch(name)) or name == _METABAT_KEYS[1] or name.endswith(_COVERM_LENGTH)


def _is_known(name: str, header: list[str], labels: list[str]) -> bool:
    """Whether a column is what its name says: a key, a variance of ours and MetaBAT's, or any of CoverM's."""
    return (
        (name in DEPTH_TABLE_COLUMNS + _METABAT_KEYS and name + VARIANCE_SUFFIX not in header)
        or (name.endswith(VARIANCE_SUFFIX) and name.removesuffix(VARIANCE_SUFFIX) in header)
        or bool(_COVERM.fullmatch(name))
        or name.startswith(tuple(f"{label} " for label in labels))
    )


def _coverm_libraries(header: list[str]) -> list[tuple[str, int, int | None]]:
    """Libraries by their `<label> Mean` columns; trimmed means are another measure and are left out."""
    libraries = []
    for i, name in enumerate(header):
        if name.endswith(_COVERM_MEAN) and not name.endswith(_COVERM_TRIMMED):
            label = name.removesuffix(_COVERM_MEAN)
            variances = (label + _COVERM_VARIANCE, name + VARIANCE_SUFFIX)
            libraries.append((label, i, next((header.index(own) for own in variances if own in header), None)))
    return libraries


def _named_libraries(
    names: list[str], labels: list[str], header: list[str], path: str | Path
) -> list[tuple[str, int, int | None]]:
    """Libraries among columns that are of no program; `A_mean` and `A_var` are one, A.

    What has its variance beside it, as in depth.tsv, is a library by any name. Else a column is none if a word of
    something else is its whole name, is in the name of no library, or stands in its name beside the library's mean.
    `labels` are libraries that are known.
    """
    owners = {name for name in names if name + VARIANCE_SUFFIX in header}
    words = {name: split_name(name) for name in names}
    means: dict[str, list[str]] = {}
    for name in names:
        if words[name][0] in _MEAN:
            means.setdefault(words[name][1], []).append(name)
    variances = _pair_variances([name for name in names if name not in owners], words, means, owners)
    have_mean = {*names, *(name.removesuffix(".bam") for name in names), *labels, *means, ""}
    libraries, faults, doubts = [], [], []
    for name in names:
        word, stem = words[name]
        if name in variances.values():
            continue
        if name not in owners:
            is_other = word in _SURE | _LIKELY | _WHOLE
            has_depth = any("depth" in words[mean][0] for mean in means.get(stem, []))
            if (
                _LENGTH.fullmatch(name)
                or (is_other and (word in _SURE or stem in have_mean))
                or (word in _SHARE and has_depth)
            ):
                faults.append(name)
            elif is_other and not stem.isdigit() and not name.endswith(".bam"):
                doubts.append(name)
        own = variances.get(name, name + VARIANCE_SUFFIX)
        label = words[name][1] or name if name in variances else name
        libraries.append((label, header.index(name), header.index(own) if own in header else None))
    _tell(faults, doubts, path)
    return libraries


def _pair_variances(
    names: list[str], words: dict[str, tuple[str, str]], means: dict[str, list[str]], owners: set[str]
) -> dict[str, str]:
    """Column of means -> the first column of variances of the same library, where it is the one of means there."""
    variances: dict[str, str] = {}
    for name in names:
        word, stem = words[name]
        if word in _VARIANCE and len(means.get(stem, [])) == 1 and means[stem][0] not in owners:
            variances.setdefault(means[stem][0], name)
    return variances


def _tell(faults: list[str], doubts: list[str], path: str | Path) -> None:
    """Refuse all columns that are no depth at once; warn of those that may be none."""
    if faults:
        what = "columns {} are" if len(faults) > 1 else "column {} is"
        message = f"{what.format(', '.join(faults))} not the mean coverage of a library"
        raise InputError(message, path=path, line=1, remedy=_NO_LIBRARY)
    if doubts:
        logger.warning("%s: taken for libraries by these names, make sure that they are mean coverage: %s",
            path, ", ".join(doubts),
        )  # fmt: skip


def split_name(name: str) -> tuple[str, str]:
    """The word that tells what a column holds and the rest of its name; both are empty strings where there is none.

    The longest word at the end counts, else the longest one at the start: `A_mean`, `mean.A` and `A mean_depth` are of
    A. What is of a mean is of what that is of: `A_depth_var` is of A, as `A_depth` is.
    """
    whole = _plain(name)
    if whole in _MEAN | _SURE | _LIKELY | _WHOLE:
        return whole, ""
    parted = [(name[: gap.start()], name[gap.end() :]) for gap in _PARTS.finditer(name)]
    halves = [(_plain(end), start) for start, end in parted] + [(_plain(start), end) for start, end in parted[::-1]]
    word, stem = next(((word, stem) for word, stem in halves if word in _MEAN | _SURE | _LIKELY), ("", ""))
    if word and word not in _MEAN:
        inner, inner_stem = split_name(stem)
        stem = inner_stem if inner in _MEAN else stem
    return word, stem


def _plain(text: str) -> str:
    return re.sub(r"[ _.()%-]", "", text).lower()


def name_columns(layout: Layout, library: str, path: str | Path) -> list[str]:
    """The library's name where the table has one library, else with each column's behind it.

    Raises
    ------
    InputError
        when two columns would have one name.
    """
    labels = [label for label, _, _ in layout.libraries]
    if len(labels) == 1:
        return [library]
    columns = [f"{library}.{re.sub(r'[^A-Za-z0-9._-]+', '_', label.removesuffix('.bam'))}" for label in labels]
    if len(set(columns)) < len(columns):
        shown = ", ".join(labels)
        raise InputError(f"several columns have the same name: {shown}", path=path, line=1, remedy="rename them")
    return columns

"""The input tables: samples, libraries, reference, labelled sets. Every fault is collected and shown."""

from __future__ import annotations

import difflib
import logging
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from workflow_lib.errors import Fault, FaultsError, InputError, MissingTableError
from workflow_lib.fasta import read_blocks
from workflow_lib.taxonomy import drop_missing, parse_taxonomy, part_homonyms

logger = logging.getLogger(__name__)

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME_RULE = "a name of letters, digits, '.', '_' and '-' that begins with a letter or digit (it becomes a file name)"
PLATFORMS = ("ont", "hifi")
SCOREBOARD_NAMES = ("plots", "scoreboard.tsv", "scoreboard.md", "scoreboard.html")  # what all sets together give
VARIANCE_SUFFIX = "-var"  # of the second column of a library there
DEPTH_TABLE_COLUMNS = ("contig", "length")  # stand before the columns of the libraries in depth.tsv
# Of a column of lengths in tables of others, in any case: "len", "contig_length", "Length_bp".
LENGTH_HEADER = r"(contig|scaffold|seq|sequence)?[ _.-]?(length|len|size|bp)([ _.-]?\(?bp\)?)?"


@dataclass(frozen=True)
class Sample:
    """A row of samples.tsv: one assembly to bin. `group` defaults to the sample's own name.

    `bins` is what another program made of it: a table, or a folder of FASTA files.
    """

    name: str
    contigs: str
    group: str
    truth: str | None
    bins: str | None = None


@dataclass(frozen=True)
class Library:
    """A row of libraries.tsv: one source of depth for every sample of its group.

    `kind` is one of paired, single, long, bam, depth; the path fields that it needs are set, the others None.
    """

    name: str
    group: str
    kind: str
    reads_1: str | None = None
    reads_2: str | None = None
    long_reads: str | None = None
    platform: str | None = None
    bam: str | None = None
    depth: str | None = None


@dataclass(frozen=True)
class Genome:
    """A row of reference.tsv; `taxonomy` maps ranks (domain ... species) to names, empty ranks left out."""

    name: str
    fasta: str
    taxonomy: dict[str, str]


@dataclass(frozen=True)
class SetSource:
    """A row of sets.tsv: a labelled set of sequences, given (`sequences`) or to be cut from the genomes of a table.

    `length` (bp), `sigma` and `pieces` are as in `scoreboard.labelled.cut_pieces`; `pieces` may be None for given ones.
    """

    name: str
    sequences: str | None
    genomes: str | None
    length: int | None
    sigma: float
    pieces: int | None
    seed: int


class AbsentTable(dict):
    """Stands for the rows of a table that is not there, so that what does not need it can be run.

    It has one name, and raises what is wrong when a row is asked for.

    Parameters
    ----------
    error : to raise.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__({"absent": None})
        self._error = error

    def __getitem__(self, name: str) -> NoReturn:
        raise self._error

    def get(self, name: str, default: object = None) -> NoReturn:
        """Raise the error."""
        raise self._error

    def values(self) -> NoReturn:
        """Raise the error."""
        raise self._error

    def items(self) -> NoReturn:
        """Raise the error."""
        raise self._error


class _Table:
    """Rows of a tab-separated file as dicts with their line numbers, and the faults found in them."""

    def __init__(self, path: str | Path, required: tuple[str, ...], optional: tuple[str, ...], check_files: bool):
        self.path, self.check_files, self.faults = str(path), check_files, []
        self.rows: list[tuple[int, dict[str, str]]] = []
        lines = _read_lines(path)
        header_line = next((number for number, text in lines if text.strip()), None)
        if header_line is None:
            self.add_fault(1, None, "", f"a header line with {', '.join(required)}")
            return
        columns = [column.strip() for column in dict(lines)[header_line].split("\t")]
        if self._check_header(columns, header_line, required, optional):
            for number, text in lines:
                if number > header_line and text.strip():
                    self._add_row(number, columns, [field.strip() for field in text.split("\t")])

    def add_fault(self, line: int, column: str | None, value: object, expected: str) -> None:
        self.faults.append(Fault(self.path, line, f"column {column}" if column else None, value, expected))

    def _check_header(self, columns, line, required, optional) -> bool:
        known = required + optional
        for number, column in enumerate(columns):
            if column not in known:
                near = difflib.get_close_matches(column, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}"
                is_joined = len(columns) == 1 and re.search(r"[,; ]", column)
                self.add_fault(
                    line, column, column, "columns separated by tabs" if is_joined else f"a known column; {hint}"
                )
            elif columns.index(column) < number:
                self.add_fault(line, column, column, "each column once")
        for column in required:
            if column not in columns:
                self.add_fault(line, column, None, f"a column {column!r} in the header")
        return not self.faults

    def _add_row(self, line: int, columns: list[str], fields: list[str]) -> None:
        if len(fields) > len(columns):
            self.add_fault(line, None, "\t".join(fields), f"{len(columns)} fields, found {len(fields)}")
            return
        fields += [""] * (len(columns) - len(fields))
        self.rows.append((line, dict(zip(columns, fields, strict=True))))

    def name(self, line: int, row: dict, column: str, seen: dict[str, int] | None = None) -> str:
        """A checked name; with `seen`, one that no earlier row has."""
        value = row.get(column, "")
        if not NAME_PATTERN.fullmatch(value):
            self.add_fault(line, column, value, _NAME_RULE)
        elif seen is not None and value in seen:
            self.add_fault(line, column, value, f"a name used once; line {seen[value]} has it already")
        elif seen is not None:
            seen[value] = line
        return value

    def file(self, line: int, row: dict, column: str, *, required: bool = False, or_folder: bool = False) -> str | None:
        """A checked path, or None where the field is empty."""
        value = row.get(column, "")
        if not value:
            if required:
                self.add_fault(line, column, value, "the path of a file")
            return None
        found = Path(value).is_file() or (or_folder and Path(value).is_dir())
        if self.check_files and not found:
            what = "an existing file or folder" if or_folder else "an existing file"
            self.add_fault(line, column, value, f"{what} (relative paths start at {Path.cwd()})")
        return value

    def number(self, line: int, row: dict, column: str, kind: type, *, least: float) -> int | float | None:
        """A checked number of `kind` (int or float), or None where the field is empty."""
        value = row.get(column, "")
        if not value:
            return None
        try:
            number = kind(value)
        except ValueError:
            number = None
        if number is None or not least <= number < float("inf"):
            what = "a whole number" if kind is int else "a number"
            self.add_fault(line, column, value, f"{what}, at least {least}")
            return None
        return number

    def finish(self) -> None:
        if self.faults:
            raise FaultsError(self.faults)


def _read_lines(path: str | Path) -> list[tuple[int, str]]:
    """Lines, with their numbers, of a plain or gzip table; comments are left out."""
    if not Path(path).exists():
        raise MissingTableError("no such table", path=path, remedy="correct its path in config.yaml")
    try:
        text = b"".join(read_blocks(path)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        remedy = "save it as tab-separated text"
        raise InputError(f"not a readable text table ({error})", path=path, remedy=remedy) from error
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if not line.startswith("#")]


def load_samples(path: str | Path, *, check_files: bool = True) -> dict[str, Sample]:
    """Read samples.tsv (columns sample, contigs; optional group, truth, bins) into name -> Sample, in file order."""
    table = _Table(path, ("sample", "contigs"), ("group", "truth", "bins"), check_files)
    samples, seen = {}, {}
    for line, row in table.rows:
        name = table.name(line, row, "sample", seen)
        group = table.name(line, row, "group") if row.get("group") else name
        contigs = table.file(line, row, "contigs", required=True)
        bins = table.file(line, row, "bins", or_folder=True)
        samples[name] = Sample(name, contigs or "", group, table.file(line, row, "truth"), bins)
    if not table.rows and not table.faults:
        table.add_fault(1, None, "no rows", "at least one sample")
    table.finish()
    return samples


def load_libraries(path: str | Path, *, groups: set[str], check_files: bool = True) -> dict[str, Library]:
    """Read libraries.tsv into name -> Library; each group must be one of `groups` (those of the samples)."""
    sources = ("reads_1", "reads_2", "long_reads", "platform", "bam", "depth")
    table = _Table(path, ("library", "group"), sources, check_files)
    libraries, seen = {}, {}
    names = {row.get("library") for _, row in table.rows}
    for line, row in table.rows:
        name = table.name(line, row, "library", seen)
        group = table.name(line, row, "group")
        if NAME_PATTERN.fullmatch(group) and group not in groups:
            known = ", ".join(sorted(groups)[:8])
            table.add_fault(line, "group", group, f"a group (or sample) of the samples table: {known}")
        if name in DEPTH_TABLE_COLUMNS:
            table.add_fault(line, "library", name, "another name: it is a column of the depth table")
        if name.endswith(VARIANCE_SUFFIX) and name.removesuffix(VARIANCE_SUFFIX) in names:
            table.add_fault(
                line, "library", name, "another name: in the depth table it is the variance of another library"
            )
        libraries[name] = _library(table, line, row, name, group)
    table.finish()
    return libraries


def _library(table: _Table, line: int, row: dict, name: str, group: str) -> Library:
    given = [column for column in ("reads_1", "long_reads", "bam", "depth") if row.get(column)]
    if len(given) != 1 or (row.get("reads_2") and given != ["reads_1"]):
        found = [column for column in ("reads_1", "reads_2", "long_reads", "bam", "depth") if row.get(column)]
        expected = "exactly one source: reads_1 + reads_2 (paired), reads_1 (single), long_reads, bam or depth"
        table.add_fault(line, None, ", ".join(found) or "no source of depth", expected)
        return Library(name, group, "depth")
    platform = row.get("platform") or None
    if given == ["long_reads"] and platform not in PLATFORMS:
        table.add_fault(line, "platform", platform, f"one of {', '.join(PLATFORMS)} for long reads")
    elif given != ["long_reads"] and platform:
        table.add_fault(line, "platform", platform, "nothing: only long reads have a platform")
    if row.get("reads_2") and row["reads_2"] == row["reads_1"]:
        table.add_fault(line, "reads_2", row["reads_2"], "the other file of the pair; reads_1 names this one already")
    paths = {column: table.file(line, row, column) for column in ("reads_1", "reads_2", "long_reads", "bam", "depth")}
    kinds = {"reads_1": "paired" if paths["reads_2"] else "single", "long_reads": "long"}
    return Library(name, group, kinds.get(given[0], given[0]), platform=platform, **paths)


def load_reference(path: str | Path, *, check_files: bool = True) -> dict[str, Genome]:
    """Read reference.tsv (columns genome_id, fasta, taxonomy) into name -> Genome, in file order.

    Names that stand for none are left out (`taxonomy.drop_missing`), and taxa of one name below different taxa get
    names of their own (`taxonomy.part_homonyms`), each with a warning.
    """
    table = _Table(path, ("genome_id", "fasta"), ("taxonomy",), check_files)
    genomes, seen = {}, {}
    for line, row in table.rows:
        name = table.name(line, row, "genome_id", seen)
        fasta = table.file(line, row, "fasta", required=True)
        try:
            taxonomy = parse_taxonomy(row.get("taxonomy", ""))
        except ValueError as error:
            table.add_fault(line, "taxonomy", row["taxonomy"], str(error))
            taxonomy = {}
        genomes[name] = Genome(name, fasta or "", taxonomy)
    if not table.rows and not table.faults:
        table.add_fault(1, None, "no rows", "at least one reference genome")
    table.finish()
    lineages, missing = drop_missing([genome.taxonomy for genome in genomes.values()])
    lineages, homonyms = part_homonyms(lineages)
    if missing and check_files:  # jobs that read the table again do not repeat it
        counts = Counter(missing).most_common()
        shown = ", ".join(f"{name} ({n})" for name, n in counts[:8]) + (", ..." if len(counts) > 8 else "")
        logger.warning("%s: %d names are read as no name, as genomes that share them need not be of one taxon; "
            "write what is not known as an empty rank (`s__`): %s", path, len(missing), shown,
        )  # fmt: skip
    if homonyms and check_files:
        shown = ", ".join(homonyms[:8]) + (", ..." if len(homonyms) > 8 else "")
        logger.warning(
            "%s: names that stand below different taxa are taken for different taxa (misspelled lineages look so too), "
            "also where embeddings are scored; a training holds them out together; %d: %s", path, len(homonyms), shown,
        )  # fmt: skip
    return {name: replace(genomes[name], taxonomy=own) for name, own in zip(genomes, lineages, strict=True)}


def load_sets(path: str | Path, *, check_files: bool = True) -> dict[str, SetSource]:
    """Read sets.tsv (columns set; sequences or genomes; length, sigma, pieces, seed) into name -> SetSource, in order.

    Pieces are cut from genomes only, so that a row with sequences has no length and no sigma.
    """
    table = _Table(path, ("set",), ("sequences", "genomes", "length", "sigma", "pieces", "seed"), check_files)
    sets, seen = {}, {}
    for line, row in table.rows:
        name = table.name(line, row, "set", seen)
        if name in SCOREBOARD_NAMES:
            table.add_fault(line, "set", name, "another name: one of results/scoreboard/ is called so")
        sequences, genomes = (table.file(line, row, column) for column in ("sequences", "genomes"))
        if bool(row.get("sequences")) == bool(row.get("genomes")):
            found = "both" if row.get("sequences") else "neither"
            table.add_fault(line, None, found, "either sequences (a TSV of sequence and label) or genomes (a table)")
        length = table.number(line, row, "length", int, least=20)
        sigma = table.number(line, row, "sigma", float, least=0)
        pieces = table.number(line, row, "pieces", int, least=10)
        seed = table.number(line, row, "seed", int, least=0)
        for column in ("length", "sigma") if row.get("sequences") else ():
            if row.get(column):
                table.add_fault(line, column, row[column], "nothing: sequences that are given are not cut")
        if row.get("genomes"):
            if not row.get("length"):
                table.add_fault(line, "length", None, "the length of a piece in bp (the median, with a sigma)")
            pieces = pieces or 100
        sets[name] = SetSource(name, sequences, genomes, length, sigma or 0.0, pieces, 1 if seed is None else seed)
    if not table.rows and not table.faults:
        table.add_fault(1, None, "no rows", "at least one labelled set")
    table.finish()
    return sets

"""The binners: the tables that they read, their commands, and how they are run and measured.

Only the standard library is needed here, for jobs run it in the binners' own environments.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from workflow_lib.benchmark import measure
from workflow_lib.errors import ToolError

logger = logging.getLogger(__name__)

NOVABIN, WITH_REFERENCE = "novabin", "novabin_reference"
LONG_MEDIAN = 20_000  # bp of the median contig from which SemiBin2 is told that the contigs are of long reads
SPLIT_LIBRARIES = 5  # from which SemiBin2 takes depth tables without BAM files


@dataclass(frozen=True)
class Task:
    """What a binner gets: the same for all.

    Attributes
    ----------
    contigs : FASTA (gzip).
    depth : contig, length, then mean and variance of each library.
    halves : a file a library, depth of the halves of contigs; empty where there are BAM files.
    bams : a sorted BAM file a library; empty where depth was drawn.
    has_long_contigs : as assemblies of long reads have.
    min_length : bp of the shortest contig.
    min_bin_length : bp below which no bin is scored.
    threads : cores.
    seed : random seed.
    options : of this binner; see `_COMMANDS`.
    """

    contigs: str
    depth: str
    halves: list[str]
    bams: list[str]
    has_long_contigs: bool
    min_length: int
    min_bin_length: int
    threads: int
    seed: int
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What a run took: wall and CPU seconds, MB (10^6 bytes) of its largest process; of what, and where."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    version: str
    command: str
    machine: str


def _novabin(program: str, task: Task, folder: Path) -> list[str]:
    settings = folder / "settings.json"
    settings.write_text(json.dumps(asdict(task)), encoding="utf-8")
    return [*shlex.split(program), "-m", "workflow_lib.benchmark.novabin", str(settings)]


def _metabat2(program: str, task: Task, folder: Path) -> list[str]:
    table = folder / "depth.tsv"
    with open(table, "w", encoding="utf-8") as handle:
        for number, (name, length, *values) in enumerate(_read_rows(task.depth)):
            if number == 0:
                handle.write("\t".join(["contigName", "contigLen", "totalAvgDepth", *values]) + "\n")
                continue
            total = sum(float(value or 0) for value in values[::2])
            handle.write("\t".join([name, length, f"{total:.6g}", *(value or "0" for value in values)]) + "\n")
    return [
        *shlex.split(program), "-i", task.contigs, "-a", str(table), "-o", str(folder / "clusters"), "--saveCls",
        "--noBinOut", "-m", str(task.min_length), "-s", str(task.min_bin_length), "-t", str(task.threads),
        "--seed", str(task.seed),
    ]  # fmt: skip


def _vamb(program: str, task: Task, folder: Path) -> list[str]:
    table = folder / "abundance.tsv"
    with open(table, "w", encoding="utf-8") as handle:
        for number, (name, _, *values) in enumerate(_read_rows(task.depth)):
            first = "contigname" if number == 0 else name
            handle.write("\t".join([first, *(value or "0" for value in values[::2])]) + "\n")
    return [
        *shlex.split(program), "bin", "default", "--outdir", str(folder / "run"), "--fasta", task.contigs,
        "--abundance_tsv", str(table), "-m", str(task.min_length), "-p", str(task.threads), "--seed", str(task.seed),
        "-o",  # one assembly: no samples to split bins by
        "",
    ]  # fmt: skip


def _semibin2(program: str, task: Task, folder: Path) -> list[str]:
    command = [
        *shlex.split(program), "single_easy_bin", "-i", task.contigs, "-o", str(folder / "run"),
        "-m", str(task.min_length), "--minfasta-kbs", str(task.min_bin_length // 1000), "-t", str(task.threads),
        "--random-seed", str(task.seed), "--engine", "cpu",
        "--sequencing-type", "long_read" if task.has_long_contigs else "short_read",
    ]  # fmt: skip
    environment = task.options["environment"]
    if environment and len(task.bams or task.halves) == 1:
        command += ["--environment", environment]
        if not task.bams:
            _metabat2("", task, folder)
            return [*command, "--depth-metabat2", str(folder / "depth.tsv")]
    else:
        command += ["--self-supervised", "--epochs", str(task.options["epochs"])]
    return [*command, *(["-b", *task.bams] if task.bams else ["-a", *task.halves])]


@dataclass(frozen=True)
class _Binner:
    """How to call a binner: its command, the file of its clusters in the run's folder, its arguments for a version."""

    command: Callable[[str, Task, Path], list[str]]
    clusters: str
    version: tuple[str, ...]
    contig_column: int = 0
    has_header: bool = True
    unbinned: str = ""


_OWN = _Binner(_novabin, "contig2bin.tsv", ("-c", "import workflow_lib as w; print(w.__version__)"))
_BINNERS = {
    NOVABIN: _OWN,
    WITH_REFERENCE: _OWN,
    "metabat2": _Binner(_metabat2, "clusters", ("--help",), has_header=False, unbinned="0"),
    "vamb": _Binner(_vamb, "run/vae_clusters_unsplit.tsv", ("--version",), contig_column=1),
    "semibin2": _Binner(_semibin2, "run/contig_bins.tsv", ("--version",), unbinned="-1"),
}
PEERS = tuple(name for name, binner in _BINNERS.items() if binner is not _OWN)


def run_binner(binner: str, program: str, task: Task, folder: Path, *, log: str | Path) -> tuple[Path, Usage]:
    """Run a binner in an empty folder and measure it; its tables are converted before the clock runs.

    Parameters
    ----------
    binner : novabin, novabin_reference (with `relatives` in its options), metabat2, vamb or semibin2.
    program : its command, e.g. the path of the program; for novabin that of Python.
    log : what it prints is appended there.

    Returns
    -------
    The file of its clusters and what the run took.

    Raises
    ------
    ToolError
        when the program is missing, fails, or leaves no clusters.
    """
    known = _BINNERS[binner]
    version = _read_version(program, known.version)
    command = known.command(program, task, folder)
    logger.info("%s %s: %s", binner, version, shlex.join(command))
    report = folder / "usage.json"
    with open(log, "ab") as handle:
        measured = [sys.executable, measure.__file__, str(report), *command]
        code = subprocess.run(measured, stdout=handle, stderr=handle, check=False).returncode
    if code:
        raise ToolError(f"{binner} ended with status {code}; its last words are in {log}")
    clusters = folder / known.clusters
    if not clusters.is_file():
        raise ToolError(f"{binner} ended without {known.clusters}; its last words are in {log}")
    shown = shlex.join([Path(command[0]).name, *command[1:]]).replace(f"{folder}/", "")
    machine = f"{task.threads} of {os.cpu_count()} cores, {_cpu_name()}"
    taken = Usage(**json.loads(report.read_text(encoding="utf-8")), version=version, command=shown, machine=machine)
    logger.info("%.1f s, %.1f s of CPU, %.0f MB", taken.seconds, taken.cpu_seconds, taken.peak_mb)
    return clusters, taken


def _read_version(program: str, arguments: tuple[str, ...]) -> str:
    """The first number that the program prints when it is asked for its version (or, as MetaBAT2, for help)."""
    name = shlex.split(program)[0]
    if shutil.which(name) is None:
        raise ToolError(
            f"{name} is not on PATH\n  To mend it: install it, name another command in benchmark.binners, or set it to "
            "null there: the binner is then left out"
        )
    done = subprocess.run([*shlex.split(program), *arguments], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)*", done.stdout + done.stderr)
    return found.group() if found else ""


def _cpu_name() -> str:
    """What the processor calls itself, where the system tells."""
    information = Path("/proc/cpuinfo")
    text = information.read_text(encoding="utf-8") if information.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def read_clusters(binner: str, path: str | Path) -> dict[str, str]:
    """Read a binner's own file of clusters: contig -> bin, unbinned contigs left out."""
    known = _BINNERS[binner]
    rows = list(_read_rows(path))[int(known.has_header) :]
    pairs = ((row[known.contig_column], row[1 - known.contig_column]) for row in rows)
    return {contig: name for contig, name in pairs if name != known.unbinned}


def _read_rows(path: str | Path):
    with open(path, encoding="utf-8", newline="") as handle:
        yield from csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)

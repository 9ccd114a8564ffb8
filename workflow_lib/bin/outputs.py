"""What the bin stage writes: tables of bins and contigs, and the summary for the report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workflow_lib.bin.assign import Binning
from workflow_lib.bin.fuse import Depth
from workflow_lib.bin.groups import rows_of_bins
from workflow_lib.bin.inputs import ContigStatus
from workflow_lib.bin.relatives import Relatives
from workflow_lib.contig2bin import write_bioboxes, write_contig2bin
from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open


@dataclass(frozen=True)
class BinRow:
    """One row of bins.tsv; see docs/output.md."""

    bin: str
    n_contigs: int
    length_bp: int
    n50: int
    gc: float
    depth: list[float]
    medoid: str
    tightness: float


def bin_name(label: int) -> str:
    """Name of a bin: bin.1 is the longest."""
    return f"bin.{label + 1}"


def describe_bins(
    binning: Binning, names: list[str], lengths: np.ndarray, bases: np.ndarray, depth: Depth | None
) -> list[BinRow]:
    """Describe every bin: size, N50, GC, depth, its most central contig, how close its contigs are.

    Parameters
    ----------
    binning : bins of n contigs.
    names, lengths : of the contigs; bp.
    bases : int64 (n, 2) count of G and C, and of A, C, G and T.
    depth : of the contigs, or None.

    Returns
    -------
    A row a bin. `medoid` is the contig of highest similarity to the direction of the bin's mean, `tightness` the mean
    of this similarity over its contigs, depth the mean weighted by length (NaN where no contig has a value).
    """
    rows = []
    for label, members in enumerate(rows_of_bins(binning.labels)):
        centre = binning.vectors[members].mean(axis=0, dtype=np.float64)
        centre /= max(np.linalg.norm(centre), 1e-12)
        similarity = np.einsum("ij,j->i", binning.vectors[members], centre)
        gc, known = bases[members].sum(axis=0)
        rows.append(
            BinRow(
                bin_name(label),
                len(members),
                int(lengths[members].sum()),
                n50(lengths[members]),
                gc / known if known else float("nan"),
                _weighted_depth(depth.mean[members], lengths[members]) if depth else [],
                names[members[np.argmax(similarity)]],
                float(similarity.mean()),
            )
        )
    return rows


def n50(lengths: np.ndarray) -> int:
    """The largest length such that contigs at least as long hold half of all bp; 0 for no contig."""
    if not len(lengths):
        return 0
    falling = np.sort(lengths)[::-1]
    cumulative = np.cumsum(falling)
    return int(falling[np.searchsorted(cumulative * 2, cumulative[-1])])


def _weighted_depth(mean: np.ndarray, lengths: np.ndarray) -> list[float]:
    known = np.isfinite(mean)
    weights = known * lengths[:, None]
    total = weights.sum(axis=0)
    sums = (np.where(known, mean, 0) * weights).sum(axis=0)
    return [float(s / t) if t else float("nan") for s, t in zip(sums, total, strict=True)]


def write_bins_table(path: str | Path, rows: Iterable[BinRow], libraries: list[str]) -> None:
    """Write bins.tsv, with a column depth_<library> each."""
    depth_columns = [f"depth_{library}" for library in libraries]
    with atomic_open(path) as handle:
        handle.write("\t".join(["bin", "n_contigs", "length_bp", "n50", "gc", *depth_columns, "medoid", "tightness"]))
        handle.write("\n")
        for row in rows:
            fields = [row.bin, row.n_contigs, row.length_bp, row.n50, row.gc, *row.depth, row.medoid, row.tightness]
            handle.write("\t".join(map(_field, fields)) + "\n")


def _field(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.6g}"
    return str(value)


def write_contigs_table(
    path: str | Path, status: list[ContigStatus], names: list[str], binning: Binning
) -> dict[str, int]:
    """Write contigs.tsv, every input record once in input order; return how many have each status.

    Raises
    ------
    InputError
        when the contigs that the filter kept are not those of the binning, in that order.
    """
    kept = [row.contig for row in status if row.status == "kept"]
    if kept != names:
        raise InputError(
            f"the filter kept {len(kept)} contigs, {len(names)} are embedded; or other names, or another order",
            path=path,
            remedy="delete the contigs and embeddings of this sample and run again",
        )
    counts = dict.fromkeys(("binned", "unbinned", "too_short", "n_rich", "duplicate_name"), 0)
    labels, reasons = iter(binning.labels.tolist()), iter(binning.reasons)
    with atomic_open(path) as handle:
        handle.write("contig\tlength\tstatus\tbin\treason\n")
        for row in status:
            state, name, reason = row.status, "", row.reason
            if state == "kept":
                label, reason = next(labels), next(reasons)
                state, name = ("binned", bin_name(label)) if label >= 0 else ("unbinned", "")
            counts[state] = counts.get(state, 0) + 1
            handle.write(f"{row.contig}\t{row.length}\t{state}\t{name}\t{reason}\n")
    return counts


def write_assignments(
    contig2bin: str | Path, bioboxes: str | Path, names: list[str], binning: Binning, sample: str
) -> None:
    """Write contig2bin.tsv and the CAMI bioboxes file; binned contigs only, in the order of the contigs."""
    pairs = zip(names, binning.labels.tolist(), strict=True)
    assignments = {name: bin_name(label) for name, label in pairs if label >= 0}
    write_contig2bin(contig2bin, assignments)
    write_bioboxes(bioboxes, assignments, sample=sample)


def write_summary(
    path: str | Path,
    binning: Binning,
    counts: dict[str, int],
    *,
    rows: list[BinRow],
    embedder: dict,
    relatives: Relatives | None,
) -> None:
    """Write binning.json: threshold, depth, relatives, counts, and the reason when there is no bin."""
    threshold = binning.threshold
    summary = {
        "threshold": {
            "method": threshold.method,
            "value": threshold.value,
            "can_bin_share": binning.can_bin_share,
            "note": threshold.note,
            "distribution": threshold.distribution,
        },
        "embedder": {key: embedder.get(key) for key in ("embedder", "fingerprint", "dim")},
        "learned": binning.learned,
        "refined_by_likelihood": binning.has_mixture,
        "depth": {
            "libraries": binning.libraries,
            "share": binning.depth_share,
            "noise": binning.depth_noise,
            "gc_folds": binning.gc_folds,
        },
        "relatives": relatives.counts if relatives and binning.has_mixture else None,
        "neighbours": asdict(binning.neighbours) if binning.neighbours else None,
        "counts": counts,
        "n_bins": binning.n_bins,
        "n_dropped_bins": binning.n_dropped,
        "binned_bp": sum(row.length_bp for row in rows),
        "reason": zero_bins_reason(binning, counts),
    }
    with atomic_open(path) as handle:
        json.dump(summary, handle, indent=1, sort_keys=True, allow_nan=False)
        handle.write("\n")


def zero_bins_reason(binning: Binning, counts: dict[str, int]) -> str | None:
    """Why there are no bins, in plain words; None where there are some."""
    if binning.n_bins:
        return None
    n_kept = counts["binned"] + counts["unbinned"]
    if not n_kept:
        n_all = sum(counts.values())
        if not n_all:
            return "the sample has no contigs"
        left = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        return f"none of the {n_all} contigs passed the filter ({left})"
    if not binning.vectors.any():
        return f"none of the {n_kept} contigs has anything to embed"
    if binning.n_dropped:
        groups = "the one group" if binning.n_dropped == 1 else f"each of the {binning.n_dropped} groups"
        return f"{groups} of similar contigs has too few contigs and too few bp for a bin"
    return f"no two of the {n_kept} contigs are within the threshold, and none is long enough for a bin of its own"

"""The novelty stage of a sample: its store, its bins and the index in, two tables out."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from workflow_lib.contig2bin import read_bins
from workflow_lib.embed.cuts import CUTS_NAME, Cuts, cut_contigs, read_cuts
from workflow_lib.errors import InputError
from workflow_lib.fasta import count_bases, read_fasta
from workflow_lib.files import atomic_open
from workflow_lib.filter.contigs import read_kept_contigs
from workflow_lib.index import SearchIndex, load_index
from workflow_lib.novelty.calibration_set import CalibrationSet, read_calibration
from workflow_lib.novelty.design import KNOWN, REFERENCE, TEST_RANKS, TESTS
from workflow_lib.novelty.identity import Matches
from workflow_lib.novelty.queries import Results, call_bins, call_contigs
from workflow_lib.novelty.sketch import Sketch, read_sketch
from workflow_lib.novelty.tested import Settings
from workflow_lib.store import EmbeddingStore, read_store
from workflow_lib.taxonomy import format_taxonomy

logger = logging.getLogger(__name__)

COLUMNS = (
    *("query", "level", "length", "n_windows", "stratum", "n_cal", "call", "call_rank"),
    *("nearest_taxon", "nearest_genome", "d1", "s1", "s2", "margin"),
    *(f"p_{rank}" for rank in TEST_RANKS),
    *(f"q_{rank}" for rank in TEST_RANKS),
    *("p_known", "abstain_reason", "flags", "index_id", "calibration_id", "alpha"),
    *("identity", "score", "p_reference", "q_reference", "q_known"),
)


def call_sample(
    store_folder: str | Path,
    contig2bin: str | Path,
    status: str | Path,
    index_folder: str | Path,
    *,
    settings: Settings,
    contigs_path: str | Path,
    bins_path: str | Path,
    sketch_folder: str | Path | None = None,
    contigs_fasta: str | Path | None = None,
    device: str = "cpu",
) -> None:
    """Call every kept contig and every bin of a sample, and write one table of each.

    Parameters
    ----------
    store_folder : embeddings of the sample's kept contigs.
    contig2bin : TSV contig, bin. status : status.tsv of the filter, for the lengths.
    index_folder : a calibrated index, made with the store's embedder.
    sketch_folder, contigs_fasta : the sketch that the index was calibrated with, and the kept contigs; needed where the
        calibration has identities. Without the contigs all letters count as known bases.
    device : of the search, `cpu` or `cuda:N`.

    Raises
    ------
    InputError
        when a file is damaged, the index is of another embedder, or contigs of the files are not the same.
    """
    start = time.monotonic()
    index = load_index(index_folder, device=device)
    calibration = read_calibration(index_folder, index)
    store = read_store(store_folder, mmap=True)
    index.check_embedder(store.manifest, path=Path(store_folder) / "manifest.json")
    names, kept_lengths = read_kept_contigs(status)
    store.check_names(names, str(status))
    lengths = np.array(kept_lengths, dtype=np.int64)
    rows = {name: row for row, name in enumerate(store.names)}
    bins = group_bins(read_bins(contig2bin), rows, path=contig2bin)
    # A store that is not of the workflow may have none: long contigs are then held against shorter pieces and flagged.
    cuts = read_cuts(store_folder) if CUTS_NAME in store.manifest["checksums"] else None
    matches, known = None, None
    if contigs_fasta is not None:
        sketch = _read_calibrated_sketch(index, calibration, sketch_folder)
        matches, known = _read_contigs(contigs_fasta, store, cuts, sketch, index.table.genomes)
    queries, parts = (store.vectors, store.names, lengths, settings), {"matches": matches, "cuts": cuts, "known": known}
    contigs = call_contigs(index, calibration, *queries, bins=bins, **parts)
    write_results(contigs_path, contigs, "contig", index, calibration, settings.alpha)
    called = call_bins(index, calibration, bins, *queries, **parts)
    write_results(bins_path, called, "bin", index, calibration, settings.alpha)
    for level, results in (("contigs", contigs), ("bins", called)):
        counts = ", ".join(f"{call} {n}" for call, n in sorted(Counter(results.calls.call).items())) or "none"
        n, n_bp = len(results.names), int(results.lengths.sum())
        logger.info("%d %s (%d bp) at FDR %g: %s", n, level, n_bp, settings.alpha, counts)
    logger.info("novelty: %.1f s", time.monotonic() - start)


def _read_calibrated_sketch(
    index: SearchIndex, calibration: CalibrationSet, sketch_folder: str | Path | None
) -> Sketch | None:
    """The sketch that the index was calibrated with; None where the calibration has no identities."""
    if not calibration.has_identity or sketch_folder is None:
        return None
    sketch = read_sketch(sketch_folder)
    if sketch.sketch_id != index.manifest.get("sketch_id"):
        raise InputError(
            f"sketch {sketch.sketch_id}, the index was calibrated with {index.manifest.get('sketch_id')}",
            path=Path(sketch_folder) / "manifest.json",
            remedy="build the index anew",
        )
    return sketch


def _read_contigs(
    contigs_fasta: str | Path, store: EmbeddingStore, cuts: Cuts | None, sketch: Sketch | None, genomes: list[str]
) -> tuple[Matches | None, np.ndarray]:
    """What contigs, and their cuts, share with the reference genomes, None without a sketch; and how many bases of each
    are known, int64."""
    names: list[str] = []
    places: list[tuple[int, int]] = []
    known: list[int] = []

    def sequences() -> Iterator[bytes]:
        for record in read_fasta(contigs_fasta):
            names.append(record.name)
            known.append(count_bases(record.sequence))
            yield record.sequence
        for row, start, sequence in cut_contigs(contigs_fasta) if cuts else ():
            places.append((row, start))
            known.append(count_bases(sequence))
            yield sequence

    matches = sketch.match(sequences(), genomes) if sketch else None
    if not sketch:
        deque(sequences(), maxlen=0)
    store.check_names(names, str(contigs_fasta))
    if cuts and places != list(zip(cuts.rows.tolist(), cuts.starts.tolist(), strict=True)):
        raise InputError(
            "the contigs are cut in other places than those of the embeddings",
            path=contigs_fasta,
            remedy="both must come from the same contigs: delete the older of the two and run again",
        )
    return matches, np.array(known, dtype=np.int64)


def group_bins(assignments: dict[str, str], rows: dict[str, int], *, path: str | Path) -> dict[str, np.ndarray]:
    """Rows of each bin's contigs, int64, bins in natural order (bin.2 before bin.10)."""
    unknown = [contig for contig in assignments if contig not in rows]
    if unknown:
        raise InputError(
            f"{len(unknown)} contigs are not in the embeddings, the first is {unknown[0]!r}",
            path=path,
            remedy="both must come from the same contigs: delete the older of the two and run again",
        )
    bins: dict[str, list[int]] = {}
    for contig, name in assignments.items():
        bins.setdefault(name, []).append(rows[contig])
    return {name: np.array(sorted(bins[name]), dtype=np.int64) for name in sorted(bins, key=_natural)}


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", name) if part]


def write_results(
    path: str | Path, results: Results, level: str, index: SearchIndex, calibration: CalibrationSet, alpha: float
) -> None:
    """Write the table of a level ("contig" or "bin"), a row a query; header only where there are none."""
    lineages = [format_taxonomy(lineage) if lineage else "" for lineage in index.table.lineages]
    ids = index.index_id, calibration.calibration_id, f"{alpha:.6g}"
    near, calls = results.neighbours, results.calls
    with atomic_open(path) as handle:
        handle.write("\t".join(COLUMNS) + "\n")
        for i, name in enumerate(results.names):
            genome = int(near.genome[i])
            fields = [
                *(name, level, str(results.lengths[i]), str(results.n_windows[i]), results.strata[i]),
                *(str(calls.n_cal[i]), calls.call[i], calls.call_rank[i]),
                *((lineages[genome], index.table.genomes[genome]) if genome >= 0 else ("", "")),
                *map(_number, (near.d1[i], near.s1[i], near.s2[i], near.margin[i])),
                *(_number(table[i, TESTS.index(rank)]) for table in (calls.p, calls.q) for rank in TEST_RANKS),
                *(
                    _number(calls.p[i, TESTS.index(KNOWN)]),
                    results.reasons[i],
                    ",".join(sorted(results.flags[i])),
                    *ids,
                ),
                *map(_number, (near.identity[i], near.score[i])),
                *(_number(table[i, TESTS.index(REFERENCE)]) for table in (calls.p, calls.q)),
                _number(calls.q[i, TESTS.index(KNOWN)]),
            ]
            handle.write("\t".join(fields) + "\n")


def _number(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""

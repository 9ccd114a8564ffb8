"""An index with its calibration: both from the embedded reference, in one folder, under one manifest."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, groupby
from operator import itemgetter
from pathlib import Path

from workflow_lib.fasta import read_fasta
from workflow_lib.index import SearchIndex, build_index, load_index
from workflow_lib.index.base import UNCALIBRATED_NAME
from workflow_lib.index.shards import Shard
from workflow_lib.index.windows import parse_window, tabulate_windows
from workflow_lib.manifest import MANIFEST_NAME
from workflow_lib.novelty.calibrate import calibrate
from workflow_lib.novelty.calibration_set import CALIBRATION_NAME, write_calibration
from workflow_lib.novelty.design import CALIBRATION_GENOMES, limit_genomes, make_design
from workflow_lib.novelty.scores import genome_means
from workflow_lib.novelty.sketch import Sketch
from workflow_lib.store import EmbeddingStore
from workflow_lib.tables import Genome

logger = logging.getLogger(__name__)


def build_calibrated_index(
    windows: EmbeddingStore,
    pieces: EmbeddingStore,
    taxonomy: dict[str, dict[str, str]],
    folder: str | Path,
    *,
    factory: str,
    neighbours: int,
    n_pieces: int,
    contamination: float = 0.0,
    n_genomes: int = CALIBRATION_GENOMES,
    sketch: Sketch | None = None,
    genomes: dict[str, Genome] | None = None,
) -> SearchIndex:
    """Index the windows, calibrate with the pieces, and write both to `folder`; the manifest comes last.

    Parameters
    ----------
    windows, pieces : of `embed_reference`.
    taxonomy : genome -> rank -> name, for the lineages of the index and the tests a rank.
    factory : as of `index.plan_index`.
    neighbours : distinct genomes whose mean distance is the score.
    n_pieces : pieces a genome and stratum, as embedded.
    contamination : largest foreign share of a simulated bin, see `calibrate`.
    n_genomes : that calibrate a test at most, see `limit_genomes`.
    sketch, genomes : the sketch of the genomes, and the genomes by name, for the sequences of the pieces; both or
        neither. With them the scores hold identities.

    Memory: the windows' vectors twice (the store's and the index's), and that of `calibrate`.
    """
    folder = Path(folder)
    kept = ("embedder", "fingerprint", "dim", "window", "genomes_left_out")
    manifest = {key: windows.manifest[key] for key in kept}
    start = time.monotonic()
    index = build_index(windows.vectors, tabulate_windows(windows.names, taxonomy), manifest, factory=factory)
    logger.info(
        "%d windows of %d genomes (%d bp) indexed as %s in %.1f s",
        *(len(index.table), len(index.table.genomes), (index.table.ends - index.table.starts).sum()),
        *(index.factory, time.monotonic() - start),
    )
    index.save(folder, name=UNCALIBRATED_NAME)
    return calibrate_index(
        *(folder, windows, pieces),
        neighbours=neighbours,
        n_pieces=n_pieces,
        contamination=contamination,
        n_genomes=n_genomes,
        sketch=sketch,
        genomes=genomes,
    )


def calibrate_index(
    folder: str | Path,
    windows: Shard | Sequence[Shard],
    pieces: EmbeddingStore,
    *,
    neighbours: int,
    n_pieces: int,
    contamination: float = 0.0,
    n_genomes: int = CALIBRATION_GENOMES,
    device: str = "cpu",
    sketch: Sketch | None = None,
    genomes: dict[str, Genome] | None = None,
) -> SearchIndex:
    """Calibrate the index in `folder` as it now is; the manifest, which names index and calibration, comes last.

    Parameters
    ----------
    windows, pieces : of the index's genomes, as `embed_reference` makes them; of other genomes they are passed over.
        Windows: one store, or several with genomes of their own.
    neighbours, n_pieces, contamination, n_genomes, sketch, genomes : as of `build_calibrated_index`.
    device : of the search.

    Memory: the pieces that calibrate, and that of `calibrate`.
    """
    folder = Path(folder)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    index = load_index(folder, name=UNCALIBRATED_NAME, device=device)
    means, spread = genome_means(windows, index.table.genomes)
    design = limit_genomes(make_design(index.table.lineages, means), index.table.genomes, n_genomes)
    pieces = _select_pieces(pieces, compress(index.table.genomes, (design.units >= 0).any(axis=0)))
    if sketch and genomes is None:
        raise ValueError("a sketch needs the genomes, for the sequences of the pieces")
    matches = sketch.match(read_pieces(genomes, pieces.names), index.table.genomes) if sketch else None
    calibration = calibrate(
        *(index, means, spread, pieces),
        k=neighbours,
        n_pieces=n_pieces,
        contamination=contamination,
        matches=matches,
        design=design,
    )
    write_calibration(folder / CALIBRATION_NAME, calibration)
    index.manifest.pop("stale_calibration_id", None)
    index.save_manifest(
        folder,
        extra_files=(CALIBRATION_NAME,),
        calibration_id=calibration.calibration_id,
        neighbours=neighbours,
        calibration_pieces=n_pieces,
        contamination=contamination,
        calibration_genomes=n_genomes,
        strata=pieces.manifest["strata"],
        seed=pieces.manifest["seed"],
        sketch_id=sketch.sketch_id if sketch else None,
    )
    return index


def _select_pieces(pieces: EmbeddingStore, genomes: Iterable[str]) -> EmbeddingStore:
    """The pieces of some genomes."""
    wanted = set(genomes)
    rows = [row for row, name in enumerate(pieces.names) if parse_window(name)[0] in wanted]
    return EmbeddingStore(pieces.vectors[rows], [pieces.names[row] for row in rows], pieces.manifest)


def read_pieces(genomes: dict[str, Genome], names: list[str]) -> Iterator[bytes]:
    """Yield the sequences of windows or pieces, in the order of `names`; those of a genome lie together.

    Memory: one genome.
    """
    for genome, group in groupby((parse_window(name) for name in names), key=itemgetter(0)):
        contigs = {record.name: record.sequence for record in read_fasta(genomes[genome].fasta)}
        for _, contig, start, end in group:
            yield contigs[contig][start:end]

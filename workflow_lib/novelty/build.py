"""An index with its calibration: both from the embedded reference, in one folder, under one manifest."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from workflow_lib.index import SearchIndex, build_index
from workflow_lib.index.windows import tabulate_windows
from workflow_lib.manifest import MANIFEST_NAME
from workflow_lib.novelty.calibrate import CALIBRATION_NAME, calibrate, write_calibration
from workflow_lib.novelty.scores import genome_means
from workflow_lib.store import EmbeddingStore

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
) -> SearchIndex:
    """Index the windows, calibrate with the pieces, and write both to `folder`; the manifest comes last.

    Parameters
    ----------
    windows, pieces : of `embed_reference`.
    taxonomy : genome -> rank -> name, for the lineages of the index and the tests a rank.
    factory : a key of `index.base.KINDS`.
    neighbours : distinct genomes whose mean distance is the score.
    n_pieces : pieces a genome and stratum, as embedded.

    Memory: the windows' vectors twice (the store's and the index's), and that of `calibrate`.
    """
    folder, start = Path(folder), time.monotonic()
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    kept = ("embedder", "fingerprint", "dim", "window", "strata", "seed", "genomes_left_out")
    manifest = {key: windows.manifest[key] for key in kept}
    index = build_index(windows.vectors, tabulate_windows(windows.names, taxonomy), manifest, factory=factory)
    logger.info(
        "%d windows of %d genomes (%d bp) indexed as %s in %.1f s",
        *(len(index.table), len(index.table.genomes), (index.table.ends - index.table.starts).sum()),
        *(factory, time.monotonic() - start),
    )
    calibration = calibrate(index, *genome_means(windows, index.table.genomes), pieces, k=neighbours, n_pieces=n_pieces)
    write_calibration(folder / CALIBRATION_NAME, calibration)
    index.save(
        folder,
        extra_files=(CALIBRATION_NAME,),
        calibration_id=calibration.calibration_id,
        neighbours=neighbours,
        calibration_pieces=n_pieces,
    )
    return index

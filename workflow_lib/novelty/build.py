"""An index with its calibration: both from the embedded reference, in one folder, under one manifest."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from workflow_lib.index import SearchIndex, build_index, load_index
from workflow_lib.index.base import UNCALIBRATED_NAME
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
    factory : as of `index.plan_index`.
    neighbours : distinct genomes whose mean distance is the score.
    n_pieces : pieces a genome and stratum, as embedded.

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
    return calibrate_index(folder, windows, pieces, neighbours=neighbours, n_pieces=n_pieces)


def calibrate_index(
    folder: str | Path,
    windows: EmbeddingStore,
    pieces: EmbeddingStore,
    *,
    neighbours: int,
    n_pieces: int,
    device: str = "cpu",
) -> SearchIndex:
    """Calibrate the index in `folder` as it now is; the manifest, which names index and calibration, comes last.

    Parameters
    ----------
    windows, pieces : of the index's genomes, as `embed_reference` makes them; of other genomes they are passed over.
    neighbours, n_pieces : as of `build_calibrated_index`. device : of the search.
    """
    folder = Path(folder)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    index = load_index(folder, name=UNCALIBRATED_NAME, device=device)
    calibration = calibrate(index, *genome_means(windows, index.table.genomes), pieces, k=neighbours, n_pieces=n_pieces)
    write_calibration(folder / CALIBRATION_NAME, calibration)
    index.manifest.pop("stale_calibration_id", None)
    index.save_manifest(
        folder,
        extra_files=(CALIBRATION_NAME,),
        calibration_id=calibration.calibration_id,
        neighbours=neighbours,
        calibration_pieces=n_pieces,
        strata=pieces.manifest["strata"],
        seed=pieces.manifest["seed"],
    )
    return index

"""novabin as one command, from contigs and depth to bins: embedding and binning by the calls of the workflow's rules.

`python -m workflow_lib.benchmark.novabin settings.json`, where settings.json is a `binners.Task` whose options are
`embed` (of `load_embedder`), `shard_mbp`, `pieces`, `bin` (`threshold`, and of `BinningOptions`), `markers` (the
configuration's section), and `relatives` (`sketch_folder` and `reference` of `find_relatives`, or nothing).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def bin_task(settings: str | Path) -> None:
    """Bin the contigs of a task; writes contig2bin.tsv and the other tables of the bin stage beside `settings`."""
    from workflow_lib.bin.assign import BinningOptions
    from workflow_lib.bin.stage import BinInputs, BinOutputs, ThresholdOptions, bin_sample
    from workflow_lib.embed import embed_fasta, load_embedder
    from workflow_lib.filter.contigs import filter_contigs
    from workflow_lib.markers.find import NO_MARKERS, find_markers
    from workflow_lib.relatives.find import find_relatives

    task = json.loads(Path(settings).read_text(encoding="utf-8"))
    folder, options = Path(settings).parent, task["options"]
    kept, status = folder / "contigs.fa.gz", folder / "status.tsv"
    filter_contigs(task["contigs"], kept, status, min_length=task["min_length"], max_n_fraction=1.0)
    embedder = load_embedder(**options["embed"], threads=task["threads"])
    embed_fasta(
        embedder,
        kept,
        folder / "embeddings",
        shard_folder=folder / ".shards",
        shard_mbp=options["shard_mbp"],
        n_pieces=options["pieces"],
        min_piece=task["min_length"],
        cut_long=False,
    )
    optional = {}
    if options["markers"]["method"] != NO_MARKERS:
        optional |= {"marker_genes": folder / "marker_genes.tsv", "marker_families": folder / "marker_families.tsv"}
        find_markers(
            kept,
            genes_table=optional["marker_genes"],
            families_table=optional["marker_families"],
            **options["markers"],
            threads=task["threads"],
        )
    if options["relatives"]:
        optional["relatives"] = folder / "relatives.tsv"
        find_relatives(kept, **options["relatives"], path=optional["relatives"])
    binning = dict(options["bin"])
    threshold = ThresholdOptions(**binning.pop("threshold"), embedder=options["embed"])
    names = {"contig2bin": "contig2bin.tsv", "bioboxes": "bins.binning", "summary": "binning.json"}
    outputs = {name: folder / names.get(name, f"{name}.tsv") for name in BinOutputs.__dataclass_fields__}
    bin_sample(
        "benchmark",
        BinInputs(kept, status, folder / "embeddings", folder / "embeddings" / "pieces.npz", task["depth"], **optional),
        BinOutputs(**outputs),
        BinningOptions(**binning),
        threshold,
    )


if __name__ == "__main__":
    from workflow_lib.log import configure_logging

    configure_logging(None)
    bin_task(sys.argv[1])

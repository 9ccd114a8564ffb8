"""The dereplicate stage, from its files to its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from workflow_lib.bin_folders import check_folders, name_folders
from workflow_lib.dereplicate.clusters import Membership, cluster_genomes
from workflow_lib.dereplicate.genomes import describe_genomes
from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.files import atomic_open, atomic_path
from workflow_lib.quality import read_quality

COLUMNS = (
    "cluster", "genome", "representative", "source", "bin", "length_bp", "n_contigs", "n50", "completeness",
    "contamination", "ani", "aligned", "aligned_representative",
)  # fmt: skip


def dereplicate_bins(
    samples: Mapping[str, str | Path],
    table: str | Path,
    fasta: str | Path,
    *,
    folders: Sequence[str | Path] = (),
    qualities: Mapping[str, str | Path] | None = None,
    folder_qualities: str | Path | None = None,
    min_ani: float = 0.95,
    min_aligned: float = 0.3,
) -> int:
    """Cluster the bins of samples, and of other folders; write the table and the representatives' FASTA files.

    Parameters
    ----------
    samples : name -> folder with the FASTA files of its bins.
    table : clusters.tsv, written last; see docs/output.md.
    fasta : folder for the representatives, {genome}.fa.gz.
    folders : of bins of other runs or programs; `bin_folders.name_folders` calls them.
    qualities : sample -> table of completeness and contamination (`quality.read_quality`).
    folder_qualities : one such table of the bins of all folders (`markers.folders.rate_folders`).
    min_ani, min_aligned : see `clusters.cluster_genomes`.

    Returns
    -------
    The number of clusters; 0 is valid.

    Raises
    ------
    InputError
        when a folder cannot be used, or its name is taken.
    """
    check_folders(folders, samples)
    named = name_folders(folders, samples)
    known = {source: read_quality(path) for source, path in (qualities or {}).items()}
    rated = read_quality(folder_qualities) if folder_qualities else {}
    for name in named:
        prefix = f"{name}."
        known[name] = {one.removeprefix(prefix): quality for one, quality in rated.items() if one.startswith(prefix)}
    sources = {**samples, **named}
    genomes = describe_genomes(sources, known)
    clusters = cluster_genomes(genomes, min_ani=min_ani, min_aligned=min_aligned)
    with atomic_path(fasta) as temporary:
        temporary.mkdir()
        for cluster in clusters:
            genome = cluster[0].genome
            records = ((record.name, record.sequence) for record in read_fasta(genome.path))
            write_fasta(temporary / f"{genome.name}.fa.gz", records)
    _write_table(table, clusters)
    return len(clusters)


def _write_table(path: str | Path, clusters: list[list[Membership]]) -> None:
    with atomic_open(path) as handle:
        handle.write("\t".join(COLUMNS) + "\n")
        for number, cluster in enumerate(clusters, start=1):
            for member in cluster:
                genome, quality = member.genome, member.genome.quality
                fields = [
                    f"cluster.{number}", genome.name, "yes" if genome is member.representative else "no",
                    genome.source, genome.bin, str(genome.length), str(genome.n_contigs), str(genome.n50),
                    *((f"{quality.completeness:.6g}", f"{quality.contamination:.6g}") if quality else ("", "")),
                    f"{member.ani:.6g}", f"{member.aligned:.6g}", f"{member.aligned_representative:.6g}",
                ]  # fmt: skip
                handle.write("\t".join(fields) + "\n")

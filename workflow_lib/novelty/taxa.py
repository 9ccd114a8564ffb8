"""Novel bins of all samples as proposed taxa, and whether earlier runs have seen them.

Bins of one species share at least 95% average nucleotide identity (Jain et al. 2018, Nat. Commun. 9:5114), measured by
skani; bins of one genus and above are near each other in the embedding, nearer than the reference's genomes of
different genera are.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.archives import ARCHIVE_SKETCHES, ARCHIVE_TABLE, check_archives, damaged_remedy
from workflow_lib.blocks import one_blas_thread
from workflow_lib.contig2bin import read_bins
from workflow_lib.fasta import read_fasta
from workflow_lib.files import atomic_open, atomic_path
from workflow_lib.index import SearchIndex, load_index
from workflow_lib.index.base import to_chord
from workflow_lib.manifest import read_manifest, write_manifest
from workflow_lib.novelty.calibration_set import CalibrationSet, read_calibration
from workflow_lib.novelty.calls import NOVEL
from workflow_lib.novelty.design import TEST_RANKS
from workflow_lib.store import read_store

logger = logging.getLogger(__name__)

SPECIES_ANI = 0.95
_MIN_ALIGNED = 0.3  # of the smaller of two bins: less may be one shared element
_DISTANCES, _BLOCK = 4096, 1024  # steps of distance; genomes at a time
_MIN_PAIRS = 10  # of reference genomes of one taxon, and of different ones, below which a rank gets no groups
TAXA_COLUMNS = (
    *("taxon", "sample", "bin", "call", "length", "representative", "ani", "n_bins", "n_samples", "nearest_taxon"),
    *(f"group_{rank}" for rank in TEST_RANKS[1:]),
    "seen_before",
)
_ARCHIVE_COLUMNS = ("number", "sample", "bin", "taxon", "call", "length")


@dataclass(frozen=True)
class SampleFiles:
    """What a sample's stages wrote: novelty bins.tsv, contig2bin.tsv, the store's and the bins' FASTA folders."""

    novelty: str | Path
    contig2bin: str | Path
    embeddings: str | Path
    fasta: str | Path


@dataclass(frozen=True)
class _Bin:
    sample: str
    name: str
    row: dict[str, str]
    contigs: list[bytes]
    vector: np.ndarray

    @property
    def key(self) -> str:
        return f"{self.sample}/{self.name}"


def propose_taxa(
    samples: dict[str, SampleFiles],
    index_folder: str | Path,
    *,
    archives: dict[str, str],
    table: str | Path,
    archive_folder: str | Path,
) -> None:
    """Group the novel bins of all samples, look them up in earlier runs, and write both for later runs.

    Parameters
    ----------
    samples : name -> files; only bins with a novel call are read.
    archives : name of an earlier run -> its archive folder.
    table : TSV of `TAXA_COLUMNS`, a row a novel bin, larger taxa first.
    archive_folder : gets novel_bins.tsv and the skani sketches of the novel bins.

    Memory: sequences, sketches and vectors of the novel bins; the square of their number in distances.

    Raises
    ------
    InputError
        when an archive lacks its files, or one is damaged.
    """
    index = load_index(index_folder)
    calibration = read_calibration(index_folder, index)
    bins = [one for sample, files in samples.items() for one in _read_novel(sample, files)]
    species, ani = _species(bins)
    limits = _rank_distances(index, calibration)
    groups = {rank: _groups(bins, species, rank, limits[rank]) for rank in TEST_RANKS[1:]}
    seen = _seen_before(bins, archives)
    taxa = [f"novel_species.{number + 1}" for number in species]
    with atomic_open(table) as handle:
        handle.write("\t".join(TAXA_COLUMNS) + "\n")
        for i in sorted(range(len(bins)), key=lambda i: (species[i], -len(b"".join(bins[i].contigs)), i)):
            members = [j for j in range(len(bins)) if species[j] == species[i]]
            first = max(members, key=lambda j: (int(bins[j].row["length"]), -j))
            row = bins[i].row
            fields = [
                *(taxa[i], bins[i].sample, bins[i].name, row["call"], row["length"], bins[first].key),
                *("" if i == first else _percent(ani[i, first]), str(len(members))),
                *(str(len({bins[j].sample for j in members})), row["nearest_taxon"]),
                *(groups[rank][i] for rank in TEST_RANKS[1:]),
                seen[i],
            ]
            handle.write("\t".join(fields) + "\n")
    _write_archive(Path(archive_folder), bins, taxa)
    logger.info("%d novel bins of %d samples: %d species", len(bins), len(samples), len(set(species)))


def _read_rows(path: str | Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))


def _read_novel(sample: str, files: SampleFiles) -> list[_Bin]:
    rows = {row["query"]: row for row in _read_rows(files.novelty) if row["call"].startswith(NOVEL)}
    if not rows:
        return []
    store = read_store(files.embeddings, mmap=True)
    members: dict[str, list[int]] = {name: [] for name in rows}
    assignments = read_bins(files.contig2bin)
    for row, contig in enumerate(store.names):
        if (name := assignments.get(contig)) in members:
            members[name].append(row)
    found = []
    for name, row in rows.items():
        contigs = [record.sequence for record in read_fasta(Path(files.fasta) / f"{name}.fa.gz")]
        vector = store.vectors[members[name]].mean(axis=0)
        found.append(_Bin(sample, name, row, contigs, vector / max(np.linalg.norm(vector), 1e-12)))
    return found


def _species(bins: list[_Bin]) -> tuple[list[int], np.ndarray]:
    """Number of each bin's species, larger species first, and ANI of all pairs (n, n), 0 where none was found."""
    from scipy.sparse.csgraph import connected_components

    ani, linked = np.zeros((len(bins), len(bins))), np.eye(len(bins), dtype=bool)
    database = _sketch(bins)
    for i, one in enumerate(bins):
        for hit in database.query(one.key, *one.contigs):
            j = int(hit.reference_name)
            ani[i, j] = ani[j, i] = max(ani[i, j], hit.identity)
            linked[i, j] |= _is_species(hit)
    _, labels = connected_components(linked | linked.T, directed=False) if bins else (0, np.zeros(0, int))
    sizes = np.bincount(labels, minlength=1)
    order = sorted(set(labels.tolist()), key=lambda label: (-sizes[label], label))
    return [order.index(label) for label in labels], ani


def _sketch(bins: list[_Bin]):
    """A skani database of bins by their number, as it cuts names at a slash."""
    from pyskani import Database

    database = Database()
    for number, one in enumerate(bins):
        database.sketch(str(number), *one.contigs)
    return database


def _is_species(hit) -> bool:
    return hit.identity >= SPECIES_ANI and max(hit.query_fraction, hit.reference_fraction) >= _MIN_ALIGNED


def _rank_distances(index: SearchIndex, calibration: CalibrationSet) -> dict[str, float | None]:
    """`rank_distance` of the ranks above species, no lower than at the rank below: groups lie within groups."""
    limits, highest = {}, 0.0
    for rank in TEST_RANKS[1:]:
        limit = rank_distance(calibration.means, [lineage.get(rank) for lineage in index.table.lineages])
        highest = max(highest, limit or 0.0)
        limits[rank] = None if limit is None else highest
    return limits


def _groups(bins: list[_Bin], species: list[int], rank: str, limit: float | None) -> list[str]:
    """Name of each bin's group at a rank above species, by average linkage.

    Empty where the reference cannot say (no limit), and where the bin was not called novel at this rank.
    """
    if limit is None or not bins:
        return [""] * len(bins)
    names = _linked_groups(bins, species, rank, limit)
    return [name if _is_novel_at(one.row["call"], rank) else "" for one, name in zip(bins, names, strict=True)]


def _is_novel_at(call: str, rank: str) -> bool:
    """Whether a call such as `novel_family` says that the taxon of a rank is new."""
    called = call.removeprefix(f"{NOVEL}_")
    return called in TEST_RANKS and TEST_RANKS.index(called) >= TEST_RANKS.index(rank)


def _linked_groups(bins: list[_Bin], species: list[int], rank: str, limit: float) -> list[str]:
    if len(bins) == 1:
        return [f"novel_{rank}_group.1"]
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    vectors = np.array([one.vector for one in bins], dtype=np.float64)
    distances = to_chord(vectors @ vectors.T)
    # Bins of one species are one genus and so on, whatever their distance.
    same = np.equal.outer(species, species)
    distances[same] = 0
    labels = fcluster(linkage(squareform(distances, checks=False), "average"), limit, "distance")
    first = {label: number for number, label in enumerate(dict.fromkeys(labels[np.argsort(species, kind="stable")]))}
    return [f"novel_{rank}_group.{first[label] + 1}" for label in labels]


def rank_distance(means: np.ndarray, names: list[str | None]) -> float | None:
    """The distance that best parts genomes of one taxon from those of different ones; None with too few pairs.

    Parameters
    ----------
    means : float32 (G, d), unit rows. names : taxon of each genome, None where it has none.

    Both kinds of pairs weigh the same: the share of pairs on the right side, averaged over the kinds, is largest. To
    half a thousandth. Memory: 1,024 x G distances.
    """
    named = [i for i, name in enumerate(names) if name]
    _, taxa = np.unique([names[i] for i in named], return_inverse=True)
    vectors = means[named].astype(np.float32)
    edges = np.linspace(0, 2, _DISTANCES + 1)
    pairs = np.zeros((2, _DISTANCES), dtype=np.int64)  # of different taxa, of the same
    for start in range(0, len(named), _BLOCK):
        block = slice(start, start + _BLOCK)
        with one_blas_thread():
            distances = to_chord(vectors[block] @ vectors.T)
        later = np.arange(len(named)) > np.arange(len(named))[block, None]
        same = taxa[block, None] == taxa
        for kind in (0, 1):
            pairs[kind] += np.histogram(distances[later & (same == kind)], edges)[0]
    different, same = pairs.sum(axis=1)
    if same < _MIN_PAIRS or different < _MIN_PAIRS:
        return None
    right = np.cumsum(pairs[1]) / same - np.cumsum(pairs[0]) / different
    return float(edges[right.argmax() + 1])


def _seen_before(bins: list[_Bin], archives: dict[str, str]) -> list[str]:
    """For each bin the bins of earlier runs of its species, `run/sample/bin (ANI)`, the most alike first."""
    from pyskani import Database

    check_archives(archives)
    found: list[list[tuple[float, str]]] = [[] for _ in bins]
    for run, folder in archives.items():
        read_manifest(folder, sealed=True, remedy=damaged_remedy(run))
        sketches, table = Path(folder) / ARCHIVE_SKETCHES, Path(folder) / ARCHIVE_TABLE
        names = {row["number"]: f"{row['sample']}/{row['bin']}" for row in _read_rows(table)}
        if not names:
            continue  # that run had no novel bin
        database = Database.load(sketches)
        for one, seen in zip(bins, found, strict=True):
            hits = database.query(one.key, *one.contigs)
            seen += [(hit.identity, f"{run}/{names[hit.reference_name]}") for hit in hits if _is_species(hit)]
    return [",".join(f"{name} ({_percent(ani)})" for ani, name in sorted(seen, reverse=True)) for seen in found]


def _write_archive(folder: Path, bins: list[_Bin], taxa: list[str]) -> None:
    """Write the table, the sketches and the manifest that proves both to a folder of its own, which replaces the old.

    So that no two runs that write it at once make one archive of both.
    """
    with atomic_path(folder.resolve()) as temporary:
        sketches = temporary / ARCHIVE_SKETCHES
        sketches.mkdir(parents=True)
        if bins:
            _sketch(bins).save(sketches)
        with atomic_open(temporary / ARCHIVE_TABLE) as handle:
            handle.write("\t".join(_ARCHIVE_COLUMNS) + "\n")
            for number, (one, taxon) in enumerate(zip(bins, taxa, strict=True)):
                fields = (str(number), one.sample, one.name, taxon, one.row["call"], one.row["length"])
                handle.write("\t".join(fields) + "\n")
        files = [path.relative_to(temporary).as_posix() for path in sorted(sketches.iterdir())]
        write_manifest(temporary, {}, checksums=[ARCHIVE_TABLE, *files], sealed=True)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if share else ""

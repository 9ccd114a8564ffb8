"""Learning a table of marker genes: which k-mers tell the genes of single-copy families, and from what score on."""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.markers.counts import MarkerGene
from workflow_lib.markers.domains import find_archaeal
from workflow_lib.markers.kmer_search import MarkerSearch, find_codes, mark_codes, protein_codes
from workflow_lib.markers.table import N_CODES, MarkerTable

logger = logging.getLogger(__name__)

_LEAST_WEIGHT = 6.0  # of a k-mer that is kept
_LEAST_GENOMES = 2  # whose gene has the k-mer
_MOST_SPREAD = 25.0  # standard deviation of a k-mer's place, residues
_LEAST_THRESHOLD = 22.0
_FALSE_GENES = 0.06  # of a family in `_GENOME_BP` of other sequence, from which its threshold is chosen
_GENOME_BP = 3e6
_LEAST_FOUND = 0.75  # share of its genes that a family is kept for


@dataclass(frozen=True)
class Member:
    """A gene of a family: genome, contig, 1-based place, strand, and its protein."""

    genome: str
    family: int
    contig: str
    start: int
    end: int
    strand: str
    protein: str


def build_table(members: Sequence[Member], background: np.ndarray, families: Sequence[str]) -> MarkerTable:
    """The k-mers that are more frequent in the genes of a family than elsewhere.

    The weight of a k-mer is log(share of the family's genomes that have it, per residue) - log(its share of all k-mers
    of both strands, this family's own left out). k-mers of less than e^6 are left out, as are those of one genome and
    those whose place in the gene is not the same. A k-mer of several families is of that where it weighs most.

    Parameters
    ----------
    members : one or no gene a genome and family.
    background : int64 (20^5,) how often each k-mer was seen in both strands of the same genomes, see `count_codes`.
    families : their names.

    Returns
    -------
    The table; its thresholds are the least ones (see `choose_thresholds`), and all families count as archaeal (see
    `mark_archaeal`).
    """
    total = background.sum()
    lengths = {family: float(np.median(values)) for family, values in _by_family(members).items()}
    genomes = Counter(member.family for member in members)
    places: dict[tuple[int, int], list[float]] = defaultdict(list)
    for member in members:
        codes, first = np.unique(protein_codes(member.protein), return_index=True)
        scale = lengths[member.family] / len(member.protein)
        for code, at in zip(codes.tolist(), first.tolist(), strict=True):
            if code >= 0:
                places[code, member.family].append(at * scale)
    best: dict[int, tuple[float, int, float]] = {}
    for (code, family), at in places.items():
        if len(at) < _LEAST_GENOMES or np.std(at) > _MOST_SPREAD:
            continue
        elsewhere = (max(int(background[code]) - len(at), 0) + 0.5) / total
        weight = math.log(len(at) / genomes[family] / lengths[family]) - math.log(elsewhere)
        if weight > max(_LEAST_WEIGHT, best.get(code, (0.0,))[0]):
            best[code] = weight, family, float(np.median(at))
    codes = np.array(sorted(best), dtype=np.int64)
    weight, family, place = (np.array([best[code][i] for code in codes.tolist()]) for i in range(3))
    typical = np.array([lengths.get(number, 0) for number in range(len(families))], dtype=np.int32)
    thresholds = np.full(len(families), _LEAST_THRESHOLD, dtype=np.float32)
    return MarkerTable(
        list(families), typical, thresholds, codes, family.astype(np.uint8), place.round().astype(np.int16),
        weight.astype(np.float16).astype(np.float32), np.ones(len(families), dtype=bool),
    )  # fmt: skip


def _by_family(members: Iterable[Member]) -> dict[int, list[int]]:
    lengths = defaultdict(list)
    for member in members:
        lengths[member.family].append(len(member.protein))
    return lengths


def count_codes(sequences: Iterable[bytes]) -> np.ndarray:
    """How often each k-mer is seen in the six reading frames of some sequences: int64 (20^5,)."""
    counts, every = np.zeros(N_CODES, dtype=np.int64), mark_codes(np.arange(N_CODES))
    for sequence in sequences:
        for _, codes in find_codes(sequence, every):
            np.add.at(counts, codes, 1)
    return counts


def measure(
    table: MarkerTable, contigs: Iterable[tuple[str, str, bytes]], members: Sequence[Member]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores of the genes of some genomes, and of what is none.

    Parameters
    ----------
    table : not learned from these genomes; genes below its thresholds are not seen.
    contigs : genome, contig, sequence.
    members : the genes of these genomes.

    Returns
    -------
    (n, 2) family and score of every gene (0 where it was not found), (m, 2) of everything else that was found, and bp.
    """
    search = MarkerSearch(table)
    number = {name: family for family, name in enumerate(table.families)}
    at: dict[tuple[str, str], list[Member]] = defaultdict(list)
    for member in members:
        at[member.genome, member.contig].append(member)
    true, false, n_bp = [], [], 0
    for genome, contig, sequence in contigs:
        n_bp += len(sequence)
        here = at[genome, contig]
        found = [(number[gene.marker], gene) for gene in search.genes(contig, sequence)]
        for member in here:
            scores = [gene.score for family, gene in found if _is(family, gene, member)]
            true.append((member.family, max(scores, default=0.0)))
        false += [
            (family, gene.score) for family, gene in found if not any(_is(family, gene, member) for member in here)
        ]
    return np.array(true).reshape(-1, 2), np.array(false).reshape(-1, 2), n_bp


def _is(family: int, gene: MarkerGene, member: Member) -> bool:
    return family == member.family and gene.start <= member.end and member.start <= gene.end


def choose_thresholds(
    table: MarkerTable, true: np.ndarray, false: np.ndarray, n_bp: int
) -> tuple[MarkerTable, np.ndarray, np.ndarray]:
    """Thresholds that few false genes pass, and only the families whose genes do.

    Parameters
    ----------
    table : of all genomes.
    true, false, n_bp : see `measure`, with tables that had not seen the genomes.

    Returns
    -------
    The table of the families that are left, and of each the share of its genes found and false genes in 3 Mbp.

    Raises
    ------
    InputError
        when no family is left.
    """
    thresholds, found, wrong = np.zeros((3, len(table.families)))
    allowed = int(_FALSE_GENES * n_bp / _GENOME_BP)
    for family in range(len(table.families)):
        scores = np.sort(false[false[:, 0] == family, 1])[::-1]
        own = true[true[:, 0] == family, 1]
        above = np.nextafter(np.float32(scores[allowed]), np.float32(np.inf)) if len(scores) > allowed else 0.0
        thresholds[family] = max(_LEAST_THRESHOLD, above)
        found[family] = np.mean(own >= thresholds[family]) if len(own) else 0.0
        wrong[family] = np.count_nonzero(scores >= thresholds[family]) * _GENOME_BP / n_bp
    kept = np.flatnonzero(found >= _LEAST_FOUND)
    if not len(kept):
        raise InputError(f"of no family {_LEAST_FOUND:.0%} of the genes are found", remedy="train on more genomes")
    logger.info("%d of %d families kept, %.3f of their genes found", len(kept), len(found), found[kept].mean())
    return _only(replace(table, thresholds=thresholds.astype(np.float32)), kept), found[kept], wrong[kept]


def mark_archaeal(table: MarkerTable, contigs: Iterable[tuple[str, str, bytes]]) -> MarkerTable:
    """The table with the families that archaea have (`domains.find_archaeal`), as they are found in archaeal genomes.

    Parameters
    ----------
    contigs : genome, contig, sequence of archaeal genomes, or of parts of them; at least one.
    """
    search, families = MarkerSearch(table), np.array(table.families)
    found: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(families), dtype=bool))
    for genome, contig, sequence in contigs:
        found[genome] |= np.isin(families, [gene.marker for gene in search.genes(contig, sequence)])
    return replace(table, archaeal=find_archaeal(np.stack(list(found.values()))))


def _only(table: MarkerTable, families: np.ndarray) -> MarkerTable:
    number = np.full(len(table.families), -1)
    number[families] = np.arange(len(families))
    rows = number[table.family] >= 0
    return MarkerTable(
        [table.families[family] for family in families],
        table.lengths[families],
        table.thresholds[families],
        table.codes[rows],
        number[table.family[rows]].astype(np.uint8),
        table.place[rows],
        table.weight[rows],
        table.archaeal[families],
    )

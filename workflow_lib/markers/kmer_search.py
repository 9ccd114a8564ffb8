"""Marker genes by their amino-acid k-mers: no gene prediction, no profiles, tens of Mbp a second."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numba
import numpy as np

from workflow_lib.blocks import map_in_order
from workflow_lib.embed.base import as_bytes
from workflow_lib.embed.kmers import base_codes, compiled
from workflow_lib.fasta import read_fasta
from workflow_lib.markers.counts import MarkerGene, write_marker_tables
from workflow_lib.markers.table import N_CODES, RESIDUES, SHIPPED, K, MarkerTable, load_table

_DRIFT = 25  # residues that the place in the family may move between two k-mers of a gene: insertions, deletions
_GAP = 600  # bp between two k-mers of a gene, at most
_CHAINS = 4  # genes of a family and strand that are followed at a time
_LEAST_SPAN = 0.5  # share of a typical gene that is recognised: the end of a contig leaves one part so long
_NEAR = 300  # bp between parts of a gene that are taken for one
_TOP = len(RESIDUES) ** (K - 1)
_BASES = "TCAG"
_CODE_TABLE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"  # NCBI table 11, codons in TCAG order


def _codons() -> tuple[np.ndarray, np.ndarray]:
    """Residue of every codon of the forward strand, and of its reverse complement: uint8 (64,), 255 for stop."""
    forward = np.array([RESIDUES.find(residue) % 256 for residue in _CODE_TABLE], dtype=np.uint8)
    opposite = np.array([_BASES.index(base) for base in "AGTC"])  # of T, C, A, G
    codons = np.arange(64)
    first, second, third = codons // 16, codons // 4 % 4, codons % 4
    return forward, forward[opposite[third] * 16 + opposite[second] * 4 + opposite[first]]


_FORWARD, _REVERSE = _codons()
_NUCLEOTIDES = base_codes(_BASES)


def protein_codes(sequence: str) -> np.ndarray:
    """Code of the k-mer at every place of a protein, int64; -1 where a residue is not one of the twenty."""
    digit = np.array([RESIDUES.find(residue) for residue in sequence], dtype=np.int64)
    if len(digit) < K:
        return np.zeros(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(digit, K)
    codes = windows @ (len(RESIDUES) ** np.arange(K - 1, -1, -1))
    return np.where((windows < 0).any(axis=1), -1, codes)


@compiled("UniTuple(int64, 2)(uint8[::1], uint8[::1], uint8[::1], uint8[::1], uint64[::1], int64[:, ::1])")
def _find(text, nucleotides, forward, reverse, wanted, found):  # pragma: no cover -- compiled
    """Find k-mers in all frames; how many on the strand, and on the other.

    Written are rows of `found`: bases from which they are read on the strand, their codes; bases up to which they are
    read on the other, their codes.
    """
    codes, runs, others, other_runs = np.zeros((4, 3), np.int64)
    codon, n_bases, frame, n, n_others = 0, 0, 0, 0, 0
    for i in range(len(text)):
        base = nucleotides[text[i]]
        n_bases = n_bases + 1 if base < 4 else 0
        codon = (codon << 2 | base & 3) & 63
        residue, opposite = (forward[codon], reverse[codon]) if n_bases >= 3 else (255, 255)
        frame = 0 if frame == 2 else frame + 1
        runs[frame] = 0 if residue == 255 else runs[frame] + 1
        codes[frame] = 0 if residue == 255 else codes[frame] % _TOP * 20 + residue
        if runs[frame] >= K and wanted[codes[frame] >> 6] >> np.uint64(codes[frame] & 63) & np.uint64(1):
            found[0, n], found[1, n] = i - 3 * K + 1, codes[frame]
            n += 1
        other_runs[frame] = 0 if opposite == 255 else other_runs[frame] + 1
        others[frame] = 0 if opposite == 255 else others[frame] // 20 + opposite * _TOP
        if other_runs[frame] >= K and wanted[others[frame] >> 6] >> np.uint64(others[frame] & 63) & np.uint64(1):
            found[2, n_others], found[3, n_others] = i - 3 * K + 1, others[frame]
            n_others += 1
    return n, n_others


@numba.njit(cache=True, nogil=True)
def _chain(places, entries, family, place, weight, thresholds, genes):  # pragma: no cover -- compiled
    """Follow genes along a strand: rows of `genes` are family, first and last k-mer, score; how many there are.

    `places` of k-mers on the strand, ascending; `entries`: their rows of the table.

    A gene is a chain of k-mers of one family whose places in the family fit their places on the strand. Of k-mers that
    overlap the heaviest counts.
    """
    n_families = len(thresholds)
    diagonal, score, heaviest = np.zeros((3, n_families, _CHAINS))
    first, last, counted = np.full((3, n_families, _CHAINS), -(_GAP + 1), np.int64)
    n_genes = 0
    for number in range(len(places) + 1):
        at_end = number == len(places)
        i, entry = (0, 0) if at_end else (places[number], entries[number])
        start, stop = (0, n_families) if at_end else (family[entry], family[entry] + 1)
        for f in range(start, stop):
            chosen, oldest = -1, 0
            where = i / 3 - (0 if at_end else place[entry])
            for c in range(_CHAINS):
                if at_end and score[f, c] >= thresholds[f]:
                    n_genes = _put(genes, n_genes, f, first[f, c], last[f, c], score[f, c])
                oldest = c if last[f, c] < last[f, oldest] else oldest
                fits = i - last[f, c] <= _GAP and abs(where - diagonal[f, c]) <= _DRIFT
                if fits and (chosen < 0 or score[f, c] > score[f, chosen]):
                    chosen = c
            if at_end:
                continue
            w = weight[entry]
            c = oldest if chosen < 0 else chosen
            if chosen < 0:
                if score[f, c] >= thresholds[f]:
                    n_genes = _put(genes, n_genes, f, first[f, c], last[f, c], score[f, c])
                score[f, c], first[f, c], counted[f, c], heaviest[f, c] = 0.0, i, i - 3 * K, 0.0
            if i - counted[f, c] >= 3 * K:
                score[f, c] += w
                counted[f, c], heaviest[f, c] = i, w
            elif w > heaviest[f, c]:
                score[f, c] += w - heaviest[f, c]
                counted[f, c], heaviest[f, c] = i, w
            last[f, c], diagonal[f, c] = i, where
    return n_genes


@numba.njit(cache=True, nogil=True)
def _put(genes, n_genes, family, first, last, score):  # pragma: no cover -- compiled
    """Add a row to `genes`; the new number of rows."""
    genes[n_genes, 0], genes[n_genes, 1], genes[n_genes, 2], genes[n_genes, 3] = family, first, last, score
    return n_genes + 1


def find_codes(sequence: str | bytes, wanted: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Find k-mers in a contig's six reading frames.

    Those with a stop, or another letter than A, C, G, T or U, are passed over.

    Parameters
    ----------
    wanted : uint64 (20^5 / 64,), a bit for each code that is looked for.

    Returns
    -------
    for the strand and for the other one: first bases on the strand of the k-mers' 15 bp, int64, ascending, 0-based, and
    their codes, int64.
    """
    text = np.frombuffer(bytearray(as_bytes([sequence])[0]), dtype=np.uint8)
    found = np.empty((4, len(text)), dtype=np.int64)
    n, n_others = _find(text, _NUCLEOTIDES, _FORWARD, _REVERSE, wanted, found)
    return (found[0, :n], found[1, :n]), (found[2, :n_others], found[3, :n_others])


def mark_codes(codes: np.ndarray) -> np.ndarray:
    """These codes as `find_codes` takes them."""
    marks = np.zeros(N_CODES, dtype=np.uint8)
    marks[codes] = 1
    return np.packbits(marks, bitorder="little").view(np.uint64)


class MarkerSearch:
    """Finds the genes of a `MarkerTable`. It holds an array of 13 MB; threads may share it."""

    def __init__(self, table: MarkerTable) -> None:
        self._table, self._wanted = table, mark_codes(table.codes)
        self._index = np.full(N_CODES, -1, dtype=np.int32)
        self._index[table.codes] = np.arange(len(table.codes), dtype=np.int32)

    def genes(self, contig: str, sequence: str | bytes) -> list[MarkerGene]:
        """Marker genes of a contig, by their place; parts of one gene, and families that overlap, count once.

        A gene of which less than half is recognised is left out, so that one that is cut by the ends of two contigs is
        rarely found on both.
        """
        table, found = self._table, []
        for strand, (places, codes) in zip("+-", find_codes(sequence, self._wanted), strict=True):
            if strand == "-":  # a gene of the other strand is read from its own start
                places, codes = len(sequence) - 3 * K - places[::-1], codes[::-1]
            rows = np.empty((len(codes) + _CHAINS * len(table.families), 4))  # a k-mer ends one chain at most
            columns = table.family, table.place, table.weight, table.thresholds
            n = _chain(places, self._index[codes], *columns, rows)
            for family, first, last, score in _join(rows[:n].tolist()):
                start, end = int(first) + 1, int(last) + 3 * K
                if end - start + 1 < _LEAST_SPAN * 3 * table.lengths[int(family)]:
                    continue
                if strand == "-":
                    start, end = len(sequence) + 1 - end, len(sequence) + 1 - start
                found.append(MarkerGene(contig, table.families[int(family)], start, end, strand, score))
        return _distinct(found)


def _join(chains: list[list[float]]) -> list[list[float]]:
    """Join the chains of a family that are near, parts of one gene: family, first and last k-mer, sum of scores."""
    joined: list[list[float]] = []
    for family, first, last, score in sorted(chains):
        if joined and joined[-1][0] == family and first - joined[-1][2] <= 3 * K + _NEAR:
            joined[-1] = [family, joined[-1][1], max(joined[-1][2], last), joined[-1][3] + score]
        else:
            joined.append([family, first, last, score])
    return joined


def _distinct(found: list[MarkerGene]) -> list[MarkerGene]:
    """The best of genes that overlap."""
    kept: list[MarkerGene] = []
    for gene in sorted(found, key=lambda gene: (-gene.score, gene.marker)):
        if not any(gene.start <= other.end and other.start <= gene.end for other in kept):
            kept.append(gene)
    return sorted(kept, key=lambda gene: (gene.start, gene.marker))


def find_kmer_markers(
    contigs: str | Path,
    *,
    genes_table: str | Path,
    families_table: str | Path,
    threads: int = 1,
    folder: str | Path = SHIPPED,
) -> int:
    """Find the genes of the families that novabin ships in a FASTA file; write the tables of `find.find_markers`.

    Returns
    -------
    The number of genes found; the same at any number of threads.

    Raises
    ------
    InputError
        when the FASTA file or the table of `folder` cannot be read.
    """
    table = load_table(folder)
    search = MarkerSearch(table)
    with ThreadPoolExecutor(threads) as pool:
        found = map_in_order(pool, lambda record: search.genes(record.name, record.sequence), read_fasta(contigs), 64)
        families = zip(
            table.families, ["score"] * len(table.families), table.thresholds, table.archaeal.tolist(), strict=True
        )
        genes = chain.from_iterable(found)
        return write_marker_tables(genes, families, genes_table=genes_table, families_table=families_table)

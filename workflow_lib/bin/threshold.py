"""The similarity threshold: fixed, a percentile of labelled sequences, or found from the sample's own contigs."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workflow_lib.bin.metric import Pieces
from workflow_lib.errors import InputError
from workflow_lib.fasta import IUPAC, read_text

logger = logging.getLogger(__name__)

_FEW_HALVES = 20  # contigs in halves below which a threshold rests on little
_MAX_PAIRS = 400_000  # random pairs of different contigs that stand for all
_HIGHEST = 1 - 1e-4  # copies of one sequence must pass in spite of rounding
_LOOSEST, _STRICTEST = 0.05, 0.8  # shares of halves of one contig that the threshold may part
_PURITY_EXPONENT = 4  # weight of the purity of the pairs that pass against their number
_HISTOGRAM_BINS = 60
_LONGEST_NAME = 40  # of a column; a first row that begins with more is no header
_LABEL_COLUMN = re.compile(
    r"(label|species|genus|class|taxon|taxonomy|tax|genome|bin|cluster|name)s?[ _.-]?(id|name)?s?", re.IGNORECASE
)
_AMBIGUOUS = bytes(set(IUPAC) - set(b"ACGTUN"))
_MANY_AMBIGUOUS = 1 / 3  # share of the letters; genomes have less than a hundredth


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it comes from.

    Attributes
    ----------
    method : "fixed", "percentile" or "label_free".
    value : similarity.
    note : what a reader must know of it: that it rests on little, what happens to depth; else None.
    distribution : "edges", "same", "different": histograms of the similarity of two halves of a contig and of
        different contigs, for the report; empty where there are none.
    """

    method: str
    value: float
    note: str | None = None
    distribution: dict[str, list] = field(default_factory=dict)


def class_center_percentiles(embeddings: np.ndarray, labels: Sequence, percentiles: Sequence[float]) -> np.ndarray:
    """Percentiles of the similarity of sequences to the centre of their class.

    The centre is the plain mean of a class (not re-normalised), the similarity the inner product with it. The p-th
    percentile is the value at position int(p / 100 n) of all n similarities in ascending order, nothing interpolated.

    Parameters
    ----------
    embeddings : float (n, d), unit rows.
    labels : n labels of any kind that can be sorted.
    percentiles : each at least 0 and less than 100.

    Returns
    -------
    float64 (number of percentiles,).

    Raises
    ------
    InputError
        when there is no sequence, the labels are of another number, or a percentile is out of range.

    Notes
    -----
    As in the published evaluation of DNABERT-S (Zhou et al. 2024, section 5), which takes the 70th.
    """
    embeddings, labels = np.asarray(embeddings, dtype=np.float32), np.asarray(labels)
    if embeddings.ndim != 2 or not len(embeddings) or labels.shape != (len(embeddings),):
        raise InputError(
            f"embeddings {embeddings.shape}, labels {labels.shape}; expected (n, d) and (n,), n at least 1"
        )
    for percentile in percentiles:
        if not 0 <= percentile < 100:
            raise InputError(f"found percentile {percentile}, expected at least 0 and less than 100")
    similarity = np.empty(len(embeddings))
    _, classes = np.unique(labels, return_inverse=True)
    order = np.argsort(classes, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        centre = embeddings[members].mean(axis=0, dtype=np.float64).astype(np.float32)
        similarity[members] = np.einsum("ij,j->i", embeddings[members], centre)
    similarity.sort()
    return np.array([similarity[int(percentile / 100 * len(similarity))] for percentile in percentiles])


def read_labelled(path: str | Path) -> tuple[list[str], list[str]]:
    """Read sequences and labels from a TSV (sequence, label; a header is allowed; gzip allowed).

    The first row is a header if its first field has at most 40 letters, as a column's name has, and either is no
    sequence or stands before a name such as `label` or `species`: `DNA` alone would read as a sequence of codes.

    Raises
    ------
    InputError
        with file and line: fewer than two columns, an empty field, characters that are no nucleotide codes; no rows;
        damaged gzip data.
    """
    sequences, labels = [], []
    alphabet = set(IUPAC.decode())
    at_start = True
    for number, row in enumerate(read_text(path).splitlines(), start=1):
        if not row.strip():
            continue
        fields = [field.strip() for field in row.split("\t")]
        is_sequence = bool(fields[0]) and set(fields[0].upper()) <= alphabet
        if at_start:
            at_start = False
            names_label = len(fields) > 1 and bool(_LABEL_COLUMN.fullmatch(fields[1]))
            if len(fields[0]) <= _LONGEST_NAME and (names_label or not is_sequence):
                logger.info("%s: the first row, %s, is taken for a header", path, row.strip())
                continue
        if len(fields) < 2 or not is_sequence or not fields[1]:
            raise InputError(
                f"found {row[:40]!r}, expected a nucleotide sequence and a label separated by a tab",
                path=path,
                line=number,
                remedy="give one sequence a line: sequence, tab, label (species)",
            )
        sequences.append(fields[0].upper())
        labels.append(fields[1])
    if not sequences:
        raise InputError("no labelled sequences, expected one a line: sequence, tab, label", path=path)
    _warn_of_protein(sequences, path)
    return sequences, labels


def _warn_of_protein(sequences: Sequence[str], path: str | Path) -> None:
    """Tell of sequences that read as nucleotide codes but hardly can be: proteins may have no other letters."""
    share = sum(len(s) - len(s.encode().translate(None, _AMBIGUOUS)) for s in sequences) / sum(map(len, sequences))
    if share > _MANY_AMBIGUOUS:
        logger.warning(
            "%s: %.0f%% of the letters are neither A, C, G, T, U nor N: are these proteins? DNA is expected",
            path, 100 * share,
        )  # fmt: skip


def label_free(vectors: np.ndarray, pieces: Pieces, *, seed: int = 1) -> Threshold:
    """Find the threshold from halves of the sample's own contigs.

    The two halves of a contig are of one genome; a pair of these contigs is so with an unknown probability. S(t) is the
    share of pairs of halves, D(t) of pairs of different contigs, whose similarity is at least t. S/D is proportional to
    the share of pairs of one genome among those that pass: it rises with t as long as there are others to keep out,
    while S falls. The threshold is the t that makes (S/D)^4 S largest, where S is between 95% and 20%.

    Halves are half as long as the contigs and so less alike, but neighbours in the genome and so more alike: the two
    about cancel. In a sample of one genome S/D falls from the start, and the loosest threshold is taken. Of long
    contigs halves are more alike than any two contigs: where a genome has few, S/D rises even when only pairs of one
    genome are left to lose. So D counts each contig's pair with itself (1/n of n contigs), which passes always.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows, what is binned.
    pieces : both halves of contigs in the same space.
    seed : of the random pairs.

    Returns
    -------
    The threshold. Its `note` says so if fewer than 20 contigs are in halves, or if nothing can be compared
    (no halves, fewer than two contigs): then only copies pass.
    """
    rows, note = pieces.rows, None
    if len(pieces) < _FEW_HALVES:
        rows = np.flatnonzero(vectors.any(axis=1))
        note = f"the threshold rests on few contigs in halves ({len(pieces)}): {_FEW_HALVES} or more would be better"
        if not len(pieces) or len(rows) < 2:
            note = "no two contigs can be compared, or none could be cut into halves: no threshold can be found"
        logger.warning("%s", note)
    if not len(pieces) or len(rows) < 2:
        return Threshold("label_free", _HIGHEST, note)
    same = np.einsum("ij,ij->i", pieces.vectors[:, 0], pieces.vectors[:, 1]).astype(np.float64)
    different = pair_similarity(vectors, *random_pairs(rows, np.random.default_rng(seed)))
    n_embedded = np.count_nonzero(vectors.any(axis=1))
    value, _ = separate(same, different, with_itself=1 / n_embedded)
    return Threshold("label_free", min(value, _HIGHEST), note, _histograms(same, different))


def separate(same: np.ndarray, different: np.ndarray, *, with_itself: float | None = None) -> tuple[float, float]:
    """The threshold t that makes (S/D)^4 S largest, where S is between 95% and 20%, and how large that is.

    Parameters
    ----------
    same, different : float64, similarities of halves of a contig, and of different contigs. S and D are the shares of
        them that are at least t.
    with_itself : added to D: the share of its pairs that a contig is with itself, 1 / n of n contigs. None: as little
        as keeps D above 0.
    """
    if with_itself is None:
        with_itself = 1 / len(different)
    same, different = np.sort(same), np.sort(different)
    candidates = np.quantile(same, np.linspace(_LOOSEST, _STRICTEST, 201))
    passing_same = 1 - np.searchsorted(same, candidates) / len(same)
    passing_different = 1 - np.searchsorted(different, candidates) / len(different)
    merit = (passing_same / (passing_different + with_itself)) ** _PURITY_EXPONENT * passing_same
    return float(candidates[np.argmax(merit)]), float(merit.max())


def random_pairs(rows: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of different ones of these contigs, int64 each: at most 400,000, and four times all that there are."""
    n_pairs = min(_MAX_PAIRS, len(rows) * (len(rows) - 1) // 2 * 4)
    first = generator.integers(len(rows), size=n_pairs)
    second = (first + generator.integers(1, len(rows), size=n_pairs)) % len(rows)
    return rows[first], rows[second]


def pair_similarity(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Inner products of the rows `first` with the rows `second`: float64."""
    similarity = np.empty(len(first))
    for start in range(0, len(first), 8192):
        part = slice(start, start + 8192)
        similarity[part] = np.einsum("ij,ij->i", vectors[first[part]], vectors[second[part]])
    return similarity


def _histograms(same: np.ndarray, different: np.ndarray) -> dict[str, list]:
    lowest = np.floor(10 * min(same.min(), different.min())) / 10
    edges = np.linspace(lowest, 1.0, _HISTOGRAM_BINS + 1)
    counts = [np.histogram(values.clip(lowest, 1.0), edges)[0].tolist() for values in (same, different)]
    return {"edges": edges.round(6).tolist(), "same": counts[0], "different": counts[1]}

"""The steps of the workflow's target: make a set and score it; and the tables that they write."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workflow_lib.bin.metric import MIN_PIECES
from workflow_lib.files import atomic_open
from workflow_lib.scoreboard.evaluation import evaluate_embedding, evaluate_lengths
from workflow_lib.scoreboard.labelled import LabelledSet, cut_pieces, read_set
from workflow_lib.scoreboard.vectors import SetVectors
from workflow_lib.tables import SetSource, load_reference

logger = logging.getLogger(__name__)


def make_set(source: SetSource) -> LabelledSet:
    """Read or cut the labelled set that a row of sets.tsv describes."""
    if source.sequences:
        return read_set(source.sequences, pieces=source.pieces, seed=source.seed)
    genomes = list(load_reference(source.genomes).values())
    return cut_pieces(genomes, length=source.length, sigma=source.sigma, pieces=source.pieces, seed=source.seed)


def write_facts(path: str | Path, source: SetSource, labelled: LabelledSet) -> None:
    """Write what a set is, as JSON: its row of sets.tsv and `LabelledSet.describe`."""
    with atomic_open(path) as handle:
        json.dump({**vars(source), **labelled.describe()}, handle, indent=2, sort_keys=True)
        handle.write("\n")


def score_set(embedded: SetVectors, *, shots: Sequence[int], seeds: Sequence[int]) -> pd.DataFrame:
    """All scores of an embedded set: those of `evaluate_embedding` and `evaluate_lengths`, with a column variant.

    Variant `plain` are the vectors as they are; `adapted` the same, adapted to the set by its own halves
    (absent with fewer than 80 sequences to learn from), without the effect of dimensions and length.
    """
    plain = [evaluate_embedding(embedded.vectors, embedded.labels, shots=shots, seeds=seeds)]
    labels = embedded.labels[embedded.prefix_rows]
    if len(set(labels.tolist())) >= 2:
        plain.append(evaluate_lengths(embedded.prefixes, labels, seeds=seeds))
    tables = [pd.concat(plain).assign(variant="plain")]
    if len(embedded.pieces) >= MIN_PIECES:
        adapted = evaluate_embedding(embedded.adapted(), embedded.labels, shots=shots, seeds=seeds, dims=False)
        tables.append(adapted.assign(variant="adapted"))
    scores = pd.concat(tables, ignore_index=True)
    return scores[["variant", *scores.columns.drop("variant")]]


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a TSV: 6 significant digits, an empty field for what is not defined."""
    with atomic_open(path) as handle:
        table.to_csv(handle, sep="\t", index=False, float_format="%.6g", lineterminator="\n")

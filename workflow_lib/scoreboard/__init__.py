"""The scoreboard: how well embeddings tell species apart on labelled sequences, beside the usual baselines.

`snakemake evaluate_embeddings` runs it; in Python:

    genomes = list(load_reference("genomes.tsv").values())  # workflow_lib.tables
    pieces = cut_pieces(genomes, length=7000, sigma=0.6, pieces=100)
    scores = evaluate_embedding(load_embedder("tnf").embed(pieces.sequences), pieces.labels)
    scores[scores["measure"] == "ari"]["value"].mean()
"""

from workflow_lib.scoreboard.evaluation import evaluate_embedding, evaluate_lengths, gap_closed, summarise_scores
from workflow_lib.scoreboard.labelled import LabelledSet, cut_pieces

__all__ = [
    "LabelledSet",
    "cut_pieces",
    "evaluate_embedding",
    "evaluate_lengths",
    "gap_closed",
    "summarise_scores",
]

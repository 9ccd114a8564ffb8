"""How well vectors tell species apart that were not trained on: K-means of pieces of held-out genomes, beside TNF."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence

import numpy as np

from workflow_lib.embed.base import unit_rows
from workflow_lib.evaluate.kmeans import kmeans_ari
from workflow_lib.train.genomes import TrainingGenome
from workflow_lib.train.pairs import PairOptions, draw_pieces

logger = logging.getLogger(__name__)


class HeldOutPieces:
    """Pieces of held-out genomes and their species.

    Parameters
    ----------
    n : pieces of a genome at most, of lengths drawn as those of pairs; they do not overlap, or the pieces of a small
        genome would be told to be alike by the bases that they share.
    """

    def __init__(
        self, genomes: Sequence[TrainingGenome], options: PairOptions, *, n: int, rng: np.random.Generator
    ) -> None:
        drawn = [draw_pieces(genome, n, options, rng) for genome in genomes]
        if fewer := sum(len(own) < n for own in drawn):
            logger.info("%d of %d held-out genomes have no room for %d pieces, and fewer of them", fewer, len(drawn), n)
        pieces = [(piece, genome.species) for genome, own in zip(genomes, drawn, strict=True) for piece in own]
        # The longest first, so that pieces of like length share a batch.
        pieces.sort(key=lambda piece: -len(piece[0]))
        self.sequences = [sequence for sequence, _ in pieces]
        self.labels = np.unique([species for _, species in pieces], return_inverse=True)[1]
        self._seed = int(rng.integers(1 << 31))

    def score(self, embed: Callable[[list[bytes]], np.ndarray]) -> dict[str, float]:
        """Adjusted Rand index of K-means on the vectors that `embed` gives, float (n, d), and on those of TNF."""
        return {"ari": self._ari(embed(self.sequences)), "ari_tnf": self._ari_tnf}

    @functools.cached_property
    def _ari_tnf(self) -> float:
        from workflow_lib.embed import load_embedder

        return self._ari(load_embedder("tnf").embed(self.sequences))

    def _ari(self, vectors: np.ndarray) -> float:
        return kmeans_ari(unit_rows(vectors), self.labels, seed=self._seed)

"""Positive pairs for contrastive training: two pieces of DNA that are to get the same vector.

Source: Zhou et al. 2024 (DNABERT-S), section 3, for the strategies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workflow_lib.embed.windows import MIN_SEGMENT
from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement
from workflow_lib.tiling import tile
from workflow_lib.train.genomes import TrainingGenome, alias

STRATEGIES = ("same_genome", "mutate", "dropout", "double_strand")
_BASES = np.frombuffer(b"ACGT", dtype=np.uint8)
_CODES = np.full(256, 4, dtype=np.uint8)
_CODES[_BASES] = np.arange(4)


@dataclass(frozen=True)
class PairOptions:
    """How pairs are drawn.

    Attributes
    ----------
    strategy : "same_genome", two pieces of one genome that do not overlap, each on a strand of its own; "mutate", a
        piece and a copy of it with mutations; "dropout", a piece twice, which the model's dropout tells apart;
        "double_strand", a piece and its reverse complement.
    batch_size : pairs of a batch.
    length_median, length_sigma : bp, and standard deviation of the logarithm: lengths are log-normal.
    min_length, max_length : bp; lengths are drawn until they lie between.
    mutation_rate : share of the bases of a copy that are changed, half of them to another base, half lost.
    """

    strategy: str = "same_genome"
    batch_size: int = 48
    length_median: int = 7000
    length_sigma: float = 0.7
    min_length: int = 500
    max_length: int = 20_000
    mutation_rate: float = 0.05

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise InputError(
                f"found the strategy {self.strategy!r}, expected one of {', '.join(STRATEGIES)}",
                remedy="correct train.strategy",
            )
        if not MIN_SEGMENT <= self.min_length <= self.length_median <= self.max_length:
            raise InputError(
                f"found lengths of {self.min_length} to {self.max_length} bp with a median of {self.length_median}, "
                f"expected {MIN_SEGMENT} <= min_length <= length_median <= max_length",
                remedy="correct train.min_length, train.length_median and train.max_length",
            )
        if self.batch_size < 2:
            raise InputError(f"found a batch of {self.batch_size} pairs, expected at least 2")
        if not 0 <= self.mutation_rate < 1:
            raise InputError(f"found a mutation rate of {self.mutation_rate}, expected 0 to below 1")
        if self.strategy == "mutate" and not self.mutation_rate:
            raise InputError(
                "found the strategy mutate with a mutation rate of 0: both pieces of a pair would be the same",
                remedy="raise train.mutation_rate",
            )


class Pairs(NamedTuple):
    """A batch: row i of both lists is a pair, of genome i; no two rows are of one species."""

    first: list[bytes]
    second: list[bytes]
    genomes: list[TrainingGenome]


class PairSampler:
    """Batches of pairs, each of another species, so that no two rows that are called different are alike.

    Species are drawn evenly, whatever their number of genomes; then one of their genomes. Of two species that
    may be one (`genomes.alias`) a batch has one.

    Parameters
    ----------
    multiple : that the number of pairs is to be of.

    Attributes
    ----------
    n_species : that pairs are drawn from.
    n_rows : pairs of a batch: `batch_size`, or the number of species if there are fewer, down to a multiple.
    """

    def __init__(self, genomes: Sequence[TrainingGenome], options: PairOptions, *, multiple: int = 1) -> None:
        self.options = options
        by_species: dict[str, list[TrainingGenome]] = {}
        for genome in sorted(genomes, key=lambda genome: genome.name):
            by_species.setdefault(alias(genome.species), []).append(genome)
        self._species = [by_species[name] for name in sorted(by_species)]
        self.n_species = len(self._species)
        if self.n_species < 2:
            raise InputError(f"found {self.n_species} species to draw pairs from, expected at least 2")
        self.n_rows = min(options.batch_size, self.n_species) // multiple * multiple

    def draw(self, rng: np.random.Generator) -> Pairs:
        """A batch; all its first pieces have one length, and all its second ones, where the genomes are that long."""
        chosen = rng.choice(len(self._species), self.n_rows, replace=False)
        genomes = [species[rng.integers(len(species))] for species in (self._species[i] for i in chosen)]
        lengths = draw_length(self.options, rng), draw_length(self.options, rng)
        first, second = zip(*(self._draw_pair(genome, lengths, rng) for genome in genomes), strict=True)
        return Pairs(list(first), list(second), genomes)

    def _draw_pair(
        self, genome: TrainingGenome, lengths: tuple[int, int], rng: np.random.Generator
    ) -> tuple[bytes, bytes]:
        strategy = self.options.strategy
        if strategy == "same_genome":
            pieces = draw_apart(genome.segments, lengths, rng, least=self.options.min_length)
            return tuple(reverse_complement(piece) if rng.integers(2) else piece for piece in pieces)
        piece = _draw_piece(genome.segments, lengths[0], rng, self.options.min_length).cut()
        if strategy == "mutate":
            return piece, mutate(piece, self.options.mutation_rate, rng)
        return piece, reverse_complement(piece) if strategy == "double_strand" else piece


def draw_pieces(genome: TrainingGenome, n: int, options: PairOptions, rng: np.random.Generator) -> list[bytes]:
    """At most `n` pieces of a genome, of lengths of their own; no two share a base.

    The genome is tiled with pieces, of which `n` are drawn. No piece is longer than half of the longest stretch (or
    than `min_length`), so that two fit into any genome of `load_genomes`; a small one has fewer than `n`.
    """
    longest = max(options.min_length, max(map(len, genome.segments)) // 2)
    waiting: list[int] = []
    places = [
        (segment, *place)
        for segment in genome.segments
        for place in tile(len(segment), lambda: min(longest, draw_length(options, rng)), waiting)
    ]
    chosen = np.sort(rng.permutation(len(places))[:n])
    return [segment[start:stop] for segment, start, stop in (places[i] for i in chosen)]


def draw_length(options: PairOptions, rng: np.random.Generator) -> int:
    """A length in bp from the log-normal distribution, cut off (not clipped) at both ends."""
    low, high = options.min_length, options.max_length
    while not low <= (length := round(options.length_median * math.exp(options.length_sigma * rng.normal()))) <= high:
        pass
    return length


class _Place(NamedTuple):
    """A piece of a segment, not cut yet."""

    segments: Sequence[bytes]
    index: int
    start: int
    length: int

    def cut(self) -> bytes:
        return self.segments[self.index][self.start : self.start + self.length]

    def rest(self) -> list[bytes]:
        """The segments without the piece."""
        segment, stop = self.segments[self.index], self.start + self.length
        return [*self.segments[: self.index], segment[: self.start], segment[stop:], *self.segments[self.index + 1 :]]


def _draw_piece(segments: Sequence[bytes], length: int, rng: np.random.Generator, least: int) -> _Place:
    """A piece of a segment that is drawn by its length: any place in it, or all of it where it is no longer.

    Of segments shorter than `least` bp only the longest is ever drawn, where there is no other. If one that is long
    enough were preferred, most pieces of a genome in fragments would be of its longest ones.
    """
    sizes = np.array([len(segment) for segment in segments])
    edges = np.cumsum(np.where(sizes >= min(least, sizes.max()), sizes, 0))
    index = int(np.searchsorted(edges, rng.integers(edges[-1]), side="right"))
    size = len(segments[index])
    length = min(length, size)
    return _Place(segments, index, int(rng.integers(size - length + 1)), length)


def draw_apart(
    segments: Sequence[bytes], lengths: tuple[int, int], rng: np.random.Generator, *, least: int
) -> tuple[bytes, bytes]:
    """Two pieces that share no base, shorter than asked for where a segment is; the first has half the genome at most.

    They are of segments, or what is left of them, of at least `least` bp, or of the longest.
    """
    first = _draw_piece(segments, min(lengths[0], sum(map(len, segments)) // 2), rng, least)
    return first.cut(), _draw_piece(first.rest(), lengths[1], rng, least).cut()


def mutate(sequence: bytes, rate: float, rng: np.random.Generator) -> bytes:
    """A copy in which a share of the bases is changed: half of these to another base, half lost. N stays N."""
    letters = np.frombuffer(sequence, dtype=np.uint8)
    lots = rng.random(len(letters))
    codes = _CODES[letters]
    others = _BASES[(codes + rng.integers(1, 4, len(letters), dtype=np.uint8)) % 4]
    mutated = np.where((lots < rate / 2) & (codes < 4), others, letters)
    return mutated[lots < 1 - rate / 2].tobytes()

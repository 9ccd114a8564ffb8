"""A CAMI-like community: genomes cut into contigs, abundances over libraries, and depth with realistic noise."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement
from workflow_lib.simulate.evolve import SimulatedGenome
from workflow_lib.simulate.streams import random_stream

logger = logging.getLogger(__name__)

READ_LENGTH = 150  # bp
MIN_CONTIG_LENGTH = 1000  # bp; what is shorter is lost like a gap
_MEAN_GAP = 100  # bp between two contigs of a genome (exponential)
_SD_ABUNDANCE, _SD_LIBRARY = 0.7, 0.7  # of log abundance: of a genome, and of it from library to library
# Depth noise of a contig, in log units: what remains in a long one, and what comes on top at 1 kbp (as 1 / length).
_SD_LONG, _SD_AT_1_KBP = 0.18, 0.35
_GC_BIAS = 12.0  # log depth lost at a squared distance of 1 from the library's best GC: 11% at 10 percent points
_BEST_GC = (0.40, 0.55)
_OVERDISPERSION = 0.03  # of the depth along a contig: variance = depth + 0.03 depth^2


@dataclass(frozen=True)
class Contig:
    """A contig and where it comes from: `sequence` stands at [start, end) of a genome's sequence, 0-based.

    `genome` and `source` are positions in the community's genomes and in that genome's sequences; with `reverse`
    the contig is the reverse complement.
    """

    name: str
    sequence: bytes
    genome: int
    source: int
    start: int
    end: int
    reverse: bool


@dataclass(frozen=True)
class Community:
    """Contigs of several genomes and what libraries say about them.

    Attributes
    ----------
    genomes : the genomes, in the order given.
    contigs : in random order.
    libraries : names of the libraries.
    abundance : float64 (genomes, libraries), mean depth (x) of each genome.
    pairs : int64 (contigs, libraries), read pairs whose middle lies in the contig.
    variance : float64 (contigs, libraries), variance of the depth along the contig.
    """

    genomes: list[SimulatedGenome]
    contigs: list[Contig]
    libraries: list[str]
    abundance: np.ndarray
    pairs: np.ndarray
    variance: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Lengths of the contigs in bp, int64 (contigs,)."""
        return np.array([len(contig.sequence) for contig in self.contigs], dtype=np.int64)

    @property
    def depth(self) -> np.ndarray:
        """Mean depth (x) of the contigs, float64 (contigs, libraries), from the read pairs that were drawn."""
        return self.pairs * (2 * READ_LENGTH) / np.maximum(self.lengths, 1)[:, None]


def simulate_community(
    genomes: list[SimulatedGenome],
    *,
    n_libraries: int,
    mean_depth: float,
    contig_median: int,
    seed: int,
    contig_sigma: float = 1.0,
    replication: float = 1.0,
    traps: bool = True,
) -> Community:
    """Cut genomes into contigs and draw their depth in several libraries.

    Contig lengths are log-normal; contigs lie on either strand with small gaps between them, and what would be
    shorter than `MIN_CONTIG_LENGTH` is lost. Abundances are log-normal, with a mean of `mean_depth` in every library.
    The depth of a contig strays from that of its genome by about 25%: GC bias of the library, noise that shrinks with
    the length, and the counting of reads.

    Parameters
    ----------
    genomes : at least one.
    n_libraries : libraries, named library_1, library_2, ...
    mean_depth : x.
    contig_median : bp.
    seed : random seed.
    contig_sigma : standard deviation of the log of the contig length.
    replication : largest ratio of the depths at the origin and the terminus of a genome; 1: none is being copied.
    traps : make one contig rich in N and one lower case, as a filter meets them (short contigs are always there).

    Raises
    ------
    InputError
        when there is no genome, a name stands there twice, or no contig is long enough.
    """
    names = [genome.name for genome in genomes]
    if not genomes or len(set(names)) != len(names):
        raise InputError(f"found {len(names)} genomes of {len(set(names))} names, expected at least one, each once")
    rng = random_stream(seed, "community")
    contigs = _cut_genomes(genomes, contig_median, contig_sigma, rng)
    if not contigs:
        raise InputError(
            f"no contig of {MIN_CONTIG_LENGTH} bp or more could be cut from {len(genomes)} genomes",
            remedy="give longer genomes or raise simulate.contig_median",
        )
    abundance = _draw_abundance(len(genomes), n_libraries, mean_depth, rng)
    expected = abundance[[contig.genome for contig in contigs]]
    if replication > 1:
        expected = expected * _copy_genomes(genomes, contigs, replication, seed, n_libraries)
    pairs, variance = _draw_depth(contigs, expected, rng)
    if traps:
        contigs = _set_traps(contigs)
    libraries = [f"library_{i + 1}" for i in range(n_libraries)]
    community = Community(genomes, contigs, libraries, abundance, pairs, variance)
    logger.info(
        "cut %d genomes into %d contigs, %.2f Mbp; %d read pairs in %d libraries",
        *(len(genomes), len(contigs), community.lengths.sum() / 1e6, pairs.sum(), n_libraries),
    )
    return community


def _cut_genomes(genomes: list[SimulatedGenome], median: int, sigma: float, rng: np.random.Generator) -> list[Contig]:
    places = []
    for genome, simulated in enumerate(genomes):
        for source, sequence in enumerate(simulated.sequences):
            end = 0
            while end < len(sequence):
                start = end + int(rng.exponential(_MEAN_GAP))
                end = start + max(1, int(rng.lognormal(np.log(median), sigma)))
                # A rest too short for a contig goes to the last one.
                if len(sequence) - end < MIN_CONTIG_LENGTH:
                    end = len(sequence)
                if end - start >= MIN_CONTIG_LENGTH:
                    places.append((genome, source, start, end))
    reverse = rng.random(len(places)) < 0.5
    width = len(str(len(places)))
    contigs = []
    for number, i in enumerate(rng.permutation(len(places)), start=1):
        genome, source, start, end = places[i]
        sequence = genomes[genome].sequences[source][start:end]
        if reverse[i]:
            sequence = reverse_complement(sequence)
        name = f"S0C{number:0{width}d}"
        contigs.append(Contig(name, sequence, genome, source, start, end, bool(reverse[i])))
    return contigs


def _draw_abundance(n_genomes: int, n_libraries: int, mean_depth: float, rng: np.random.Generator) -> np.ndarray:
    log_abundance = _SD_ABUNDANCE * rng.standard_normal((n_genomes, 1))
    log_abundance = log_abundance + _SD_LIBRARY * rng.standard_normal((n_genomes, n_libraries))
    abundance = np.exp(log_abundance)
    return abundance * (mean_depth / abundance.mean(axis=0))


def _copy_genomes(
    genomes: list[SimulatedGenome], contigs: list[Contig], replication: float, seed: int, n_libraries: int
) -> np.ndarray:
    """Depth of a contig over the geometric mean of its genome's while it is copied, float64 (contigs, libraries).

    Depth falls evenly in its logarithm from the origin, the first base of a genome, to the terminus half-way round it
    (Korem et al. 2015, Science 349:1101). Genomes and, less, libraries differ in how fast they grow.
    """
    rng = random_stream(seed, "replication")
    growth = rng.uniform(0, 1, size=(len(genomes), 1)) * rng.uniform(0.5, 1, size=(len(genomes), n_libraries))
    starts = [np.cumsum([0, *map(len, genome.sequences)]) for genome in genomes]
    place = np.array([(starts[c.genome][c.source] + (c.start + c.end) / 2) / starts[c.genome][-1] for c in contigs])
    from_terminus = np.abs(2 * place - 1)[:, None] - 0.5  # 0.5 at the origin, -0.5 at the terminus
    return replication ** (growth[[contig.genome for contig in contigs]] * from_terminus)


def _draw_depth(contigs: list[Contig], expected: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Read pairs and variance of depth, (contigs, libraries) each, of contigs of an expected depth before all noise."""
    lengths = np.array([len(contig.sequence) for contig in contigs])[:, None]
    gc = np.array([gc_content([contig.sequence]) for contig in contigs])[:, None]
    best_gc = rng.uniform(*_BEST_GC, size=expected.shape[1])
    sd = np.sqrt(_SD_LONG**2 + _SD_AT_1_KBP**2 * 1000 / lengths)
    noise = sd * rng.standard_normal(expected.shape) - sd**2 / 2
    expected = expected * np.exp(noise - _GC_BIAS * (gc - best_gc) ** 2)
    pairs = rng.poisson(expected * lengths / (2 * READ_LENGTH))
    depth = pairs * (2 * READ_LENGTH) / lengths
    return pairs, depth * (1 + _OVERDISPERSION * depth) * rng.gamma(25, 1 / 25, size=depth.shape)


def gc_content(sequences: list[bytes] | tuple[bytes, ...]) -> float:
    """Share of G and C among A, C, G and T; 0 where there are none."""
    gc = sum(sequence.count(b"G") + sequence.count(b"C") for sequence in sequences)
    total = gc + sum(sequence.count(b"A") + sequence.count(b"T") for sequence in sequences)
    return gc / total if total else 0.0


def _set_traps(contigs: list[Contig]) -> list[Contig]:
    """The contigs, with N in the middle fifth of one and lower case in another, both of median length."""
    order = sorted(range(len(contigs)), key=lambda i: len(contigs[i].sequence))
    middle = len(order) // 2
    changed = list(contigs)
    n_rich, lower = order[middle], order[middle - 1]
    sequence = contigs[n_rich].sequence
    fifth = len(sequence) // 5
    masked = sequence[: 2 * fifth] + b"N" * fifth + sequence[3 * fifth :]
    changed[n_rich] = replace(contigs[n_rich], sequence=masked)
    if lower != n_rich:
        changed[lower] = replace(contigs[lower], sequence=contigs[lower].sequence.lower())
    return changed

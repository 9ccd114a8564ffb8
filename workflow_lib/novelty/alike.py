"""Genomes that are of one species by the sequence they share, whatever their names say."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from workflow_lib.novelty.identity import KNOWN_SHARE, SPECIES_IDENTITY, K, Matches, pair_identities
from workflow_lib.taxonomy import tell_apart

logger = logging.getLogger(__name__)

# Identity from which on genomes are of one species whatever their names: species of GTDB reach from their type to 0.95,
# or, where another type is near, to 0.97 at most (Parks et al. 2020, Nat. Biotechnol. 38:1079).
ONE_SPECIES = 0.97
_N_TOLD = 5  # pairs that a warning names


@dataclass(frozen=True)
class Alike:
    """E pairs of a calibrating genome and another one that is of its species by identity.

    Attributes
    ----------
    genome, other : int64 (E,), positions in the index; `genome` ascends.
    identity : float64 (E,). share : float64 (E,), of the genome's pieces, of what matches the other.
    sizes : int64 (G,), bp of each genome of the index.
    held, holder : int64 (H,), pairs of a calibrating genome and another one that has a part of it, however small.
    """

    genome: np.ndarray
    other: np.ndarray
    identity: np.ndarray
    share: np.ndarray
    sizes: np.ndarray
    held: np.ndarray
    holder: np.ndarray

    def of(self, genome: int) -> slice:
        """Where the pairs of a genome are."""
        return slice(*np.searchsorted(self.genome, [genome, genome + 1]))

    def join(self, codes: np.ndarray) -> np.ndarray:
        """Codes, int64 (G,), where the taxa that a pair links are one: a third or more of each genome.

        The share of the other genome is that of the genome's bp: the other need not calibrate. A small genome that is
        the foreign part of a contaminated one links nothing, or a few such genomes would make one of many genera.

        Parameters
        ----------
        codes : int64 (G,), taxon of each genome at a rank; -1, no name, stays.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        share_of_other = self.share * self.sizes[self.genome] / self.sizes[self.other]
        large = np.minimum(self.share, share_of_other) >= KNOWN_SHARE
        one, two = codes[self.genome[large]], codes[self.other[large]]
        linked = (one >= 0) & (two >= 0) & (one != two)
        if not linked.any():
            return codes
        n_taxa = int(codes.max()) + 1
        links = coo_array((np.ones(linked.sum()), (one[linked], two[linked])), shape=(n_taxa, n_taxa))
        return np.where(codes < 0, -1, connected_components(links, directed=False)[1][codes])


def find_alike(matches: Matches, genomes: np.ndarray, calibrating: np.ndarray, sizes: np.ndarray) -> Alike:
    """The pairs of calibrating genomes with others that are of their species by the identity of what they share.

    A tenth of the pieces is enough (`identity.FULL_SHARE`): of many reference genomes only a part is known. A genome
    that has the identity in one segment holds a part.

    Parameters
    ----------
    genomes : int64 (P,), position in `calibrating` of each piece's genome.
    calibrating : int64 (B,), ascending positions of genomes in the index.
    sizes : int64 (G,), bp of each genome of the index.
    """
    group, other, identity, share = pair_identities(matches, genomes, len(sizes))
    alike = (identity >= SPECIES_IDENTITY) & (calibrating[group] != other)
    held = calibrating[genomes[matches.owner[matches.segment]]]
    is_held = (matches.shared >= SPECIES_IDENTITY**K * matches.size[matches.segment]) & (held != matches.genome)
    holders = np.divmod(np.unique(held[is_held] * len(sizes) + matches.genome[is_held]), len(sizes))
    return Alike(calibrating[group[alike]], other[alike], identity[alike], share[alike], sizes, *holders)


def warn_of_names(
    alike: Alike, ranks: Iterable[np.ndarray], genomes: list[str], lineages: list[dict[str, str]]
) -> None:
    """Say how many pairs have different names at a rank, and name those that are most alike.

    Parameters
    ----------
    ranks : codes, int64 (G,), of the taxa at each rank; -1 for no name.
    genomes, lineages : of the G genomes.
    """
    differ = np.zeros(len(alike.genome), dtype=bool)
    for codes in ranks:
        one, two = codes[alike.genome], codes[alike.other]
        differ |= (one >= 0) & (two >= 0) & (one != two)
    if not differ.any():
        return
    pairs, first = np.unique(np.sort([alike.genome[differ], alike.other[differ]], axis=0), axis=1, return_index=True)
    identity = alike.identity[differ][first]
    told = []
    for place in np.argsort(-identity, kind="stable")[:_N_TOLD]:
        one, two = sorted(pairs[:, place].tolist(), key=genomes.__getitem__)
        names = tell_apart(lineages[one], lineages[two])
        told.append(f"{genomes[one]} ({names[0]}) and {genomes[two]} ({names[1]}), {identity[place]:.3f}")
    logger.warning(
        "pairs of reference genomes with different names and sequences of one species: %d (identity %s or more; %d of "
        "%s or more, as two species hardly ever have). Where one of a pair calibrates with its taxon left out, the "
        "other is left out, too. The most alike: %s",
        *(len(identity), SPECIES_IDENTITY, np.count_nonzero(identity >= ONE_SPECIES), ONE_SPECIES, "; ".join(told)),
    )

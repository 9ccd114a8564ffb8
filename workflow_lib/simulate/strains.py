"""Close strains of any genomes: substitutions and short indels down to a given identity."""

from __future__ import annotations

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.simulate.evolve import SimulatedGenome
from workflow_lib.simulate.streams import random_stream

STRAIN_SUFFIX = ".strain"  # of the name of an evolved strain, behind that of its parent
_INDEL_SHARE = 0.05  # indels a substitution
_INDEL_MEAN = 3  # bp (geometric)
_LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)


def evolve_strains(
    genomes: list[SimulatedGenome], *, n_strains: int, identity: tuple[float, float], seed: int
) -> list[SimulatedGenome]:
    """Evolve a strain of each of `n_strains` genomes, drawn at random; its name is `<genome>.strain`.

    The share of bases that stay is drawn evenly from `identity`, so that the average nucleotide identity to the parent
    is that. Gene content and order stay, which makes strains as alike in composition as they can be: only depth and
    the substitutions tell them apart.

    Parameters
    ----------
    genomes : from which the parents are drawn, in this order.
    n_strains : at most as many as genomes.
    identity : lowest and highest share of bases that stay.
    seed : random seed.

    Raises
    ------
    InputError
        when there are more strains than genomes, or the identities are no shares in ascending order.
    """
    low, high = identity
    if n_strains > len(genomes):
        raise InputError(f"{n_strains} strains of {len(genomes)} genomes were asked for, expected at most one of each")
    if not 0 < low <= high <= 1:
        raise InputError(f"strains of an identity between {low:g} and {high:g}, expected 0 < lowest <= highest <= 1")
    chosen = sorted(random_stream(seed, "strains").choice(len(genomes), size=n_strains, replace=False).tolist())
    strains = []
    for parent in chosen:
        rng = random_stream(seed, "strains", parent)
        rate = 1 - rng.uniform(low, high)
        sequences = tuple(mutate(sequence, rate, rng) for sequence in genomes[parent].sequences)
        strains.append(SimulatedGenome(f"{genomes[parent].name}{STRAIN_SUFFIX}", sequences, genomes[parent].taxonomy))
    return strains


def mutate(sequence: bytes, rate: float, rng: np.random.Generator) -> bytes:
    """A copy in which a share `rate` of A, C, G and T is another base, and one in 20 of these is a short indel instead.

    Other letters stay as they are.
    """
    bases = np.frombuffer(sequence, dtype=np.uint8)
    codes = np.searchsorted(_LETTERS, bases).clip(0, 3)
    hit = (rng.random(len(bases)) < rate) & (_LETTERS[codes] == bases)
    places = np.flatnonzero(hit)
    is_indel = rng.random(len(places)) < _INDEL_SHARE
    changed = bases.copy()
    substituted = places[~is_indel]
    changed[substituted] = _LETTERS[(codes[substituted] + rng.integers(1, 4, size=len(substituted))) % 4]
    parts, end = [], 0
    for place in places[is_indel].tolist():
        length = int(rng.geometric(1 / _INDEL_MEAN))
        parts.append(changed[end:place])
        if rng.random() < 0.5:
            parts.append(_LETTERS[rng.integers(0, 4, size=length)])
            length = 0
        end = max(end, place + length)
    return np.concatenate([*parts, changed[end:]]).tobytes()

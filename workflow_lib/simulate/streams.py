"""Random streams: one for each purpose and part, so that no part's draws depend on those of another."""

from __future__ import annotations

import numpy as np

_PURPOSES = ("evolution", "lineages", "genomes", "community", "reads", "strains", "halves", "replication")


def random_stream(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """The generator of a purpose (`_PURPOSES`) and, within it, of a part named by `key`."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_PURPOSES.index(purpose), *key)))

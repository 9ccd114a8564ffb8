"""Random binnings with their truth, for the evaluation's tests."""

from dataclasses import dataclass

import numpy as np
import pytest


@dataclass
class Community:
    assignments: dict[str, str]
    truth: dict[str, str]
    lengths: dict[str, int]
    kept: set[str]


@pytest.fixture
def make_community():
    def make(
        seed: int, *, contigs=400, genomes=12, bins=15, right=0.8, binned=0.8, named=0.95, min_length=3000
    ) -> Community:
        """Contigs of genomes; `right` of the binned ones are in their genome's bin; `named` of all have a truth."""
        rng = np.random.default_rng(seed)
        names = [f"c{number}" for number in range(contigs)]
        of_genome = rng.integers(genomes, size=contigs)
        in_bin = np.where(rng.random(contigs) < right, of_genome % bins, rng.integers(bins, size=contigs))
        lengths = dict(zip(names, rng.integers(500, 200_000, contigs).tolist(), strict=True))
        kept = {name for name in names if lengths[name] >= min_length}
        truth = {name: f"g{genome}" for name, genome in zip(names, of_genome, strict=True) if rng.random() < named}
        assignments = {
            name: f"b{number}"
            for name, number in zip(names, in_bin, strict=True)
            if name in kept and rng.random() < binned
        }
        return Community(assignments, truth, lengths, kept)

    return make

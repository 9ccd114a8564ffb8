"""A world of vectors: phyla, genera, species and strains as clusters in clusters, and contigs around the strains."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from workflow_lib.index import load_index
from workflow_lib.index.windows import format_window
from workflow_lib.novelty.build import build_calibrated_index
from workflow_lib.novelty.calibration_set import read_calibration
from workflow_lib.store import EmbeddingStore

DIM = 24
STRATA = [2500, 5000, 10_000]
MANIFEST = {
    "embedder": "synthetic",
    "fingerprint": "f" * 64,
    "dim": DIM,
    "window": 10_000,
    "strata": STRATA,
    "seed": 1,
    "genomes_left_out": {},
}
# Standard deviation a dimension of each level around the one above it; the noise of a piece.
SPREAD = {"phylum": 1.0, "genus": 0.35, "species": 0.15, "strain": 0.04}
NOISE = 0.08
LENGTHS = {0: 3500, 1: 7000}


@dataclass
class World:
    """Genomes drawn from one random tree; every taxon has its own seed, so that worlds of other sizes share it."""

    rng: np.random.Generator
    centres: dict = field(default_factory=dict)

    def centre(self, lineage: tuple[int, ...]) -> np.ndarray:
        """The centre of a taxon (phylum,), (phylum, genus), ..., (phylum, genus, species, strain)."""
        if lineage not in self.centres:
            above = self.centre(lineage[:-1]) if len(lineage) > 1 else np.zeros(DIM)
            spread = SPREAD[list(SPREAD)[len(lineage) - 1]]
            self.centres[lineage] = above + spread * self.rng.standard_normal(DIM)
        return self.centres[lineage]

    def draw(self, lineage: tuple[int, ...], n: int, noise: float = NOISE) -> np.ndarray:
        """Vectors of n pieces of a strain, float32 unit rows."""
        rows = self.centre(lineage) + noise * self.rng.standard_normal((n, DIM))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def name_genome(lineage):
    return "g" + ".".join(map(str, lineage))


def taxonomy_of(lineage):
    phylum, genus, species, _ = lineage
    return {"phylum": f"p{phylum}", "genus": f"g{phylum}.{genus}", "species": f"s{phylum}.{genus}.{species}"}


def make_stores(world, lineages, *, windows=6, pieces=4):
    """Stores of windows and pieces as `embed_reference` makes them."""
    names, rows = {False: [], True: []}, {False: [], True: []}
    for lineage in lineages:
        groups = [(False, windows, 10_000)] + [(True, pieces, length) for length in LENGTHS.values()]
        for is_piece, n, length in groups:
            rows[is_piece].append(world.draw(lineage, n))
            names[is_piece] += [format_window(name_genome(lineage), f"c{i}", 0, length) for i in range(n)]
    return tuple(EmbeddingStore(np.concatenate(rows[kind]), names[kind], dict(MANIFEST)) for kind in (False, True))


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """build(world, lineages, taxonomy=True, k=1, ...) -> (index, calibration, folder), through the files."""

    def run(world, lineages, *, taxonomy=True, k=1, windows=6, pieces=4, n_genomes=2000, factory="Flat"):
        folder = tmp_path_factory.mktemp("index")
        stores = make_stores(world, lineages, windows=windows, pieces=pieces)
        lineage_of = {name_genome(lineage): taxonomy_of(lineage) for lineage in lineages} if taxonomy else {}
        build_calibrated_index(
            *stores, lineage_of, folder, factory=factory, neighbours=k, n_pieces=pieces, n_genomes=n_genomes
        )
        index = load_index(folder)
        return index, read_calibration(folder, index), folder

    return run


@pytest.fixture(scope="session")
def make_world():
    return lambda seed: World(np.random.default_rng(seed))

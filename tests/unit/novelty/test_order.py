"""An index whose genomes came in another order makes the same calls."""

import numpy as np
import pytest
from test_sketch import mutate, random_sequence

from workflow_lib.embed import load_embedder
from workflow_lib.fasta import write_fasta
from workflow_lib.index import load_index
from workflow_lib.index.reference import embed_reference
from workflow_lib.novelty import Settings, call_bins, call_contigs, read_calibration
from workflow_lib.novelty.build import build_calibrated_index
from workflow_lib.novelty.conformal import Calibration
from workflow_lib.novelty.honesty import measure_calibration
from workflow_lib.novelty.identity import best_identities
from workflow_lib.novelty.scores import nearest_genomes, nearest_means
from workflow_lib.novelty.sketch import sketch_genomes
from workflow_lib.tables import Genome

SETTINGS = Settings(alpha=0.2, min_length=2500, min_calibration=10)
LENGTH = 24_000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Fourteen species of two strains, and contigs of old and new ones: (genomes, contigs, folder).

    In every other species the second strain is the first one in two contigs, so that all ways to measure have ties.
    """
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("order")
    genera = [random_sequence(rng, LENGTH) for _ in range(8)]
    genomes = []
    for number in range(14):
        species = mutate(rng, genera[number // 2], 0.05)
        for strain in range(2):
            name = f"{(number * 2 + strain) * 11 % 28:02d}"
            taxonomy = {"phylum": f"p{number // 7}", "genus": f"g{number // 2}", "species": f"s{number}"}
            sequence = mutate(rng, species, 0.01 * strain * (number % 2))
            parts = [sequence[:10_000], sequence[10_000:]] if strain else [sequence]
            write_fasta(folder / f"{name}.fa", [(f"c{i}", part) for i, part in enumerate(parts)])
            genomes.append(Genome(name, str(folder / f"{name}.fa"), taxonomy))
    sources = [mutate(rng, genus, 0.05) for genus in genera]
    contigs = [source[start : start + 4000] for source in sources for start in range(0, LENGTH, 4000)]
    return genomes, contigs, folder


def call(world, genomes, folder):
    """p of contigs and bins, and the names of the nearest genomes, of an index of the genomes in their order."""
    _, contigs, shards = world
    embedder = load_embedder("tnf", threads=1)
    windows, pieces = embed_reference(
        *(embedder, genomes), window=5000, strata=(2500, 5000), pieces=8, seed=1, shard_folder=shards / "shards",
        shard_mbp=1,
    )  # fmt: skip
    by_name, sketch = {genome.name: genome for genome in genomes}, sketch_genomes(genomes, scale=20)
    build_calibrated_index(
        *(windows, pieces, {name: genome.taxonomy for name, genome in by_name.items()}, folder), factory="Flat",
        neighbours=1, n_pieces=8, contamination=0.3, sketch=sketch, genomes=by_name,
    )  # fmt: skip
    measure_calibration(folder, by_name, folder / "tried", settings=SETTINGS, seed=1)
    index = load_index(folder)
    calibration = read_calibration(folder, index)
    names, lengths = [f"c{i}" for i in range(len(contigs))], np.array([len(contig) for contig in contigs])
    bins = {f"bin.{i}": np.arange(6) + 6 * i for i in range(len(contigs) // 6)}
    queries = embedder.embed(contigs), names, lengths, SETTINGS
    matches = sketch.match(contigs, index.table.genomes)
    found = (
        call_contigs(index, calibration, *queries, bins=bins, matches=matches),
        call_bins(index, calibration, bins, *queries, matches=matches),
    )
    return [(one.calls.p, [index.table.genomes[code] for code in one.neighbours.genome]) for one in found]


def test_calls_do_not_depend_on_the_order_of_genomes(world, tmp_path):
    genomes, *_ = world
    given = call(world, genomes, tmp_path / "given")
    assert all(np.isfinite(p).any() for p, _ in given)
    for number in range(2):
        other = [genomes[i] for i in np.random.default_rng(number).permutation(len(genomes))]
        for (p, nearest), (p_other, nearest_other) in zip(
            given, call(world, other, tmp_path / str(number)), strict=True
        ):
            np.testing.assert_array_equal(p_other, p)
            assert nearest_other == nearest
        for name in ("strata.tsv", "rates.tsv", "distances.tsv"):
            assert (tmp_path / str(number) / "tried" / name).read_bytes() == (
                tmp_path / "given" / "tried" / name
            ).read_bytes()


def test_of_genomes_that_are_equally_near_the_first_by_name_counts():
    distances, order, spread = np.array([[0.5, 0.1, 0.1, 0.3, 0.3]]), np.array([0, 2, 1, 4, 3]), np.arange(1, 6.0)
    assert nearest_genomes(distances, order).tolist() == [[2]]
    assert sorted(nearest_genomes(distances, order, 3)[0]) == [1, 2, 4]
    for k in (1, 2, 3, 5):
        for given in np.random.default_rng(0).permuted(np.tile(np.arange(5), (6, 1)), axis=1):
            found = nearest_means(distances[:, given], spread[given], k, order[given])
            assert found == nearest_means(distances, spread, k, order)


def test_of_genomes_that_are_equally_alike_the_first_by_name_is_the_nearest():
    pairs = np.zeros(3, np.int64), np.arange(3), np.array([0.9, 0.95, 0.95]), np.ones(3)
    assert best_identities(pairs, 1)[1].tolist() == [1]
    assert best_identities(pairs, 1, np.array([0, 2, 1]))[1].tolist() == [2]


def test_quantiles_do_not_depend_on_the_order_of_pieces():
    rng = np.random.default_rng(0)
    scores, units = rng.integers(0, 3, 200).round(6).astype(float), rng.integers(0, 40, 200)
    wanted = vars(Calibration(scores, units))
    order = rng.permutation(200)
    for name, value in vars(Calibration(scores[order], units[order])).items():
        np.testing.assert_array_equal(value, wanted[name])

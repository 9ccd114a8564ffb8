"""Close strains of given genomes and the sets that binners are compared on."""

import numpy as np
import pytest

from workflow_lib.depth.table import read_depth_table
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.simulate import SimulatedGenome, evolve_strains
from workflow_lib.simulate.benchmark_set import BenchmarkSet, write_drawn_depth, write_set
from workflow_lib.simulate.strains import mutate


def random_sequence(length: int, seed: int) -> bytes:
    return np.random.default_rng(seed).choice(np.frombuffer(b"ACGT", dtype=np.uint8), length).tobytes()


def make_genomes(n: int, length: int = 40_000) -> list[SimulatedGenome]:
    return [SimulatedGenome(f"g{i}", (random_sequence(length, i),), {}) for i in range(n)]


def test_substitutions_have_the_rate_that_was_asked_for():
    sequence = random_sequence(200_000, 1)
    changed = mutate(sequence, 0.02, np.random.default_rng(0))
    # One change in 20 is an indel, of 3 bp on average and as often in as out.
    assert abs(len(changed) - len(sequence)) < 600
    head = np.frombuffer(sequence[:20], dtype=np.uint8), np.frombuffer(changed[:20], dtype=np.uint8)
    assert (head[0] == head[1]).mean() > 0.5
    pyskani = pytest.importorskip("pyskani")
    database = pyskani.Database()
    database.sketch("parent", sequence)
    (hit,) = database.query("strain", changed, learned_ani=False)
    assert hit.identity == pytest.approx(0.98, abs=0.004)  # skani's own error at this length


def test_other_letters_stay_and_no_rate_changes_nothing():
    assert mutate(b"N" * 500, 0.5, np.random.default_rng(0)) == b"N" * 500
    sequence = random_sequence(500, 2)
    assert mutate(sequence, 0.0, np.random.default_rng(0)) == sequence


def test_strains_are_drawn_once_each_and_the_same_for_a_seed():
    genomes = make_genomes(6, 2000)
    strains = evolve_strains(genomes, n_strains=4, identity=(0.97, 0.99), seed=3)
    parents = [strain.name.removesuffix(".strain") for strain in strains]
    assert len(set(parents)) == 4 and set(parents) <= {genome.name for genome in genomes}
    assert strains == evolve_strains(genomes, n_strains=4, identity=(0.97, 0.99), seed=3)
    assert parents != [
        s.name.removesuffix(".strain") for s in evolve_strains(genomes, n_strains=4, identity=(1, 1), seed=4)
    ]


@pytest.mark.parametrize(("n", "identity", "message"), [(3, (0.9, 1), "3 strains of 2"), (1, (0.99, 0.9), "between")])
def test_impossible_strains_are_refused(n, identity, message):
    with pytest.raises(InputError, match=message):
        evolve_strains(make_genomes(2, 2000), n_strains=n, identity=identity, seed=1)


@pytest.fixture
def chosen() -> BenchmarkSet:
    return BenchmarkSet("tiny", 4, 1, 2, 3000, False, False, 1.0, 0.7, 10, (0.97, 0.99), 1500, 0.1)


@pytest.fixture
def table(tmp_path):
    rows = ["genome_id\tfasta"]
    for genome in make_genomes(3):
        sequence = genome.sequences[0]
        if genome.name == "g0":  # a gap, as of a scaffold
            sequence = sequence[:10_000] + b"N" * 12_000 + sequence[22_000:]
        write_fasta(tmp_path / f"{genome.name}.fa.gz", [("s", sequence)])
        rows.append(f"{genome.name}\t{tmp_path / genome.name}.fa.gz")
    path = tmp_path / "genomes.tsv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_set_keeps_its_truth_and_gives_binners_long_contigs_only(tmp_path, table, chosen):
    community = chosen.draw(table, 1)
    write_set(chosen, community, contigs=tmp_path / "contigs.fa.gz", truth=tmp_path / "truth.tsv")
    halves = [tmp_path / f"halves/{i}.tsv" for i in range(2)]
    write_drawn_depth(chosen, community, depth=tmp_path / "depth.tsv", halves=halves, seed=1)
    header, *rows = [line.split("\t") for line in (tmp_path / "truth.tsv").read_text().splitlines()]
    assert header == ["contig", "genome", "length", "kept"] and len(rows) == len(community.contigs)
    assert len({row[1] for row in rows}) == 4
    given = {record.name: record.sequence for record in read_fasta(tmp_path / "contigs.fa.gz")}
    assert list(given) == [row[0] for row in rows if row[3] == "1"]
    assert min(map(len, given.values())) >= 1500 and max(s.count(b"N") / len(s) for s in given.values()) <= 0.1
    assert any(int(row[2]) >= 1500 and row[3] == "0" for row in rows)  # the gap
    names, lengths = list(given), [len(sequence) for sequence in given.values()]
    depth = read_depth_table(tmp_path / "depth.tsv", names, lengths, library="library")
    assert list(depth) == ["library.library_1", "library.library_2"]
    for path, (mean, _) in zip(halves, depth.values(), strict=True):
        fields = [line.split("\t") for line in path.read_text().splitlines()]
        assert [name for name, _ in fields] == [f"{name}_{half}" for name in names for half in (1, 2)]
        values = np.array([float(value) for _, value in fields]).reshape(-1, 2)
        np.testing.assert_allclose(values.mean(axis=1), mean, rtol=2e-5)  # six digits were written
        assert (values[:, 0] != values[:, 1]).mean() > 0.5


def test_every_job_draws_the_same_community(table, chosen):
    one, other = chosen.draw(table, 2), chosen.draw(table, 2)
    assert one.contigs == other.contigs and (one.pairs == other.pairs).all()
    assert chosen.draw(table, 3).contigs != one.contigs

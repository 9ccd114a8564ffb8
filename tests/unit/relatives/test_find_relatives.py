"""The nearest species of contigs, found from real sketches of drawn genomes."""

import csv

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement, write_fasta
from workflow_lib.novelty.sketch import sketch_genomes, write_sketch
from workflow_lib.relatives import find
from workflow_lib.relatives.find import find_relatives
from workflow_lib.simulate.strains import mutate
from workflow_lib.tables import Genome, load_reference

NEAR, FAR = 0.01, 0.08  # share of bases by which the reference genomes of two species differ from the sample's genome


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A genome, an unrelated one, and a reference of two strains of species x, one of y, and one without a species."""
    folder, rng = tmp_path_factory.mktemp("relatives"), np.random.default_rng(4)
    genome, other = (bytes(rng.choice(np.frombuffer(b"ACGT", np.uint8), 80_000)) for _ in range(2))
    sequences = {
        "y": mutate(genome, FAR, rng),
        "x_far": mutate(genome, 2 * NEAR, rng),
        "x_near": mutate(genome, NEAR, rng),
        "nameless": mutate(other, NEAR, rng),
    }
    rows = ["genome_id\tfasta\ttaxonomy"]
    for name, sequence in sequences.items():
        write_fasta(folder / f"{name}.fa.gz", [("s", sequence)])
        species = "" if name == "nameless" else f"g__A;s__A {name[0]}"
        rows.append(f"{name}\t{folder}/{name}.fa.gz\t{species}")
    (folder / "reference.tsv").write_text("\n".join(rows) + "\n")
    genomes = load_reference(folder / "reference.tsv")
    write_sketch(folder / "sketch", sketch_genomes(genomes.values(), scale=20))
    return folder, genome, other


def table_of(folder, tmp_path, contigs):
    write_fasta(tmp_path / "contigs.fa.gz", contigs)
    find_relatives(tmp_path / "contigs.fa.gz", folder / "sketch", folder / "reference.tsv", tmp_path / "t.tsv")
    with open(tmp_path / "t.tsv", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_nearest_genome_of_each_species_and_its_identity(world, tmp_path):
    folder, genome, other = world
    rng = np.random.default_rng(5)
    drawn = bytes(rng.choice(np.frombuffer(b"ACGT", np.uint8), 9000))
    contigs = [("a", genome[5000:25_000]), ("b", reverse_complement(genome[5000:25_000])), ("n", b"N" * 4000)]
    contigs += [("drawn", drawn), ("other", other[:8000]), ("half", genome[:10_000] + drawn)]
    contigs += [("part", genome[:10_000] + bytes(rng.choice(np.frombuffer(b"ACGT", np.uint8), 30_000)))]
    rows = {row["contig"]: row for row in table_of(folder, tmp_path, contigs)}
    assert list(rows) == [name for name, _ in contigs]
    assert (rows["a"]["species"], rows["a"]["genome"], rows["a"]["next_species"]) == ("A x", "x_near", "A y")
    assert abs(float(rows["a"]["identity"]) - (1 - NEAR)) < 0.004
    assert abs(float(rows["a"]["next_identity"]) - (1 - FAR)) < 0.012
    assert {**rows["a"], "contig": "b"} == rows["b"]  # the other strand
    assert (rows["other"]["species"], rows["other"]["next_species"]) == ("nameless", "")
    assert not any(rows[name][column] for name in ("n", "drawn") for column in list(rows["n"])[2:])
    # A contig half of which is of another genome is not of that species.
    half = (0.8 * 10 / 19) ** (1 / 21)
    assert rows["n"]["hashes"] == "0" and abs(int(rows["a"]["hashes"]) - 1000) < 150
    assert rows["half"]["species"] == "A x" and abs(float(rows["half"]["identity"]) - half) < 0.01
    # Three quarters of it are in segments without a match.
    assert abs(float(rows["part"]["identity"]) - (0.8 / 4) ** (1 / 21)) < 0.01


def test_of_equals_the_first_genome_is_the_nearest(world, tmp_path):
    folder, genome, _ = world
    copies = [Genome(name, str(folder / "x_near.fa.gz"), {}) for name in ("b", "a")]
    nearest = find.find_nearest(sketch_genomes(copies, scale=20), [genome[:9000]], np.array([1, 1]))
    assert nearest.genome.tolist() == [[0, -1]] and nearest.species.tolist() == [[1, -1]]
    nearest = find.find_nearest(sketch_genomes(copies, scale=20), [genome[:9000]], np.array([1, 0]))
    assert nearest.genome.tolist() == [[0, 1]] and nearest.species.tolist() == [[1, 0]]


def test_contigs_are_compared_in_batches(world, tmp_path, monkeypatch):
    folder, genome, other = world
    contigs = [(f"c{i}", (genome, other)[i % 2][3000 * i : 3000 * (i + 1)]) for i in range(20)]
    at_once = table_of(folder, tmp_path, contigs)
    assert sum(bool(row["species"]) for row in at_once) == 20
    monkeypatch.setattr(find, "_BATCH", 7000)
    assert table_of(folder, tmp_path, contigs) == at_once


def test_no_contigs_are_a_header(world, tmp_path):
    assert table_of(world[0], tmp_path, []) == []
    assert (tmp_path / "t.tsv").read_text() == "\t".join(find.COLUMNS) + "\n"


def test_a_sketch_of_another_reference_is_refused(world, tmp_path):
    folder, genome, _ = world
    write_fasta(tmp_path / "c.fa", [("a", genome[:5000])])
    (tmp_path / "reference.tsv").write_text(f"genome_id\tfasta\nx_far\t{folder}/x_far.fa.gz\n")
    with pytest.raises(InputError, match=r"3 genomes of the sketch .* the first is y"):
        find_relatives(tmp_path / "c.fa", folder / "sketch", tmp_path / "reference.tsv", tmp_path / "t.tsv")
    assert not (tmp_path / "t.tsv").exists()

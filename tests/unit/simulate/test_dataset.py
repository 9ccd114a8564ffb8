import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from workflow_lib.config import validate_config
from workflow_lib.contig2bin import read_contig2bin
from workflow_lib.errors import InputError
from workflow_lib.fasta import open_input, read_fasta, write_fasta
from workflow_lib.simulate import (
    draw_genomes,
    evolve_community_and_reference,
    novelty_rank,
    simulate_community,
    write_dataset,
)
from workflow_lib.simulate.example import write_example
from workflow_lib.tables import Genome, load_libraries, load_reference, load_samples


@pytest.fixture(scope="module")
def evolved():
    return evolve_community_and_reference(n_genomes=5, n_reference=8, genome_length=20_000, seed=1)


@pytest.fixture(scope="module")
def community(evolved):
    return simulate_community(evolved[0], n_libraries=2, mean_depth=3, contig_median=4000, seed=1)


def rows(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, decompressed: gzip bytes may differ between processors."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with open_input(path) as handle:
            found[path.relative_to(folder).as_posix()] = handle.read()
    return found


@pytest.mark.parametrize("read_pairs", [True, False])
def test_tables_load_and_name_the_files(tmp_path, evolved, community, read_pairs):
    write_dataset(tmp_path, community, reference=evolved[1], read_pairs=read_pairs, seed=1)
    samples = load_samples(tmp_path / "samples.tsv")
    libraries = load_libraries(tmp_path / "libraries.tsv", groups={sample.group for sample in samples.values()})
    reference = load_reference(tmp_path / "reference.tsv")
    assert list(samples) == ["simulated"]
    assert {library.kind for library in libraries.values()} == {"paired" if read_pairs else "depth"}
    assert list(libraries) == community.libraries
    assert (tmp_path / "reads").exists() == read_pairs
    written = {name: tuple(r.sequence for r in read_fasta(genome.fasta)) for name, genome in reference.items()}
    assert written == {genome.name: genome.sequences for genome in evolved[1]}
    assert [genome.taxonomy for genome in reference.values()] == [genome.taxonomy for genome in evolved[1]]


def test_contigs_truth_and_depth_have_the_same_rows(tmp_path, evolved, community):
    write_dataset(tmp_path, community, reference=evolved[1], read_pairs=False, seed=1)
    names = [contig.name for contig in community.contigs]
    assert [record.name for record in read_fasta(tmp_path / "contigs.fa.gz")] == names
    truth = rows(tmp_path / "truth" / "contigs.tsv")
    assert [row["contig"] for row in truth] == names
    genome_of = {row["contig"]: row["genome"] for row in truth}
    assert read_contig2bin(tmp_path / "truth" / "contigs.tsv") == genome_of
    assert read_contig2bin(tmp_path / "truth" / "gold_standard.binning") == genome_of
    assert "@@SEQUENCEID\tBINID\tLENGTH\n" in (tmp_path / "truth" / "gold_standard.binning").read_text()
    for i, library in enumerate(community.libraries):
        table = rows(tmp_path / "depth" / f"{library}.tsv")
        assert [row["contig"] for row in table] == names
        np.testing.assert_allclose([float(row[library]) for row in table], community.depth[:, i], rtol=1e-5)
        np.testing.assert_allclose([float(row[f"{library}-var"]) for row in table], community.variance[:, i], rtol=1e-5)


def test_novelty_truth_is_that_against_the_reference(tmp_path, evolved, community):
    write_dataset(tmp_path, community, reference=evolved[1], read_pairs=False, seed=1)
    novelty = {row["genome"]: row["novelty"] for row in rows(tmp_path / "truth" / "genomes.tsv")}
    reference = [genome.taxonomy for genome in evolved[1]]
    assert novelty == {genome.name: novelty_rank(genome.taxonomy, reference) for genome in evolved[0]}
    assert list(novelty.values()) == ["known", "species", "genus", "known", "phylum"]
    assert {(row["genome"], row["novelty"]) for row in rows(tmp_path / "truth" / "contigs.tsv")} <= set(novelty.items())


def test_config_is_valid_on_top_of_the_default(tmp_path, root, evolved, community):
    write_dataset(tmp_path, community, reference=evolved[1], read_pairs=False, seed=1)
    config = yaml.safe_load((root / "config" / "config.yaml").read_text())
    ours = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert set(ours["pathvars"]) == set(config["pathvars"])
    validate_config(config | ours, root / "config" / "schemas" / "config.schema.yaml")


def test_the_users_reference_or_none_decides_the_novelty(tmp_path, evolved, community):
    lineages = [genome.taxonomy for genome in evolved[0]]
    write_dataset(
        tmp_path / "a", community, reference=None, user_reference=("my.tsv", lineages), read_pairs=False, seed=1
    )
    assert {row["novelty"] for row in rows(tmp_path / "a" / "truth" / "genomes.tsv")} == {"known"}
    assert yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())["reference"] == "my.tsv"
    write_dataset(tmp_path / "b", community, reference=None, read_pairs=False, seed=1)
    assert {row["novelty"] for row in rows(tmp_path / "b" / "truth" / "genomes.tsv")} == {""}
    assert yaml.safe_load((tmp_path / "b" / "config.yaml").read_text())["reference"] is None
    assert not (tmp_path / "b" / "reference.tsv").exists()


def test_same_seed_same_bytes(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        genomes, reference = evolve_community_and_reference(n_genomes=2, n_reference=2, genome_length=8000, seed=3)
        community = simulate_community(genomes, n_libraries=1, mean_depth=2, contig_median=3000, seed=3)
        write_dataset("simulation", community, reference=reference, read_pairs=True, seed=3)
    files = {path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert len(files) == 13
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_genomes_of_a_table(tmp_path):
    table = {}
    for i in range(6):
        path = tmp_path / f"g{i}.fa.gz"
        write_fasta(path, [("a", b"ACGT" * (400 + i)), ("b", b"GGCA" * 300)])
        table[f"g{i}"] = Genome(f"g{i}", str(path), {"species": f"s{i}"})
    drawn = draw_genomes(table, n_genomes=4, seed=1)
    names = [genome.name for genome in drawn]
    assert len(set(names)) == 4
    assert names == sorted(names)
    number = int(names[0][1:])
    assert drawn[0].sequences == (b"ACGT" * (400 + number), b"GGCA" * 300)
    assert drawn[0].taxonomy == {"species": f"s{number}"}
    assert draw_genomes(table, n_genomes=4, seed=1) == drawn
    with pytest.raises(InputError, match="has 6 genomes"):
        draw_genomes(table, n_genomes=7, seed=1)
    (tmp_path / "g2.fa.gz").unlink()
    with pytest.raises(InputError, match="no such file"):
        draw_genomes(table, n_genomes=6, seed=1)


def test_the_example_of_the_repository_is_what_the_code_writes(tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_example("tests/data/example", "config")
    assert contents(tmp_path / "tests") == {
        f"data/example/{name}": content for name, content in contents(root / "tests" / "data" / "example").items()
    }
    for table in ("samples.tsv", "libraries.tsv", "reference.tsv"):
        assert (tmp_path / "config" / table).read_text() == (root / "config" / table).read_text()


def test_the_example_is_small(root):
    assert sum(path.stat().st_size for path in (root / "tests" / "data" / "example").rglob("*")) < 2_500_000

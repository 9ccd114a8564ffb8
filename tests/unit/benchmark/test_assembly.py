"""The truth of assembled contigs."""

import csv
import logging

import numpy as np
import pytest

from workflow_lib.benchmark.assembly import label_assembly
from workflow_lib.fasta import read_fasta, reverse_complement, write_fasta
from workflow_lib.simulate import evolve_genomes, reference_lineages, simulate_community
from workflow_lib.simulate.benchmark_set import BenchmarkSet
from workflow_lib.simulate.evolve import SimulatedGenome
from workflow_lib.simulate.strains import mutate

CHOSEN = BenchmarkSet("built", 4, 1, 1, 3000, True, True, 1.0, 0.7, 10, (0.97, 0.99), 1500, 0.1)


@pytest.fixture(scope="module")
def community():
    genomes = evolve_genomes(reference_lineages(3), genome_length=30_000, seed=3)
    strain = mutate(genomes[0].sequences[0], 0.02, np.random.default_rng(1))
    genomes.append(SimulatedGenome("strain", (strain,), genomes[0].taxonomy))
    return simulate_community(genomes, n_libraries=1, mean_depth=10, contig_median=3000, seed=1)


def label(tmp_path, community, contigs) -> tuple[dict[str, list[str]], list[str]]:
    write_fasta(tmp_path / "assembly.fa", contigs)
    files = {"contigs": tmp_path / "contigs.fa.gz", "truth": tmp_path / "truth.tsv"}
    label_assembly(tmp_path / "assembly.fa", CHOSEN, community, **files)
    with open(files["truth"]) as handle:
        rows = {
            row["contig"]: [row["genome"], row["length"], row["kept"]] for row in csv.DictReader(handle, delimiter="\t")
        }
    return rows, [record.name for record in read_fasta(files["contigs"])]


def test_contigs_get_the_genome_that_they_are_from(tmp_path, community, caplog):
    first, second, _, strain = community.genomes
    one, two, close = first.sequences[0], second.sequences[0], strain.sequences[0]
    rng = np.random.default_rng(2)
    contigs = [
        ("own", one[1000:4000]),
        ("turned", reverse_complement(two[2000:4000])),
        ("close", close[5000:8000]),  # at 98% identity to the first
        ("chimera", one[:700] + two[:1400]),
        ("short", two[10_000:10_600]),
        ("close_and_short", close[9000:9500]),
        ("least", two[12_000:13_500]),
        ("most_n", one[8000:9800] + b"N" * 200),
        ("full_of_n", one[8000:11_000] + b"N" * 600),
        ("strange", bytes(rng.choice(list(b"ACGT"), 2000).tolist())),
    ]
    with caplog.at_level(logging.INFO):
        rows, given = label(tmp_path, community, contigs)
    assert rows == {
        "own": [first.name, "3000", "1"],
        "turned": [second.name, "2000", "1"],
        "close": ["strain", "3000", "1"],
        "chimera": [second.name, "2100", "1"],
        "short": [second.name, "600", "0"],
        "close_and_short": ["strain", "500", "0"],
        "least": [second.name, "1500", "1"],
        "most_n": [first.name, "2000", "1"],
        "full_of_n": [first.name, "3600", "0"],
    }
    assert given == ["own", "turned", "close", "chimera", "least", "most_n"]
    assert "1 share hardly any k-mers with any genome" in caplog.text


def test_an_assembly_of_nothing(tmp_path, community):
    assert label(tmp_path, community, []) == ({}, [])

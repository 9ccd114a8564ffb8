"""Bins of archaea are rated by the families that archaea have."""

import csv

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.markers import MarkerCounts, read_counts
from workflow_lib.markers.counts import MarkerGene, write_marker_quality, write_marker_tables
from workflow_lib.markers.domains import find_archaeal, is_archaeal
from workflow_lib.markers.kmer_search import find_kmer_markers
from workflow_lib.markers.table import load_table

M, ARCHAEAL = 71, np.arange(71) < 35


def having(*families) -> np.ndarray:
    return np.isin(np.arange(M), families)


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        (range(33), True),  # a whole archaeon
        (range(9), True),
        (range(8), False),  # eight families say too little
        ([], False),
        (range(71), False),
        ([*range(33), 40, 50, 60], True),  # with some contigs of a bacterium
        ([*range(12), 40, 50], False),
        (range(0, 71, 2), False),  # half a bacterium
        (range(35, 71), False),
    ],
)
def test_an_archaeon_has_the_families_of_archaea_and_hardly_another(families, expected):
    assert is_archaeal(having(*families), ARCHAEAL) is expected


def test_where_all_families_are_in_archaea_no_bin_is_told_to_be_one():
    everywhere = np.ones(M, dtype=bool)
    assert not any(is_archaeal(having(*range(n)), everywhere) for n in range(M + 1))


def test_the_families_of_archaea_are_those_that_many_of_them_have():
    rng = np.random.default_rng(1)
    share = np.where(ARCHAEAL, 0.3, 0.01)  # parts of genomes
    assert (find_archaeal(rng.random((50, M)) < share) == ARCHAEAL).all()
    many = np.repeat([[8] * 10 + [4] * 40 + [1] * 21], 1, axis=0)  # of 20 genomes
    found = np.arange(20)[:, None] < many
    assert find_archaeal(found).tolist() == [True] * 50 + [False] * 21
    assert not find_archaeal(np.zeros((3, M), dtype=bool)).any()


def quality(path, counts, archaeal) -> dict[str, str]:
    markers = MarkerCounts([f"m{i}" for i in range(M)], counts, archaeal)
    write_marker_quality(path, markers, ["a", "b"], {"a": "bin.1", "b": "bin.1"})
    with open(path, newline="") as handle:
        return next(csv.DictReader(handle, delimiter="\t"))


def test_only_the_families_of_its_domain_rate_a_bin(tmp_path):
    counts = np.zeros((2, M), dtype=np.uint8)
    counts[0, :20], counts[1, 15:28], counts[1, 50] = 1, 1, 2
    row = quality(tmp_path / "bins.tsv", counts, ARCHAEAL)
    assert (row["domain"], row["families"], row["found"], row["doubled"]) == ("Archaea", "35", "28", "5")
    assert float(row["completeness"]) == pytest.approx(28 / 35) and float(row["contamination"]) == pytest.approx(5 / 35)
    counts[1, 35:] = 1
    row = quality(tmp_path / "bins.tsv", counts, ARCHAEAL)
    assert (row["domain"], row["families"], row["found"], row["doubled"]) == ("", "71", "64", "5")
    row = quality(tmp_path / "bins.tsv", counts, None)
    assert (row["domain"], row["families"], row["found"]) == ("", "71", "64")
    few = np.zeros((2, M), dtype=np.uint8)
    few[0, :7] = 1  # 0.2 of the families of archaea, but less than a tenth of all
    row = quality(tmp_path / "bins.tsv", few, ARCHAEAL)
    assert (row["domain"], row["completeness"], row["found"], row["families"]) == ("", "", "7", "71")


@pytest.mark.parametrize("in_archaea", [ARCHAEAL.tolist(), [None] * M, [True] * 70 + [None]])
def test_what_archaea_have_comes_back_from_the_table(tmp_path, in_archaea):
    paths = {"genes_table": tmp_path / "genes.tsv", "families_table": tmp_path / "families.tsv"}
    genes = [MarkerGene("a", f"m{i}", 1, 30, "+", 50.0) for i in range(30)]
    write_marker_tables(genes, [(f"m{i}", "score", 22.0, in_archaea[i]) for i in range(M)], **paths)
    markers = read_counts(**paths, contigs=["a"])
    if None in in_archaea:
        assert markers.archaeal is None
    else:
        assert markers.archaeal.tolist() == in_archaea
    write_marker_quality(tmp_path / "bins.tsv", markers, ["a"], {"a": "bin.1"})
    with open(tmp_path / "bins.tsv", newline="") as handle:
        row = next(csv.DictReader(handle, delimiter="\t"))
    expected = ("", "71", "0.422535") if None in in_archaea else ("Archaea", "35", "0.857143")
    assert (row["domain"], row["families"], row["completeness"]) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("marker\tcutoff\tvalue\nm1\tscore\t22\n", "expected the columns marker, cutoff, value, in_archaea"),
        ("marker\tcutoff\tvalue\tin_archaea\nm1\tscore\t22\n", r"families\.tsv, line 2.*found 3 columns, expected 4"),
        ("marker\tcutoff\tvalue\tin_archaea\nm1\tscore\t22\tYes\n", "another word in in_archaea than yes and no"),
    ],
)
def test_damaged_tables_of_families_are_told(tmp_path, text, message):
    (tmp_path / "families.tsv").write_text(text)
    (tmp_path / "genes.tsv").write_text("contig\tmarker\tstart\tend\tstrand\tscore\n")
    with pytest.raises(InputError, match=message):
        read_counts(tmp_path / "genes.tsv", tmp_path / "families.tsv", [])
    with pytest.raises(InputError, match="archaeal families"):
        MarkerCounts(["m1"], np.zeros((1, 1), dtype=np.uint8), np.ones(2, dtype=bool))


@pytest.mark.shared
def test_real_genomes_get_their_domain(shared, tmp_path):
    """Genomes that the families were not learned from; two whole archaea are over three quarters complete."""
    table = load_table()
    assert 30 <= np.count_nonzero(table.archaeal) <= 40

    def families_of(folder, genome) -> np.ndarray:
        paths = {"genes_table": tmp_path / "genes.tsv", "families_table": tmp_path / "families.tsv"}
        find_kmer_markers(shared / "genomes" / folder / f"{genome}.fa.gz", **paths)
        with open(paths["genes_table"], newline="") as handle:
            found = {row["marker"] for row in csv.DictReader(handle, delimiter="\t")}
        return np.isin(table.families, list(found))

    with open(shared / "genomes/dev.tsv", newline="") as handle:
        domain_of = {row["genome_id"]: row["domain"] for row in csv.DictReader(handle, delimiter="\t")}
    bacteria = [genome for genome, domain in domain_of.items() if domain == "Bacteria"][::3]
    archaea = [genome for genome, domain in domain_of.items() if domain == "Archaea"]
    assert len(archaea) == 12
    for genome in archaea:
        found = families_of("dev", genome)
        assert is_archaeal(found, table.archaeal) or found.mean() < 0.1
    assert not any(is_archaeal(families_of("dev", genome), table.archaeal) for genome in bacteria)
    for genome in ("GCF_000970185.1", "PopCOGenT_M1622_contigs.fasta"):
        found = families_of("reference_full", genome)
        assert found.mean() < 0.5 and found[table.archaeal].mean() > 0.75

"""Marker genes from contigs to completeness, with HMMs of made-up families and genomes that hold their genes."""

import csv

import numpy as np
import pytest
from protein_families import N_FAMILIES, genome, write_hmms

from workflow_lib.errors import InputError, ToolError
from workflow_lib.fasta import write_fasta
from workflow_lib.markers import MarkerCounts, marker_quality, read_counts
from workflow_lib.markers.counts import write_marker_quality
from workflow_lib.markers.genes import find_hmm_markers
from workflow_lib.quality import Quality, read_quality


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def search(folder, contigs: dict[str, str], **options) -> tuple[list, list]:
    write_fasta(folder / "contigs.fa.gz", ((name, sequence.encode()) for name, sequence in contigs.items()))
    paths = {"genes_table": folder / "genes.tsv", "families_table": folder / "families.tsv"}
    n = find_hmm_markers(folder / "contigs.fa.gz", folder / "markers.hmm", **paths, **options)
    found = rows(paths["genes_table"])
    assert n == len(found)
    return found, rows(paths["families_table"])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two genomes, one with all families and one with seven."""
    folder = tmp_path_factory.mktemp("markers")
    names = write_hmms(folder / "markers.hmm")
    contigs = {f"a{i}": sequence for i, sequence in enumerate(genome(1))}
    contigs |= {f"b{i}": sequence for i, sequence in enumerate(genome(2, range(7)))}
    genes, families = search(folder, contigs)
    return folder, contigs, names, genes, families


def test_every_gene_is_found_once_where_it_is(found):
    _, contigs, names, genes, families = found
    assert [row["marker"] for row in families] == names
    expected = sorted([("a", name) for name in names] + [("b", name) for name in names[:7]])
    assert sorted((row["contig"][0], row["marker"]) for row in genes) == expected
    for row in genes:
        sequence = contigs[row["contig"]][int(row["start"]) - 1 : int(row["end"])]
        assert row["strand"] == "+"
        assert len(sequence) % 3 == 0 and sequence[-3:] == "TAA"
        assert float(row["score"]) > 50


def test_threads_do_not_matter(found, tmp_path):
    folder, contigs, *_ = found
    (tmp_path / "markers.hmm").write_bytes((folder / "markers.hmm").read_bytes())
    search(tmp_path, contigs, threads=3)
    assert (tmp_path / "genes.tsv").read_bytes() == (folder / "genes.tsv").read_bytes()


def test_a_cutoff_in_the_file_decides(tmp_path):
    write_hmms(tmp_path / "markers.hmm", gathering=5000.0, n_families=3)
    genes, families = search(tmp_path, {"c": genome(1, range(3), n_contigs=1)[0]})
    assert genes == []
    assert [row["cutoff"] for row in families] == ["gathering"] * 3
    assert [float(row["value"]) for row in families] == [5000.0] * 3


def test_counts_and_quality_of_bins(found, tmp_path):
    folder, contigs, names, *_ = found
    markers = read_counts(folder / "genes.tsv", folder / "families.tsv", list(contigs))
    assert markers.families == names
    assert markers.counts.sum() == N_FAMILIES + 7
    both = dict.fromkeys(contigs, "both")
    write_marker_quality(tmp_path / "both.tsv", markers, list(contigs), both)
    assert read_quality(tmp_path / "both.tsv") == {"both": Quality(1.0, pytest.approx(7 / N_FAMILIES, abs=1e-5))}
    apart = {name: name[0] for name in contigs}
    write_marker_quality(tmp_path / "apart.tsv", markers, list(contigs), apart)
    assert read_quality(tmp_path / "apart.tsv") == {
        "a": Quality(1.0, 0.0),
        "b": Quality(pytest.approx(7 / N_FAMILIES, abs=1e-5), 0.0),
    }
    assert [row["doubled"] for row in rows(tmp_path / "both.tsv")] == ["7"]


def test_no_contigs_and_no_bins(tmp_path):
    write_hmms(tmp_path / "markers.hmm", n_families=2)
    assert search(tmp_path, {})[0] == []
    markers = read_counts(tmp_path / "genes.tsv", tmp_path / "families.tsv", [])
    write_marker_quality(tmp_path / "bins.tsv", markers, [], {})
    assert rows(tmp_path / "bins.tsv") == []
    assert read_quality(tmp_path / "bins.tsv") == {}


def test_n_and_short_contigs(tmp_path):
    write_hmms(tmp_path / "markers.hmm", n_families=1)
    assert search(tmp_path, {"n": "N" * 5000, "short": "ACG", "iupac": "RYSWKM" * 300})[0] == []


def test_quality_counts_genes_beyond_the_first():
    counts = np.array([[1, 0, 2, 0], [1, 0, 1, 0]], dtype=np.uint8)
    assert marker_quality(counts) == Quality(0.5, 0.75)
    assert marker_quality(counts).score == pytest.approx(0.5 - 5 * 0.75)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", r"markers\.hmm"), (b"no profile\n", r"markers\.hmm: cannot be read as HMMs")]
)
def test_files_that_are_no_hmms(tmp_path, content, message):
    (tmp_path / "markers.hmm").write_bytes(content)
    with pytest.raises(InputError, match=message):
        search(tmp_path, {"c": "ACGT" * 100})


def test_two_hmms_of_one_name(tmp_path):
    write_hmms(tmp_path / "one.hmm", n_families=1)
    (tmp_path / "markers.hmm").write_bytes((tmp_path / "one.hmm").read_bytes() * 2)
    with pytest.raises(InputError, match="two HMMs are called 'family0'"):
        search(tmp_path, {"c": "ACGT" * 100})


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"correct markers\.hmm"):
        search(tmp_path, {"c": "ACGT" * 100})


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    import importlib

    def refuse(name, *rest):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ToolError, match=r"pyhmmer is not installed.*\n.*--sdm conda"):
        search(tmp_path, {"c": "ACGT" * 100})


def test_counts_of_other_contigs(found):
    folder, contigs, *_ = found
    with pytest.raises(InputError, match="is not known"):
        read_counts(folder / "genes.tsv", folder / "families.tsv", ["other"])
    with pytest.raises(InputError, match="expected the columns contig, marker, start"):
        read_counts(folder / "families.tsv", folder / "families.tsv", list(contigs))
    with pytest.raises(InputError, match="expected"):
        MarkerCounts(["x"], np.zeros((2, 2), dtype=np.uint8))

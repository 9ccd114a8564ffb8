"""Bins of folders are rated as the samples' own: the same genes, whatever their contigs are called."""

import csv

import pytest
from protein_families import genome, write_hmms

from workflow_lib.bin_folders import name_folders
from workflow_lib.fasta import write_fasta
from workflow_lib.markers.counts import read_counts, write_marker_quality
from workflow_lib.markers.find import find_markers
from workflow_lib.markers.folders import rate_folders


def rows(path) -> dict[str, dict[str, str]]:
    with open(path, newline="") as handle:
        return {row.pop("bin"): row for row in csv.DictReader(handle, delimiter="\t")}


@pytest.fixture
def hmm(tmp_path):
    write_hmms(tmp_path / "families.hmm")
    return {"method": "hmm", "hmm": tmp_path / "families.hmm", "e_value": 1e-10}


def test_bins_of_folders_have_the_quality_of_the_same_bins_of_a_sample(tmp_path, hmm):
    """Contigs of all bins are called k1, k2, ..., as those of several assemblies are."""
    bins = {"whole": genome(1), "half": genome(2)[:3], "twice": genome(3) + genome(4)[:2]}
    folders, own, assignments = [tmp_path / "x/run_1", tmp_path / "x/run_2"], [], {}
    for number, (name, contigs) in enumerate(bins.items()):
        folder = folders[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write_fasta(folder / f"{name}.fa.gz", ((f"k{i}", text.encode()) for i, text in enumerate(contigs)))
        for text in contigs:
            own.append((f"c{len(own)}", text.encode()))
            assignments[own[-1][0]] = f"run_{number % 2 + 1}.{name}"
    write_fasta(folders[0] / "empty.fa.gz", [])
    assert rate_folders(name_folders(folders, []), tmp_path / "out/markers.tsv", **hmm) == 3
    write_fasta(tmp_path / "own.fa.gz", own)
    tables = {"genes_table": tmp_path / "genes.tsv", "families_table": tmp_path / "families.tsv"}
    find_markers(tmp_path / "own.fa.gz", **tables, **hmm)
    names = [name for name, _ in own]
    write_marker_quality(tmp_path / "own.tsv", read_counts(*tables.values(), names), names, assignments)
    found = rows(tmp_path / "out/markers.tsv")
    assert found == rows(tmp_path / "own.tsv")
    assert float(found["run_1.whole"]["completeness"]) > 0.9 > 0.6 > float(found["run_2.half"]["completeness"]) > 0.3
    assert float(found["run_1.twice"]["contamination"]) > 0.2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["markers.tsv"]


def test_the_shipped_families_rate_folders_too(tmp_path):
    (tmp_path / "bins").mkdir()
    write_fasta(tmp_path / "bins/b.fa.gz", [("c", b"ACGT" * 1000)])
    rate_folders({"bins": tmp_path / "bins"}, tmp_path / "markers.tsv", method="kmers")
    assert (
        rows(tmp_path / "markers.tsv")["bins.b"] | {"found": "0", "completeness": ""}
        == rows(tmp_path / "markers.tsv")["bins.b"]
    )


def test_folders_without_bins(tmp_path):
    (tmp_path / "bins").mkdir()
    assert rate_folders({"bins": tmp_path / "bins"}, tmp_path / "markers.tsv", method="kmers") == 0
    assert rows(tmp_path / "markers.tsv") == {}

"""Bins of several samples become genome clusters: real sequences, mutated and cut, through skani."""

import csv
import shutil

import numpy as np
import pytest

from workflow_lib.dereplicate import cluster_genomes, describe_genomes
from workflow_lib.dereplicate.stage import COLUMNS, dereplicate_bins
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.quality import Quality, read_quality

LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)


def random_genome(seed: int, n_bp: int = 400_000) -> np.ndarray:
    return LETTERS[np.random.default_rng(seed).integers(0, 4, n_bp)]


def mutate(genome: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """A copy in which a share `rate` of the bases is another one."""
    rng = np.random.default_rng(seed)
    changed = np.flatnonzero(rng.random(len(genome)) < rate)
    copy = genome.copy()
    codes = np.searchsorted(LETTERS, copy[changed])
    copy[changed] = LETTERS[(codes + rng.integers(1, 4, len(changed))) % 4]
    return copy


def contigs(genome: np.ndarray, share: float = 1.0, seed: int = 0) -> list[bytes]:
    pieces = [genome[i : i + 8000].tobytes() for i in range(0, len(genome), 8000)]
    kept = np.random.default_rng(seed).random(len(pieces)) < share
    return [piece for piece, keep in zip(pieces, kept, strict=True) if keep]


def write_bin(folder, name: str, sequences: list[bytes]):
    folder.mkdir(parents=True, exist_ok=True)
    write_fasta(folder / f"{name}.fa.gz", ((f"{name}_{i}", sequence) for i, sequence in enumerate(sequences)))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Two samples: a genome shared (a strain 2% away, half of it), one 10% away, one in each alone."""
    folder = tmp_path_factory.mktemp("bins")
    first, second, third = (random_genome(seed) for seed in (1, 2, 3))
    write_bin(folder / "a", "bin.1", contigs(first))
    write_bin(folder / "a", "bin.2", contigs(second))
    write_bin(folder / "b", "bin.1", contigs(third))
    write_bin(folder / "b", "bin.2", contigs(mutate(second, 0.1, 5)))
    write_bin(folder / "b", "bin.3", contigs(mutate(first, 0.02, 4), 0.5))
    return {"a": folder / "a", "b": folder / "b"}


def members(clusters) -> list[list[str]]:
    return [[member.genome.name for member in cluster] for cluster in clusters]


def test_strains_share_a_cluster_and_species_do_not(sources):
    clusters = cluster_genomes(describe_genomes(sources))
    assert members(clusters) == [["a.bin.1", "b.bin.3"], ["a.bin.2"], ["b.bin.1"], ["b.bin.2"]]
    strain = clusters[0][1]
    assert strain.representative.name == "a.bin.1"
    assert strain.ani == pytest.approx(0.98, abs=0.006)  # skani's error on 200 kbp
    assert strain.aligned > 0.85 > 0.6 > strain.aligned_representative > 0.35


def test_the_order_of_the_genomes_does_not_matter(sources):
    genomes = describe_genomes(sources)
    assert members(cluster_genomes(genomes[::-1])) == members(cluster_genomes(genomes))


def test_identity_and_aligned_share_decide(sources):
    genomes = describe_genomes(sources)
    assert len(cluster_genomes(genomes, min_ani=0.995)) == 5
    assert len(cluster_genomes(genomes, min_ani=0.85)) == 3
    assert len(cluster_genomes(genomes, min_aligned=0.99)) == 5


def test_the_best_quality_represents_and_comes_before_none(sources):
    qualities = {"b": {"bin.3": Quality(0.5, 0.0)}}
    clusters = cluster_genomes(describe_genomes(sources, qualities))
    assert members(clusters)[0] == ["b.bin.3", "a.bin.1"]
    qualities["a"] = {"bin.1": Quality(0.95, 0.1)}  # 0.95 - 5 x 0.1 is less than 0.5
    assert members(cluster_genomes(describe_genomes(sources, qualities)))[0] == ["b.bin.3", "a.bin.1"]
    qualities["a"] = {"bin.1": Quality(0.95, 0.08)}
    assert members(cluster_genomes(describe_genomes(sources, qualities)))[0] == ["a.bin.1", "b.bin.3"]


def test_a_whole_archaeon_with_doubled_families_comes_before_a_part(tmp_path):
    table = tmp_path / "bins.tsv"
    rows = "whole\tArchaea\t0.943\t0.143\npart\tArchaea\t0.7\t0.057\n"
    table.write_text("bin\tdomain\tcompleteness\tcontamination\n" + rows + "mixed\tArchaea\t0.9\t0.2\n")
    found = read_quality(table)
    assert found["whole"].score == pytest.approx(0.943 - 5 * (0.143 - 0.11 * 0.943**2))
    assert found["whole"].score > found["part"].score > found["mixed"].score
    table.write_text("Name\tCompleteness\tContamination\nx\t90\t14.3\n")
    assert read_quality(table)["x"].score == pytest.approx(0.9 - 5 * 0.143)  # as published


def test_halves_of_one_genome_meet(tmp_path):
    genome = random_genome(7)
    write_bin(tmp_path / "a", "x", contigs(genome, 0.5, seed=1))
    write_bin(tmp_path / "b", "y", contigs(mutate(genome, 0.01, 1), 0.5, seed=2))
    assert len(cluster_genomes(describe_genomes({"a": tmp_path / "a", "b": tmp_path / "b"}))) == 1


def read(path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_files(sources, tmp_path):
    quality = tmp_path / "quality_report.tsv"
    quality.write_text("Name\tCompleteness\tContamination\tModel\nbin.1\t90.5\t1.5\tx\n")
    other = tmp_path / "other_run"
    write_bin(other, "MAG-7", [record.sequence for record in read_fasta(sources["a"] / "bin.2.fa.gz")])
    (other / "x.unbinned.fa").write_text(">u\nACGT\n")
    n = dereplicate_bins(
        sources, tmp_path / "out/clusters.tsv", tmp_path / "out/fasta", folders=[other], qualities={"b": quality}
    )
    rows = read(tmp_path / "out/clusters.tsv")
    assert list(rows[0]) == list(COLUMNS)
    assert (n, len(rows)) == (4, 6)
    assert rows[0] | {"genome": "b.bin.1", "completeness": "0.905", "contamination": "0.015", "ani": "1"} == rows[0]
    (pair,) = [[row["genome"] for row in rows if row["cluster"] == name] for name in ("cluster.3",)]
    assert pair == ["a.bin.2", "other_run.MAG-7"]
    written = {path.name for path in (tmp_path / "out/fasta").iterdir()}
    assert written == {f"{row['genome']}.fa.gz" for row in rows if row["representative"] == "yes"}
    original = list(read_fasta(sources["a"] / "bin.2.fa.gz"))
    assert list(read_fasta(tmp_path / "out/fasta/a.bin.2.fa.gz")) == original


@pytest.mark.parametrize("n_bins", [0, 1])
def test_no_bin_and_one_bin(tmp_path, n_bins):
    (tmp_path / "s").mkdir()
    for i in range(n_bins):
        write_bin(tmp_path / "s", f"bin.{i + 1}", contigs(random_genome(1, 50_000)))
    assert dereplicate_bins({"s": tmp_path / "s"}, tmp_path / "clusters.tsv", tmp_path / "fasta") == n_bins
    assert len(read(tmp_path / "clusters.tsv")) == n_bins
    assert len(list((tmp_path / "fasta").iterdir())) == n_bins


def test_a_bin_of_a_few_short_contigs_is_a_cluster_of_its_own(tmp_path):
    write_bin(tmp_path / "s", "tiny", [b"ACGT" * 20])
    write_bin(tmp_path / "s", "empty", [b""])
    assert members(cluster_genomes(describe_genomes({"s": tmp_path / "s"}))) == [["s.tiny"]]


def test_own_bins_of_two_samples_of_another_run(sources, tmp_path):
    """All of novabin's folders are called fasta; the samples are called as those of this run."""
    others = []
    for name, source in sources.items():
        others.append(tmp_path / f"old/results/bins/{name}/fasta")
        shutil.copytree(source, others[-1])
    dereplicate_bins(sources, tmp_path / "t.tsv", tmp_path / "f", folders=others)
    found = {row["source"]: [r["bin"] for r in read(tmp_path / "t.tsv") if r["source"] == row["source"]]
             for row in read(tmp_path / "t.tsv")}  # fmt: skip
    assert found.keys() == {"a", "b", "bins_a", "bins_b"}
    assert sorted(found["bins_b"]) == sorted(found["b"])


def test_bins_of_folders_are_ranked_by_their_quality(sources, tmp_path):
    other = tmp_path / "other"
    write_bin(other, "MAG", [record.sequence for record in read_fasta(sources["a"] / "bin.1.fa.gz")])
    header = "bin\tcompleteness\tcontamination\n"
    for name, text in {"a": "bin.1\t0.8\t0\n", "other": "other.MAG\t0.9\t0\nanother.MAG\t0.1\t0\n"}.items():
        (tmp_path / f"{name}.tsv").write_text(header + text)
    dereplicate_bins(
        {"a": sources["a"]}, tmp_path / "t.tsv", tmp_path / "f", folders=[other],
        qualities={"a": tmp_path / "a.tsv"}, folder_qualities=tmp_path / "other.tsv",
    )  # fmt: skip
    first, second = [row for row in read(tmp_path / "t.tsv") if row["cluster"] == "cluster.1"]
    assert (first["genome"], first["completeness"], second["genome"]) == ("other.MAG", "0.9", "a.bin.1")
    assert (tmp_path / "f/other.MAG.fa.gz").is_file()


def test_a_bin_has_no_quality_of_another_folders_bin(sources, tmp_path):
    """Bin `y.1` of folder x, which is not rated, and bin `1` of folder y, which is."""
    for folder, name in (("x", "y.1"), ("y", "1")):
        write_bin(tmp_path / folder, name, [record.sequence for record in read_fasta(sources["a"] / "bin.1.fa.gz")])
    (tmp_path / "rated.tsv").write_text("bin\tcompleteness\tcontamination\ny.1\t0.95\t0.01\n")
    folders = [tmp_path / "x", tmp_path / "y"]
    rated = tmp_path / "rated.tsv"
    dereplicate_bins({}, tmp_path / "t.tsv", tmp_path / "f", folders=folders, folder_qualities=rated)
    assert {row["genome"]: row["completeness"] for row in read(tmp_path / "t.tsv")} == {"y.1": "0.95", "x.y.1": ""}


def test_a_folder_of_a_samples_own_bins(sources, tmp_path):
    with pytest.raises(InputError, match="the bins of the sample 'a', which are clustered anyway"):
        dereplicate_bins(sources, tmp_path / "t.tsv", tmp_path / "f", folders=[sources["a"]])


def test_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        describe_genomes({"s": tmp_path / "none"})


@pytest.mark.parametrize("text", ["", "bin\tx\n", "bin\tcompleteness\tcontamination\nb\thalf\t0\n"])
def test_a_table_that_is_no_quality(tmp_path, text):
    (tmp_path / "q.tsv").write_text(text)
    with pytest.raises(InputError, match=r"q\.tsv"):
        read_quality(tmp_path / "q.tsv")


def test_a_bin_without_markers_has_no_quality(tmp_path):
    (tmp_path / "q.tsv").write_text("bin\tcompleteness\tcontamination\nb\t0.5\t0.25\nc\t\t\n")
    assert read_quality(tmp_path / "q.tsv") == {"b": Quality(0.5, 0.25)}


@pytest.mark.shared
def test_real_genomes_and_their_strains(shared, tmp_path):
    """Real genomes and copies with 2% and 8% of the bases changed, half of the contigs of each."""
    files = sorted((shared / "genomes/reference_full").glob("*.fa.gz"))[:6]
    for number, file in enumerate(files):
        whole = np.frombuffer(b"".join(record.sequence for record in read_fasta(file)), dtype=np.uint8)
        whole = whole[np.isin(whole, LETTERS)]
        write_bin(tmp_path / "a", f"g{number}", contigs(whole, 0.7, seed=number))
        write_bin(tmp_path / "b", f"g{number}", contigs(mutate(whole, 0.02, number), 0.5, seed=number + 50))
        write_bin(tmp_path / "c", f"g{number}", contigs(mutate(whole, 0.08, number), 0.7, seed=number + 90))
    clusters = cluster_genomes(describe_genomes({name: tmp_path / name for name in "abc"}))
    assert sorted(map(sorted, members(clusters))) == sorted(
        [[f"a.g{i}", f"b.g{i}"] for i in range(6)] + [[f"c.g{i}"] for i in range(6)]
    )

"""Several samples, given bins and marker genes through the real workflow."""

import csv
import shutil

import pytest
from running import run_snakemake

DATA = "tests/data/example"
ARGUMENTS = (
    "samples=samples.tsv", "libraries=libraries.tsv", "reference=null", "markers={method: hmm, hmm: markers.hmm}",
)  # fmt: skip


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def write_hmms(folder, root):
    import importlib.util

    path = root / "tests/unit/markers/protein_families.py"
    spec = importlib.util.spec_from_file_location("protein_families", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_hmms(folder / "markers.hmm", n_families=3)


@pytest.fixture(scope="module")
def two_samples(tmp_path_factory, root):
    """The example's assembly as two samples that share their libraries; one comes with bins: its true genomes."""
    folder = tmp_path_factory.mktemp("genomes")
    data = root / DATA
    (folder / "samples.tsv").write_text(
        f"sample\tcontigs\tgroup\tbins\none\t{data}/contigs.fa.gz\tg\t{data}/truth/contigs.tsv\n"
        f"two\t{data}/contigs.fa.gz\tg\t\n"
    )
    (folder / "libraries.tsv").write_text(
        "library\tgroup\tdepth\n" + "".join(f"l{i}\tg\t{data}/depth/library_{i}.tsv\n" for i in (1, 2))
    )
    write_hmms(folder, root)
    run_snakemake(folder, root, "--config", *ARGUMENTS)
    return folder


def test_the_same_bins_of_two_samples_are_one_genome_each(two_samples):
    bins = rows(two_samples / "results/bins/one/bins.tsv")
    clusters = rows(two_samples / "results/genomes/clusters.tsv")
    assert bins, "the example must give bins"
    assert len(clusters) == 2 * len(bins)
    for row in bins:
        pair = [member for member in clusters if member["bin"] == row["bin"]]
        assert len({member["cluster"] for member in pair}) == 1
        assert [member["representative"] for member in pair] == ["yes", "no"]
        assert float(pair[1]["ani"]) > 0.999
    written = {path.name for path in (two_samples / "results/genomes/fasta").glob("*.gz")}
    assert written == {f"one.{row['bin']}.fa.gz" for row in bins}


def test_given_bins_are_judged(two_samples):
    contigs = rows(two_samples / "results/review/one/contigs.tsv")
    assert {row["verdict"] for row in contigs} <= {"fits", "misplaced", "outlier", "not_judged"}
    fits = [row["verdict"] == "fits" for row in contigs if row["verdict"] != "not_judged"]
    assert sum(fits) >= 0.9 * len(fits) > 0  # the bins are the truth
    assert not (two_samples / "results/review/two").exists()


def test_markers_are_counted_and_the_report_tells_of_all(two_samples):
    bins = [row["bin"] for row in rows(two_samples / "results/bins/two/bins.tsv")]
    markers = rows(two_samples / "results/markers/two/bins.tsv")
    assert [row["bin"] for row in markers] == bins
    # Evolved genomes have none of the families: nothing is said of their completeness.
    assert {(row["families"], row["found"], row["completeness"]) for row in markers} == {("3", "0", "")}
    page = (two_samples / "results/report/report.html").read_text()
    assert 'id="genomes"' in page and 'id="review-block"' in page and "completeness (markers)" not in page


def test_bins_of_another_run_are_rated_and_clustered_with_the_own(two_samples, root):
    """The run's own results, copied, are those of another run: folders called fasta, of samples of the same names."""
    shutil.copytree(two_samples / "results/bins", two_samples / "old/results/bins")
    folders = ", ".join(f"old/results/bins/{sample}/fasta" for sample in ("one", "two"))
    again = f"dereplicate={{folders: [{folders}]}}"
    run_snakemake(two_samples, root, "--config", *ARGUMENTS, again, "--", "dereplicate_bins")
    rated = [row["bin"] for row in rows(two_samples / "results/genomes/markers.tsv")]
    names = [row["bin"] for row in rows(two_samples / "results/bins/one/bins.tsv")]
    assert sorted(rated) == sorted(f"bins_{sample}.{name}" for sample in ("one", "two") for name in names)
    clusters = rows(two_samples / "results/genomes/clusters.tsv")
    assert {row["source"] for row in clusters} == {"one", "two", "bins_one", "bins_two"}
    assert len(clusters) == 4 * len(names) and len({row["cluster"] for row in clusters}) == len(names)
    twice = f"dereplicate={{folders: [{folders}, old/../old/results/bins/one/fasta]}}"
    done = run_snakemake(two_samples, root, "-n", "--config", *ARGUMENTS, twice, check=False)
    assert done.returncode and "it is named twice" in done.stdout


def test_review_without_bins_says_what_is_missing(tmp_path, root):
    (tmp_path / "samples.tsv").write_text(f"sample\tcontigs\ns\t{root / DATA}/contigs.fa.gz\n")
    arguments = ["--config", "samples=samples.tsv", "libraries=null", "reference=null"]
    done = run_snakemake(tmp_path, root, "-n", *arguments, "--", "review_bins", check=False)
    assert done.returncode != 0
    assert "no sample has bins in samples.tsv" in done.stdout


def test_bins_of_another_assembly(tmp_path, root):
    (tmp_path / "bins.tsv").write_text("k141_7\tb1\n")
    (tmp_path / "samples.tsv").write_text(f"sample\tcontigs\tbins\ns\t{root / DATA}/contigs.fa.gz\tbins.tsv\n")
    arguments = ["--config", "samples=samples.tsv", "libraries=null", "reference=null"]
    done = run_snakemake(tmp_path, root, *arguments, "--", "review_bins", check=False)
    assert done.returncode != 0
    assert "bins.tsv: 1 of its 1 contigs are not in the sample, e.g. k141_7" in done.stdout


def test_checkm2_is_run_where_its_database_is(tmp_path, root):
    """CheckM2 itself needs 3 GB: its command is looked at, and the way around it where there are no bins is taken."""
    (tmp_path / "db.dmnd").write_text("")
    (tmp_path / "s.fa").write_text(">c\n" + "ACGT" * 700 + "\n")
    (tmp_path / "samples.tsv").write_text("sample\tcontigs\ns\ts.fa\n")
    arguments = ["--config", "samples=samples.tsv", "libraries=null", "reference=null", "checkm2={database: db.dmnd}"]
    done = run_snakemake(tmp_path, root, "-n", "-p", *arguments)
    assert "checkm2 predict --threads" in done.stdout
    assert "--database_path db.dmnd" in done.stdout
    report = "results/checkm2/s/quality_report.tsv"
    run_snakemake(tmp_path, root, *arguments, "--", report)
    assert (tmp_path / report).read_text() == "Name\tCompleteness\tContamination\n"


@pytest.mark.parametrize(
    ("markers", "ranking", "jobs"),
    [("kmers", {"results/markers/s/bins.tsv", "results/genomes/markers.tsv"}, 1), ("none", set(), 0)],
)
def test_bins_of_samples_and_folders_are_ranked_by_one_method(tmp_path, root, markers, ranking, jobs):
    """CheckM2 would rate the samples' own bins only."""
    (tmp_path / "other").mkdir()
    for path in ("db.dmnd", "other/b.fa", "s.fa"):
        (tmp_path / path).write_text(">c\n" + "ACGT" * 700 + "\n")
    (tmp_path / "samples.tsv").write_text("sample\tcontigs\ns\ts.fa\n")
    arguments = [
        "samples=samples.tsv", "libraries=null", "reference=null", "checkm2={database: db.dmnd}",
        "dereplicate={folders: [other]}", f"markers={{method: {markers}}}",
    ]  # fmt: skip
    plan = run_snakemake(tmp_path, root, "-n", "--config", *arguments, "--", "dereplicate_bins").stdout
    assert plan.count("rule rate_folders:") == jobs
    inputs = plan.split("rule dereplicate_bins:")[1].split("input: ")[1].split("\n")[0].split(", ")
    assert {path for path in inputs if path.endswith(".tsv")} == ranking

"""The shipped example, run as a user runs it: every promised file, whole and consistent; nothing is done twice."""

import csv
import json
import random
import re
import shutil

import numpy as np
import pytest
import yaml
from running import link_example, run_snakemake

from workflow_lib.contig2bin import read_contig2bin
from workflow_lib.fasta import read_fasta
from workflow_lib.store import read_store
from workflow_lib.tables import load_samples


@pytest.fixture(scope="session")
def sample(root):
    return next(iter(load_samples(root / "config/samples.tsv", check_files=False).values()))


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_every_input_contig_has_one_status(example, sample, root):
    status = rows(example / f"results/bins/{sample.name}/contigs.tsv")
    records = list(read_fasta(root / sample.contigs))
    assert [row["contig"] for row in status] == [record.name for record in records]
    assert [int(row["length"]) for row in status] == [len(record.sequence) for record in records]
    assert {row["status"] for row in status} <= {"binned", "unbinned", "too_short", "n_rich", "duplicate_name"}
    assert all(row["reason"] for row in status if row["status"] != "binned")


def test_bins_agree_in_every_file(example, sample):
    folder = example / f"results/bins/{sample.name}"
    assignments = read_contig2bin(folder / "contig2bin.tsv")
    assert assignments, "the example must give bins"
    assert read_contig2bin(folder / f"{sample.name}.binning") == assignments
    binned = {row["contig"]: row["bin"] for row in rows(folder / "contigs.tsv") if row["status"] == "binned"}
    assert binned == assignments
    contigs = dict(read_fasta_pairs(example / f"results/contigs/{sample.name}/contigs.fa.gz"))
    for row in rows(folder / "bins.tsv"):
        members = dict(read_fasta_pairs(folder / f"fasta/{row['bin']}.fa.gz"))
        assert members == {name: contigs[name] for name, bin_ in assignments.items() if bin_ == row["bin"]}
        assert int(row["length_bp"]) == sum(map(len, members.values()))
        assert int(row["n_contigs"]) == len(members)
        assert row["medoid"] in members


def read_fasta_pairs(path):
    return ((record.name, record.sequence) for record in read_fasta(path))


def test_store_and_depth_have_the_kept_contigs_in_order(example, sample):
    kept = [name for name, _ in read_fasta_pairs(example / f"results/contigs/{sample.name}/contigs.fa.gz")]
    store = read_store(example / f"results/embeddings/{sample.name}")
    assert store.names == kept
    assert np.allclose(np.linalg.norm(store.vectors, axis=1), 1, atol=1e-5)  # float32 rounding
    depth = rows(example / f"results/depth/{sample.name}/depth.tsv")
    assert [row["contig"] for row in depth] == kept
    libraries = [column for column in depth[0] if f"{column}-var" in depth[0]]
    assert libraries
    assert list(depth[0])[:2] == ["contig", "length"]


def test_novelty_has_a_row_a_contig_and_a_bin(example, sample):
    kept = [name for name, _ in read_fasta_pairs(example / f"results/contigs/{sample.name}/contigs.fa.gz")]
    contigs = rows(example / f"results/novelty/{sample.name}/contigs.tsv")
    assert [row["query"] for row in contigs] == kept
    bins = rows(example / f"results/novelty/{sample.name}/bins.tsv")
    assert {row["query"] for row in bins} == {
        row["bin"] for row in rows(example / f"results/bins/{sample.name}/bins.tsv")
    }
    for row in contigs + bins:
        assert row["call"]
        assert (row["call"] == "abstain") == bool(row["abstain_reason"])


def test_index_is_whole(example):
    folder = example / "results/index/reference"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"index.faiss", "ids.tsv"} <= set(manifest["checksums"])


def test_report_opens_offline(example):
    page = (example / "results/report/report.html").read_text()
    assert "default-src 'none'" in page, "the page must forbid the browser to load anything"
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?(?:https?:)?//""", markup)


def test_second_run_has_nothing_to_do(example, root):
    assert "Nothing to be done" in run_snakemake(example, root).stdout


def test_the_order_of_keys_in_the_configuration_is_no_change(example, root, tmp_path):
    def turn(section):
        return {key: turn(section[key]) for key in reversed(section)} if isinstance(section, dict) else section

    config = yaml.safe_load((root / "config/config.yaml").read_text())
    (tmp_path / "turned.yaml").write_text(yaml.safe_dump(turn(config), sort_keys=False))
    plan = run_snakemake(example, root, "--dry-run", "--configfile", str(tmp_path / "turned.yaml")).stdout
    # The report shows the settings in the order of the file.
    assert set(re.findall(r"rule (\w+):", plan)) <= {"all", "write_report"}


def test_changed_library_code_reruns_its_stage_only(example, root, tmp_path):
    """The MUST of the architecture: Snakemake alone would not see a change below workflow_lib/."""
    copy = tmp_path / "novabin"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".*", "results", "demo", "logs", "__pycache__"))
    with open(copy / "workflow_lib/bin/__init__.py", "a") as handle:
        handle.write("\nCHANGED = 1\n")
    plan = run_snakemake(example, copy, "--dry-run").stdout
    assert "rule bin_contigs" in plan
    assert "rule embed_contigs" not in plan
    assert "rule filter_contigs" not in plan


def test_another_library_leaves_the_others_alone(example, root, tmp_path):
    """Only the new library is measured: the others' reads would have to be mapped once more."""
    lines = (root / "config/libraries.tsv").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("library_1\t"))
    table = tmp_path / "libraries.tsv"
    table.write_text("\n".join([*lines, lines[first].replace("library_1", "another", 1)]) + "\n")
    plan = run_snakemake(example, root, "--dry-run", "--config", f"libraries={table}").stdout
    assert plan.count("rule measure_depth") == 1
    assert plan.count("rule merge_depth") == 1


@pytest.mark.skipif(not all(map(shutil.which, ("fastp", "minimap2", "samtools"))), reason="tools are not on PATH")
def test_another_library_of_reads_does_not_map_the_others_again(tmp_path, root):
    contig = "".join(random.Random(1).choices("ACGT", k=3000))
    (tmp_path / "s.fa").write_text(f">c\n{contig}\n")
    (tmp_path / "samples.tsv").write_text("sample\tcontigs\ns\ts.fa\n")
    (tmp_path / "r.fq").write_text(
        "".join(f"@r{i}\n{contig[i : i + 150]}\n+\n{'I' * 150}\n" for i in range(0, 2800, 9))
    )
    table = tmp_path / "libraries.tsv"
    table.write_text("library\tgroup\treads_1\na\ts\tr.fq\nb\ts\tr.fq\n")
    arguments = ["--config", "samples=samples.tsv", "libraries=libraries.tsv", "reference=null", "--"]
    run_snakemake(tmp_path, root, *arguments, "results/depth/s/depth.tsv")
    table.write_text(table.read_text() + "c\ts\tr.fq\n")
    plan = run_snakemake(tmp_path, root, "--dry-run", *arguments, "results/depth/s/depth.tsv").stdout
    for rule in ("filter_single_reads", "map_short_reads", "measure_depth", "merge_depth"):
        assert plan.count(f"rule {rule}:") == 1, rule


def test_same_input_gives_the_same_bytes(example, root, tmp_path, sample):
    folder = link_example(tmp_path, root)
    run_snakemake(folder, root, "--cores", "1")
    for name in (
        f"bins/{sample.name}/contigs.tsv",
        f"bins/{sample.name}/bins.tsv",
        f"embeddings/{sample.name}/vectors.npy",
        f"contigs/{sample.name}/contigs.fa.gz",
        f"novelty/{sample.name}/contigs.tsv",
        "report/report.html",
    ):
        assert (folder / "results" / name).read_bytes() == (example / "results" / name).read_bytes(), name

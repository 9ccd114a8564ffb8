"""Commands and tables of the binners; running and measuring is tried on small programs of this test."""

import stat
import sys

import pytest

from workflow_lib.benchmark.binners import PEERS, Task, read_clusters, run_binner
from workflow_lib.errors import ToolError

WITH_DEPTH = "contig\tlength\tx\tx-var\ty\ty-var\nc1\t2000\t3\t4\t5\t6\nc2\t1600\t\t\t7\t8\n"
# Prints a version when asked; else writes down its arguments and the clusters that the tool would write.
PROGRAM = """#!{python}
import pathlib, sys
if "--version" in sys.argv or "--help" in sys.argv:
    print("tool (version 3.4.5; )"); sys.exit()
option = lambda *names: next((sys.argv[sys.argv.index(n) + 1] for n in names if n in sys.argv), None)
out = pathlib.Path(option("--outdir", "-o"))
(out.parent / "../arguments").write_text("\\n".join(sys.argv[1:]))
table = option("-a", "--abundance_tsv", "--depth-metabat2")
(out.parent / "../table").write_text(pathlib.Path(table).read_text())
block = bytearray(60_000_000)
{ending}
"""
ENDINGS = {
    "metabat2": "out.write_text('c1\\t1\\nc2\\t0\\n')",
    "vamb": "out.mkdir(); (out / 'vae_clusters_unsplit.tsv').write_text('clustername\\tcontigname\\n1\\tc1\\n')",
    "semibin2": "out.mkdir(); (out / 'contig_bins.tsv').write_text('contig\\tbin\\nc1\\t1\\nc2\\t-1\\n')",
}


@pytest.fixture
def task(tmp_path):
    (tmp_path / "depth.tsv").write_text(WITH_DEPTH)
    halves = [str(tmp_path / f"{name}.tsv") for name in "xy"]
    for path in halves:
        (tmp_path / path).write_text("c1_1\t3\nc1_2\t3\n")
    return Task(
        contigs="contigs.fa.gz", depth=str(tmp_path / "depth.tsv"), halves=halves, bams=[], has_long_contigs=False,
        min_length=1500, min_bin_length=200_000, threads=1, seed=7, options={"environment": "global", "epochs": 3},
    )  # fmt: skip


def run(binner, task, tmp_path, ending):
    program = tmp_path / "program"
    program.write_text(PROGRAM.format(python=sys.executable, ending=ending))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    folder = tmp_path / "folder"
    folder.mkdir()
    return run_binner(binner, str(program), task, folder, log=tmp_path / "log")


@pytest.mark.parametrize("binner", PEERS)
def test_every_peer_is_run_measured_and_read(binner, task, tmp_path):
    clusters, usage = run(binner, task, tmp_path, ENDINGS[binner])
    assert read_clusters(binner, clusters) == {"c1": "1"}
    assert usage.version == "3.4.5" and str(tmp_path / "folder") not in usage.command
    assert 60 < usage.peak_mb < 200 and 0 < usage.cpu_seconds <= usage.seconds + 0.5


def test_tables_hold_the_same_depth_in_each_binners_words(task, tmp_path):
    run("metabat2", task, tmp_path, ENDINGS["metabat2"])
    assert (tmp_path / "table").read_text().splitlines() == [
        "contigName\tcontigLen\ttotalAvgDepth\tx\tx-var\ty\ty-var",
        "c1\t2000\t8\t3\t4\t5\t6",
        "c2\t1600\t7\t0\t0\t7\t8",
    ]


def test_vamb_gets_means_only(task, tmp_path):
    run("vamb", task, tmp_path, ENDINGS["vamb"])
    assert (tmp_path / "table").read_text().splitlines() == ["contigname\tx\ty", "c1\t3\t5", "c2\t0\t7"]


@pytest.mark.parametrize(
    ("change", "has", "lacks"),
    [
        ({}, ["--self-supervised", "--epochs", "3", "-a"], ["--environment", "-b"]),
        ({"halves": ["x.tsv"]}, ["--environment", "global", "--depth-metabat2"], ["--epochs", "-a"]),
        ({"has_long_contigs": True}, ["long_read"], ["short_read"]),
    ],
)
def test_semibin2_takes_a_model_for_one_library_and_learns_from_several(change, has, lacks, task, tmp_path):
    run("semibin2", Task(**{**vars(task), **change}), tmp_path, ENDINGS["semibin2"])
    arguments = (tmp_path / "arguments").read_text().split("\n")
    assert set(has) <= set(arguments) and not set(lacks) & set(arguments)


def test_failures_name_what_is_wrong(task, tmp_path):
    with pytest.raises(ToolError, match="no-such-program is not on PATH"):
        run_binner("vamb", "no-such-program", task, tmp_path, log=tmp_path / "log")
    with pytest.raises(ToolError, match="vamb ended with status 3"):
        run("vamb", task, tmp_path, "sys.exit(3)")


def test_a_binner_that_leaves_nothing_is_a_failure(task, tmp_path):
    with pytest.raises(ToolError, match="ended without run/vae_clusters_unsplit"):
        run("vamb", task, tmp_path, "")

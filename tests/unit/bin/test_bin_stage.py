"""The bin stage from files to files, and how bins are kept, named and described."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from workflow_lib.bin.assign import BinningOptions, assign_bins
from workflow_lib.bin.fasta_files import write_bin_fasta
from workflow_lib.bin.inputs import gc_content, read_depth, read_status
from workflow_lib.bin.metric import Pieces
from workflow_lib.bin.outputs import n50
from workflow_lib.bin.stage import BinInputs, BinOutputs, ThresholdOptions, bin_sample, find_threshold
from workflow_lib.contig2bin import read_contig2bin
from workflow_lib.depth.table import write_depth
from workflow_lib.embed import embed_fasta, load_embedder
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.store import EmbeddingStore, read_store

# In the whitened space, though there are three genomes.
OPTIONS = BinningOptions(min_bin_size=5, min_bin_length=60_000, adapt_from=6)


def random_genome(rng, n_bp):
    """Words of three letters, some more frequent than others: each genome has a composition of its own."""
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    words = letters[np.array(np.unravel_index(np.arange(64), (4, 4, 4))).T]
    return words[rng.choice(64, n_bp // 3, p=rng.dirichlet(np.full(64, 2.0)))].tobytes()


def community():
    """Three genomes apart in composition and depth, cut into contigs; a stray one, a whole genome, records dropped."""
    rng = np.random.default_rng(0)
    records = []
    for genome in range(3):
        sequence = random_genome(rng, 180_000)
        records += [(f"g{genome}_{i}", sequence[i * 6000 : (i + 1) * 6000], "kept") for i in range(30)]
    records.append(("stray", random_genome(rng, 3000), "kept"))
    records.append(("whole", random_genome(rng, 80_000), "kept"))
    records.insert(3, ("short", b"ACGT", "too_short"))
    records.append(("g0_0", b"ACGT", "duplicate_name"))
    return records


class Sample:
    """A sample's files up to the bin stage, made by the real embedder."""

    def __init__(self, folder, records, *, depth=True):
        self.folder, self.records = folder, records
        folder.mkdir(exist_ok=True)
        kept = [(name, sequence) for name, sequence, status in records if status == "kept"]
        write_fasta(folder / "contigs.fa.gz", kept)
        rows = [
            f"{name}\t{len(sequence)}\t{status}\t{'' if status == 'kept' else 'why'}"
            for name, sequence, status in records
        ]
        (folder / "status.tsv").write_text("\n".join(["contig\tlength\tstatus\treason", *rows]) + "\n")
        embed_fasta(
            load_embedder("tnf-k"),
            folder / "contigs.fa.gz",
            folder / "embeddings",
            shard_folder=folder / ".shards",
            shard_mbp=8,
            n_pieces=100,
            min_piece=2500,
        )
        rng = np.random.default_rng(1)
        lines = ["contig\tlength\ta\ta-var\tb\tb-var"]
        for name, sequence in kept:
            levels = {"g0": (5, 20), "g1": (5, 3), "g2": (40, 3), "st": (200, 100)}
            level = levels.get(name[:2], (1, 1))
            values = [f"{value * np.exp(0.1 * rng.standard_normal()):.5g}\t{value:g}" for value in level]
            lines.append("\t".join([name, str(len(sequence)), *values]))
        (folder / "depth.tsv").write_text("\n".join(lines) + "\n")
        self.inputs = BinInputs(
            folder / "contigs.fa.gz",
            folder / "status.tsv",
            folder / "embeddings",
            folder / "embeddings" / "pieces.npz",
            folder / "depth.tsv" if depth else None,
        )
        self.outputs = BinOutputs(
            *(
                folder / "out" / name
                for name in ("contig2bin.tsv", "s.binning", "bins.tsv", "contigs.tsv", "binning.json")
            )
        )

    def bin(self, options=OPTIONS, **threshold):
        bin_sample("s", self.inputs, self.outputs, options, ThresholdOptions(**threshold))
        return json.loads(self.outputs.summary.read_text())


def table(path):
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def binned(tmp_path_factory):
    sample = Sample(tmp_path_factory.mktemp("sample") / "s", community())
    return sample, sample.bin()


def test_genomes_become_bins(binned):
    sample, summary = binned
    assignments = read_contig2bin(sample.outputs.contig2bin)
    for genome in ("g0", "g1", "g2"):
        bins = {assignments.get(f"{genome}_{i}") for i in range(25)} - {None}
        assert len(bins) == 1
        assert all(name[:2] == genome for name, of in assignments.items() if of in bins)
    assert "whole" in assignments
    assert "stray" not in assignments
    assert summary["n_bins"] == 4
    assert summary["reason"] is None


def test_every_record_has_its_row(binned):
    sample, summary = binned
    rows = table(sample.outputs.contigs)
    assert [(row["contig"], int(row["length"])) for row in rows] == [(name, len(s)) for name, s, _ in sample.records]
    for row, (_, _, status) in zip(rows, sample.records, strict=True):
        assert row["status"] == status or (status == "kept" and row["status"] in ("binned", "unbinned"))
        assert (row["bin"] != "") == (row["status"] == "binned")
        assert (row["reason"] != "") == (row["status"] != "binned")
    counts = {status: sum(row["status"] == status for row in rows) for status in summary["counts"]}
    assert counts == summary["counts"]
    assert next(row for row in rows if row["contig"] == "stray")["reason"] == ("no other contig is in its bin")


def test_bins_table(binned):
    sample, summary = binned
    rows = table(sample.outputs.bins)
    assignments = read_contig2bin(sample.outputs.contig2bin)
    lengths = {name: len(sequence) for name, sequence, status in sample.records if status == "kept"}
    assert list(rows[0]) == ["bin", "n_contigs", "length_bp", "n50", "gc", "depth_a", "depth_b", "medoid", "tightness"]
    assert [row["bin"] for row in rows] == [f"bin.{i + 1}" for i in range(len(rows))]
    assert np.all(np.diff([int(row["length_bp"]) for row in rows]) <= 0)
    for row in rows:
        members = [name for name, of in assignments.items() if of == row["bin"]]
        assert int(row["n_contigs"]) == len(members)
        assert int(row["length_bp"]) == sum(lengths[name] for name in members)
        assert row["medoid"] in members
        assert 0 < float(row["tightness"]) <= 1
    whole = next(row for row in rows if row["medoid"] == "whole")
    sequence = next(sequence for name, sequence, _ in sample.records if name == "whole")
    assert float(whole["gc"]) == pytest.approx((sequence.count(b"G") + sequence.count(b"C")) / len(sequence), rel=1e-5)
    assert float(whole["depth_a"]) == pytest.approx(1, abs=0.5)
    assert summary["binned_bp"] == sum(int(row["length_bp"]) for row in rows)


def test_summary_tells_how(binned):
    _, summary = binned
    assert summary["threshold"]["method"] == "label_free"
    assert 0 < summary["threshold"]["can_bin_share"] <= 1
    assert sum(summary["threshold"]["distribution"]["same"]) > 20
    assert summary["depth"]["libraries"] == ["a", "b"]
    assert summary["embedder"]["embedder"] == "tnf-k"
    assert summary["learned"] == "whitening"  # four bins: too few genomes to adapt the space to


def test_fasta_of_bins(binned, tmp_path):
    sample, summary = binned
    assert write_bin_fasta(tmp_path / "fasta", sample.inputs.contigs, sample.outputs.contig2bin) == summary["n_bins"]
    found = {
        record.name: (path.name.removesuffix(".fa.gz"), record.sequence)
        for path in (tmp_path / "fasta").iterdir()
        for record in read_fasta(path)
    }
    assert {name: of for name, (of, _) in found.items()} == read_contig2bin(sample.outputs.contig2bin)
    sequences = {name: sequence for name, sequence, status in sample.records if status == "kept"}
    assert all(sequences[name] == sequence for name, (_, sequence) in found.items())


def test_fasta_in_several_passes(binned, tmp_path, monkeypatch):
    import workflow_lib.bin.fasta_files as module

    sample, _ = binned
    write_bin_fasta(tmp_path / "one", sample.inputs.contigs, sample.outputs.contig2bin)
    monkeypatch.setattr(module, "_BATCH_BP", 100)
    write_bin_fasta(tmp_path / "many", sample.inputs.contigs, sample.outputs.contig2bin)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()


def test_fasta_of_other_contigs(binned, tmp_path):
    sample, _ = binned
    (tmp_path / "c2b.tsv").write_text("contig\tbin\nnone\tbin.1\n")
    with pytest.raises(InputError, match="none"):
        write_bin_fasta(tmp_path / "fasta", sample.inputs.contigs, tmp_path / "c2b.tsv")
    assert not (tmp_path / "fasta").exists()


def test_composition_alone(tmp_path):
    sample = Sample(tmp_path / "s", community(), depth=False)
    summary = sample.bin()
    assert summary["depth"] == {"libraries": [], "share": 0, "noise": [], "gc_folds": {}}
    assert summary["n_bins"] >= 3
    assert not any(column.startswith("depth_") for column in table(sample.outputs.bins)[0])


def test_gc_folds_of_depth_are_told_where_the_space_is_adapted(binned, tmp_path):
    assert binned[1]["depth"]["gc_folds"] == {}
    adapted = Sample(tmp_path / "s", community()).bin(replace(OPTIONS, adapt_from=2, mixture_rounds=0))
    assert adapted["learned"] == "adaptation"
    assert adapted["depth"]["gc_folds"] == {"a": 1, "b": 1}  # too few contigs to find a bias


def test_relatives_part_what_they_know_for_two_species(binned, tmp_path):
    """The contigs of genome g0 are said to be of two species, alternately; the mixture is what takes them."""
    sample = Sample(tmp_path / "s", community())
    rows = ["contig\thashes\tspecies\tgenome\tidentity\tnext_species\tnext_identity"]
    for name in read_store(sample.inputs.embeddings).names:
        species = f"x{int(name[3:]) % 2}" if name.startswith("g0") else ""
        rows.append(f"{name}\t99\t{species}\t{species}.1\t0.98\t\t" if species else f"{name}\t99\t\t\t\t\t")
    (tmp_path / "relatives.tsv").write_text("\n".join(rows) + "\n")
    sample.inputs = replace(sample.inputs, relatives=tmp_path / "relatives.tsv")
    assert sample.bin()["relatives"] is None  # three bins are too few to adapt to
    n = sum(row.startswith("g0") for row in rows)
    assert sample.bin(replace(OPTIONS, adapt_from=2))["relatives"] == {"contigs": n, "sure": n}
    bins = read_contig2bin(sample.outputs.contig2bin)
    halves = [{bins[name] for name in bins if name.startswith("g0") and int(name[3:]) % 2 == odd} for odd in (0, 1)]
    assert len(halves[0]) == len(halves[1]) == 1 and halves[0] != halves[1]
    assert binned[1]["relatives"] is None


def test_gc_content_is_unknown_without_bases():
    np.testing.assert_array_equal(gc_content(np.array([[3, 4], [0, 7], [0, 0]])), [0.75, 0, np.nan])
    assert gc_content(np.zeros((0, 2), dtype=np.int64)).shape == (0,)


def test_same_bytes_again(binned, tmp_path):
    from threadpoolctl import threadpool_limits

    sample, _ = binned
    other = Sample(tmp_path / "s", community())
    with threadpool_limits(1, "blas"):
        other.bin()
    for path in (sample.folder / "out").iterdir():
        assert path.read_bytes() == (other.folder / "out" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([], "no contigs"),
        (
            [("a", b"ACGT", "too_short"), ("b", b"ACGT", "too_short")],
            "none of the 2 contigs passed the filter (2 too_short)",
        ),
        ([("a", b"ACGTTGCATGCATCG" * 200, "kept")], "no two of the 1 contigs"),
        ([("n", b"N" * 3000, "kept")], "none of the 1 contigs has anything to embed"),
        ([(f"c{i}", b"ACGTTGCATGCATCG" * 200, "kept") for i in range(3)], "the one group"),
    ],
)
def test_no_bins_is_a_result_with_a_reason(tmp_path, records, reason, caplog):
    sample = Sample(tmp_path / "s", records)
    summary = sample.bin()
    assert summary["n_bins"] == 0
    assert reason in summary["reason"]
    assert f"no bins: {summary['reason']}" in caplog.text
    assert sample.outputs.contig2bin.read_text() == "contig\tbin\n"
    assert len(sample.outputs.bins.read_text().splitlines()) == 1
    assert len(table(sample.outputs.contigs)) == len(records)
    assert write_bin_fasta(tmp_path / "fasta", sample.inputs.contigs, sample.outputs.contig2bin) == 0
    assert (tmp_path / "fasta").is_dir()


def test_copies_are_one_bin(tmp_path):
    rng = np.random.default_rng(0)
    sequence = random_genome(rng, 6000)
    sample = Sample(tmp_path / "s", [(f"c{i}", sequence, "kept") for i in range(40)], depth=False)
    assert sample.bin()["n_bins"] == 1
    assert len(read_contig2bin(sample.outputs.contig2bin)) == 40


def test_fixed_threshold(binned):
    sample, _ = binned
    threshold = find_threshold(ThresholdOptions("fixed", value=0.9), read_store(sample.inputs.embeddings))
    assert (threshold.method, threshold.value) == ("fixed", 0.9)


def test_labelled_threshold_bins_the_embeddings_as_they_are(tmp_path, caplog):
    sample = Sample(tmp_path / "s", community())
    labelled = tmp_path / "labelled.tsv"
    rows = [f"{s.decode()}\t{name[:2]}" for name, s, status in sample.records if status == "kept" and name[0] == "g"]
    labelled.write_text("\n".join(["sequence\tlabel", *rows]) + "\n")
    with caplog.at_level("INFO"):
        summary = sample.bin(method="percentile", labelled=labelled, embedder={"name_or_folder": "tnf-k"})
    assert summary["threshold"]["method"] == "percentile"
    assert "90 sequences in 3 classes" in summary["threshold"]["note"]
    assert "depth is not used" in caplog.text
    assert summary["depth"]["share"] == 0
    assert summary["learned"] == "nothing"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ThresholdOptions("fixed"), "bin.threshold.value is not given"),
        (ThresholdOptions("percentile"), "bin.threshold.labelled is not given"),
        (ThresholdOptions("best"), "expected label_free"),
    ],
)
def test_threshold_that_cannot_be_had(binned, options, message):
    with pytest.raises(InputError, match=message):
        find_threshold(options, read_store(binned[0].inputs.embeddings))


def test_labelled_sequences_need_the_same_embedder(binned, tmp_path):
    (tmp_path / "l.tsv").write_text("ACGTACGT\ta\n")
    options = ThresholdOptions("percentile", labelled=tmp_path / "l.tsv", embedder={"name_or_folder": "tnf"})
    with pytest.raises(InputError, match="another embedder"):
        find_threshold(options, read_store(binned[0].inputs.embeddings))


@pytest.mark.parametrize("fault", ["contigs", "depth", "status"])
def test_files_that_do_not_belong_together(tmp_path, fault):
    sample = Sample(tmp_path / "s", community())
    path = {"contigs": sample.inputs.contigs, "depth": sample.inputs.depth, "status": sample.inputs.status}[fault]
    if fault == "contigs":
        write_fasta(path, [(record.name + "x", record.sequence) for record in read_fasta(path)])
    else:
        path.write_text("\n".join(path.read_text().splitlines()[:-5]) + "\n")
    with pytest.raises(InputError):
        sample.bin()
    assert not sample.outputs.summary.exists()


def test_depth_table_with_other_columns(tmp_path):
    sample = Sample(tmp_path / "s", community())
    sample.inputs.depth.write_text(sample.inputs.depth.read_text().replace("a-var", "c"))
    with pytest.raises(InputError, match="-var"):
        sample.bin()


def test_numbers_of_reads_are_no_depth(tmp_path):
    rng = np.random.default_rng(2)
    genome = random_genome(rng, 600_000)
    ends = [0, *np.cumsum(rng.integers(2000, 12_000, 80))]
    records = [(f"g0_{start}", genome[start:end], "kept") for start, end in itertools.pairwise(ends)]
    sample = Sample(tmp_path, records)
    sample.bin()
    header = (tmp_path / "depth.tsv").read_text().splitlines()[0]
    rows = table(tmp_path / "depth.tsv")
    for row in rows:
        row["a"], row["a-var"] = str(float(row["a"]) * int(row["length"]) / 150), ""
    (tmp_path / "depth.tsv").write_text("\n".join([header, *("\t".join(row.values()) for row in rows)]) + "\n")
    with pytest.raises(InputError, match=r"seems to hold numbers of reads: .* \(a, "):
        sample.bin()
    sample.bin(replace(OPTIONS, depth_weight=0))  # is not used


def test_depth_of_contigs_with_odd_names(tmp_path):
    names = ["NA", '"nan', "nan", "1e3"]
    values = np.arange(4, dtype=float)
    write_depth(tmp_path / "depth.tsv", names, [3000] * 4, {"a": (values, np.full(4, np.nan))})
    depth = read_depth(tmp_path / "depth.tsv", EmbeddingStore(np.eye(4, dtype=np.float32), names))
    assert depth.mean[:, 0].tolist() == values.tolist()
    assert np.isnan(depth.variance).all()


def test_status_of_another_shape(tmp_path):
    path = tmp_path / "status.tsv"
    path.write_text("contig\tlength\n")
    with pytest.raises(InputError, match="expected"):
        read_status(path)
    path.write_text("contig\tlength\tstatus\treason\na\t1\tkept\n")
    with pytest.raises(InputError, match="line 2"):
        read_status(path)


def test_bins_are_kept_by_size_or_length():
    """Four groups of orthogonal directions: many short, few long, few short, one very long."""
    directions = np.repeat(np.arange(4), [12, 3, 3, 1])
    lengths = np.repeat([3000, 80_000, 3000, 4_000_000], [12, 3, 3, 1])
    vectors = np.eye(8, dtype=np.float32)[directions]
    none = Pieces(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 2, 8), dtype=np.float32))
    binning = assign_bins(vectors, lengths, none, BinningOptions(min_bin_size=10, min_bin_length=200_000))
    assert binning.labels.tolist() == [2] * 12 + [1] * 3 + [-1] * 3 + [0]
    assert binning.n_dropped == 1
    assert "3 contigs of 10, 9000 bp of 200000" in binning.reasons[15]


def test_n50():
    assert n50(np.array([2, 2, 2, 3, 3, 4, 8, 8])) == 8
    assert n50(np.array([5])) == 5
    assert n50(np.array([], dtype=np.int64)) == 0

"""Odd input of the bin stage, through the real workflow: a valid result with a reason, or a clear error."""

import csv
import json

import numpy as np
import pytest
from running import run_snakemake

LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)
WORDS = LETTERS[np.array(np.unravel_index(np.arange(64), (4, 4, 4))).T]
LIBRARIES = ("x", "y")


def genome(seed: int, n_bp: int) -> str:
    """Sequence with a composition of its own: words of three letters, some more frequent than others."""
    rng = np.random.default_rng(seed)
    return WORDS[rng.choice(64, n_bp // 3 + 1, p=rng.dirichlet(np.full(64, 2.0)))].tobytes()[:n_bp].decode()


def community(n_genomes: int = 3, n_contigs: int = 30, length: int = 6000) -> dict[str, str]:
    """Contigs {genome}_{number} of genomes of n_contigs x length bp."""
    return {
        f"g{seed}_{i}": sequence[i * length : (i + 1) * length]
        for seed in range(n_genomes)
        for sequence in [genome(seed, n_contigs * length)]
        for i in range(n_contigs)
    }


def depth_of(contigs: dict[str, str]) -> dict[str, list[str]]:
    """Depth in two libraries that tells the genomes of `community` apart."""
    rng = np.random.default_rng(9)
    levels = {"g0": (20, 5), "g1": (4, 9), "g2": (60, 1)}
    mean = {name: np.array(levels.get(name[:2], (10, 10))) * np.exp(0.1 * rng.standard_normal(2)) for name in contigs}
    return {name: [f"{value:.4f}" for value in values] for name, values in mean.items()}


class Inputs:
    """Samples with depth tables, written into a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.samples, self.libraries = ["sample\tcontigs"], ["library\tgroup\tdepth\tbam"]

    def add(self, sample: str, contigs: dict[str, str], depth: dict[str, list[str]] | None = None):
        text = "".join(f">{name}\n{sequence}\n" for name, sequence in contigs.items())
        (self.folder / f"{sample}.fa").write_text(text)
        self.samples.append(f"{sample}\t{sample}.fa")
        for at, library in enumerate(LIBRARIES if depth else ()):
            rows = [
                f"{name}\t{len(contigs[name])}\t{values[at]}\t{values[at]}\t{values[at]}"
                for name, values in depth.items()
            ]
            header = f"contigName\tcontigLen\ttotalAvgDepth\t{library}.bam\t{library}.bam-var"
            (self.folder / f"{sample}_{library}.tsv").write_text("\n".join([header, *rows]) + "\n")
            self.libraries.append(f"{sample}_{library}\t{sample}\t{sample}_{library}.tsv\t")

    def add_empty_bam(self, sample: str, contigs: dict[str, str]):
        import pysam

        header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": n, "LN": len(s)} for n, s in contigs.items()]}
        with pysam.AlignmentFile(self.folder / f"{sample}.bam", "wb", header=header):
            pass
        self.libraries.append(f"{sample}_bam\t{sample}\t\t{sample}.bam")

    def run(self, root, *targets: str, check: bool = True):
        (self.folder / "samples.tsv").write_text("\n".join(self.samples) + "\n")
        (self.folder / "libraries.tsv").write_text("\n".join(self.libraries) + "\n")
        arguments = ["--config", "samples=samples.tsv", "libraries=libraries.tsv", "reference=null"]
        return run_snakemake(self.folder, root, *arguments, "--", *targets, check=check)


@pytest.fixture(scope="module")
def results(tmp_path_factory, root):
    """One run over samples that are odd but valid."""
    inputs = Inputs(tmp_path_factory.mktemp("odd_bins"))
    three = community()
    inputs.add("zero_depth", three, {name: ["0", "0"] for name in three})
    inputs.add("no_depth", three)
    inputs.add("nothing_maps", three, depth_of(three))
    inputs.add_empty_bam("nothing_maps", three)
    inputs.add("one_contig", {"c": genome(5, 5000)}, {"c": ["7", "3"]})
    same = genome(6, 4000)
    inputs.add("identical", {f"c{i}": same for i in range(60)}, {f"c{i}": ["5", "5"] for i in range(60)})
    plasmid = genome(7, 2600)
    copies = {f"p{i}": plasmid for i in range(10_000)} | three
    inputs.add("plasmid", copies, depth_of(copies))
    large = {"chromosome": genome(8, 8_000_000)} | three
    inputs.add("large", large, depth_of(large))
    files = ("contigs.tsv", "bins.tsv", "fasta")
    samples = [row.split("\t")[0] for row in inputs.samples[1:]]
    inputs.run(root, *(f"results/bins/{sample}/{file}" for sample in samples for file in files))
    return inputs.folder / "results/bins"


def contigs_of(results, sample: str) -> dict[str, dict[str, str]]:
    with open(results / sample / "contigs.tsv", newline="") as handle:
        return {row["contig"]: row for row in csv.DictReader(handle, delimiter="\t")}


def bins_of(results, sample: str) -> list[set[str]]:
    found: dict[str, set[str]] = {}
    for name, row in contigs_of(results, sample).items():
        if row["bin"]:
            found.setdefault(row["bin"], set()).add(name)
    return list(found.values())


def test_every_contig_has_a_status_and_every_unbinned_one_a_reason(results):
    for sample in ("zero_depth", "no_depth", "nothing_maps", "one_contig", "identical", "plasmid", "large"):
        for row in contigs_of(results, sample).values():
            assert (row["status"] == "binned") == bool(row["bin"])
            assert bool(row["reason"]) == (row["status"] != "binned")
        assert len(list((results / sample / "fasta").glob("*.gz"))) == len(bins_of(results, sample))


def test_depth_of_zero_everywhere_is_as_no_depth(results):
    summary = json.loads((results / "zero_depth/binning.json").read_text())
    assert summary["depth"]["libraries"] == []
    assert bins_of(results, "zero_depth") == bins_of(results, "no_depth")


def test_a_library_in_which_nothing_maps_is_left_out(results):
    summary = json.loads((results / "nothing_maps/binning.json").read_text())
    assert summary["depth"]["libraries"] == ["nothing_maps_x", "nothing_maps_y"]
    bins = bins_of(results, "nothing_maps")
    assert len(bins) == 3
    assert all(len({name[:2] for name in members}) == 1 for members in bins)


def test_one_contig_is_no_bin_for_a_reason(results):
    (row,) = contigs_of(results, "one_contig").values()
    assert row["status"] == "unbinned"
    assert json.loads((results / "one_contig/binning.json").read_text())["reason"]


def test_copies_of_one_sequence_are_one_bin(results):
    assert [len(members) for members in bins_of(results, "identical")] == [60]


def test_ten_thousand_plasmids_do_not_take_the_genomes_along(results):
    bins = bins_of(results, "plasmid")
    assert all(len({name[:2] for name in members if name[0] == "g"}) <= 1 for members in bins)
    plasmids = [members for members in bins if any(name[0] == "p" for name in members)]
    assert len(plasmids) <= 1
    assert sum(len(members) for members in plasmids) in (0, 10_000)
    genomes = [members for members in bins if any(name[0] == "g" for name in members)]
    assert sum(len(members) for members in genomes) >= 0.9 * 90


def test_a_contig_as_long_as_a_genome_is_a_bin_of_its_own(results):
    assert {"chromosome"} in bins_of(results, "large")
    assert len(bins_of(results, "large")) == 4


def test_a_depth_that_is_no_number_is_named(tmp_path, root):
    inputs = Inputs(tmp_path)
    contigs = community(1, 3)
    inputs.add("s", contigs, depth_of(contigs) | {"g0_1": ["nan", "1"]})
    done = inputs.run(root, "results/depth/s/depth.tsv", check=False)
    assert done.returncode != 0
    assert "s_x.tsv, line 3: found 'nan' in column x.bam, expected a number of at least 0" in done.stdout

"""Every measure that AMBER has too, against cami-amber 2.0.8 run through its command line."""

import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from workflow_lib.contig2bin import write_bioboxes
from workflow_lib.evaluate import evaluate_binning

pytestmark = pytest.mark.peers

TOLERANCE = 1e-9  # both compute in float64 from the same integers; only the order of sums differs
AMBER_NAMES = {
    "average_completeness": "recall_avg_{}",
    "average_purity": "precision_avg_{}",
    "average_f1": "f1_score_{}",
    "completeness": "recall_weighted_{}",
    "purity": "precision_weighted_{}",
    "f1": "f1_score_per_{}",
    "accuracy": "accuracy_{}",
    "misclassification": "misclassification_{}",
    "assigned": "percentage_of_assigned_{}s",
    "average_completeness_cami1": "recall_avg_{}_cami1",
    "average_f1_cami1": "f1_score_{}_cami1",
}
RAND_NAMES = {"rand_index": "rand_index_{}", "adjusted_rand_index": "adjusted_rand_index_{}"}
UNITS = {"bp": "bp", "contig": "seq"}
SHAPES = {
    "noisy": {},
    "good": {"right": 0.99, "binned": 0.95, "genomes": 20, "bins": 20},
    "random": {"right": 0.0, "bins": 40},
    "one bin": {"bins": 1, "binned": 1.0},
    "few binned": {"binned": 0.03, "genomes": 30},
    "merged genomes": {"genomes": 25, "bins": 5},
    "one genome": {"genomes": 1, "bins": 6, "right": 0.5},
}


@pytest.fixture(scope="module")
def amber() -> str:
    named = os.environ.get("NOVABIN_AMBER")
    if named:
        path = Path(named) / "amber.py" if Path(named).is_dir() else Path(named)
        assert path.is_file(), f"NOVABIN_AMBER is {named}: no amber.py there"
        return str(path)
    found = shutil.which("amber.py")
    if found is None:
        pytest.skip(
            "AMBER is not installed: set NOVABIN_AMBER to the amber.py of an environment with cami-amber==2.0.8"
        )
    return found


def run_amber(amber: str, folder: Path, samples: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AMBER's tables of measures (by sample) and of bins, for {sample: (assignments, truth, lengths)}, in one run."""
    parts = {"gold": [], "novabin": []}
    for number, (sample, (assignments, truth, lengths)) in enumerate(samples.items()):
        write_bioboxes(folder / f"gold{number}", truth, sample=sample, lengths=lengths)
        write_bioboxes(folder / f"novabin{number}", assignments, sample=sample)
        for name, texts in parts.items():
            texts.append((folder / f"{name}{number}").read_text())
    for name, texts in parts.items():
        (folder / f"{name}.binning").write_text("".join(texts))
    command = [amber, "-g", "gold.binning", "novabin.binning", "-o", "out", "--skip_gs", "--silent"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(folder / "out/results.tsv", sep="\t").set_index("Sample")
    return results, pd.read_csv(folder / "out/bin_metrics.tsv", sep="\t").set_index(["sample_id", "BINID"])


def assert_same(evaluation, amber_row: pd.Series, names: dict[str, str], unbinned: str) -> None:
    for metric, pattern in names.items():
        for by, unit in UNITS.items():
            expected = amber_row[pattern.format(unit)]
            assert evaluation.value(metric, by=by, unbinned=unbinned) == pytest.approx(
                expected, abs=TOLERANCE, rel=TOLERANCE, nan_ok=True
            ), (amber_row.name, metric, by, unbinned)


def test_every_shared_measure_is_ambers(amber, make_community, tmp_path):
    communities = {name: make_community(seed, **shape) for seed, (name, shape) in enumerate(SHAPES.items())}
    evaluations, samples = {}, {}
    for name, community in communities.items():
        data = community.assignments, community.truth, community.lengths
        evaluations[name] = evaluate_binning(*data, kept=community.kept)
        # AMBER has no switch for what it leaves out: the contigs that do not count are taken out of its gold standard.
        kept_truth = {contig: genome for contig, genome in community.truth.items() if contig in community.kept}
        binned_truth = {contig: genome for contig, genome in community.truth.items() if contig in community.assignments}
        samples |= {
            f"{name}:counted": data,
            f"{name}:counted_kept": (community.assignments, kept_truth, community.lengths),
            f"{name}:ignored": (community.assignments, binned_truth, community.lengths),
        }
    results, bins = run_amber(amber, tmp_path, samples)
    assert len(results) == 3 * len(SHAPES)
    for sample, row in results.iterrows():
        name, unbinned = sample.split(":")
        evaluation = evaluations[name]
        assert_same(evaluation, row, AMBER_NAMES, unbinned)
        assert_same(evaluation, row, RAND_NAMES, "ignored")  # AMBER's indices never count unbinned contigs
        good = bins.loc[sample]
        for complete in (0.5, 0.7, 0.9):
            for contaminated in (0.1, 0.05):
                expected = ((good["recall_bp"] > complete) & (good["precision_bp"] > 1 - contaminated)).sum()
                metric = f"bins_completeness_gt_{100 * complete:.0f}_contamination_lt_{100 * contaminated:.0f}"
                assert evaluation.value(metric, unbinned=unbinned) == expected, (sample, metric)


def test_every_bin_is_ambers(amber, make_community, tmp_path):
    community = make_community(11)
    data = community.assignments, community.truth, community.lengths
    _, expected = run_amber(amber, tmp_path, {"s": data})
    bins = evaluate_binning(*data).bins.set_index("bin")
    expected = expected.loc["s"].loc[bins.index]
    columns = {
        "length_bp_in_truth": "total_length",
        "contigs_in_truth": "total_seq_counts",
        "shared_bp": "tp_length",
        "completeness_bp": "recall_bp",
        "purity_bp": "precision_bp",
        "completeness_contig": "recall_seq",
        "purity_contig": "precision_seq",
    }
    assert bins["genome"].tolist() == expected["genome_id"].tolist()
    for ours, theirs in columns.items():
        assert bins[ours].to_numpy() == pytest.approx(expected[theirs].to_numpy(), rel=TOLERANCE), ours

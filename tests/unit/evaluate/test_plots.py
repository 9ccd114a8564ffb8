"""Plots: well-formed SVG, the same bytes twice, drawn for every kind of result."""

import xml.etree.ElementTree as ElementTree

import pytest

from workflow_lib.evaluate import evaluate_binning
from workflow_lib.evaluate.plots import plot_bin_quality, plot_ranked


def draw(evaluation, folder):
    plot_bin_quality(evaluation.bins, folder / "quality.svg")
    plot_ranked(evaluation.bins, evaluation.genomes, folder / "ranked.svg")
    texts = [(folder / name).read_text() for name in ("quality.svg", "ranked.svg")]
    return texts, [" ".join(ElementTree.fromstring(text).itertext()) for text in texts]


def test_plots_are_deterministic_and_say_what_they_show(make_community, tmp_path):
    community = make_community(1)
    evaluation = evaluate_binning(community.assignments, community.truth, community.lengths)
    first, words = draw(evaluation, tmp_path)
    second, _ = draw(evaluation, tmp_path)
    assert first == second
    good = evaluation.value("bins_completeness_gt_90_contamination_lt_5")
    assert f"&gt; 90% complete, &lt; 5% contaminated: {good:.0f}" in first[0]
    assert "Completeness (% of bp)" in words[0] and "Purity (% of bp)" in words[0]
    assert "completeness of genomes (12)" in words[1]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("assignments", [{}, {"a": "x"}, {"c": "x"}])
def test_plots_of_small_results(assignments, tmp_path):
    evaluation = evaluate_binning(assignments, {"a": "g", "b": "h"}, {"a": 10, "b": 20, "c": 5})
    _, words = draw(evaluation, tmp_path)
    assert ("no bins" in words[0]) == ("a" not in assignments)

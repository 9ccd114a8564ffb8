"""Evaluation of a binning against a truth: AMBER's measures and the species counts of the DNABERT-S paper."""

from workflow_lib.evaluate.evaluation import Evaluation, evaluate_binning, evaluate_files

__all__ = ["Evaluation", "evaluate_binning", "evaluate_files"]

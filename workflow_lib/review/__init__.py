"""A second opinion on anyone's bins: contigs that do not belong, bins that are two genomes, pairs that are one."""

from workflow_lib.review.contigs import ContigVerdicts, judge_contigs
from workflow_lib.review.genomes import BinVerdicts, judge_bins

__all__ = ["BinVerdicts", "ContigVerdicts", "judge_bins", "judge_contigs"]

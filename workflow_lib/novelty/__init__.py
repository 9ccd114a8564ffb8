"""Novelty: is a contig or bin of a taxon that the index does not hold, at a stated false discovery rate."""

from workflow_lib.novelty.calibrate import calibrate
from workflow_lib.novelty.calibration_set import CalibrationSet, read_calibration, write_calibration
from workflow_lib.novelty.queries import call_bins, call_contigs
from workflow_lib.novelty.sample import call_sample
from workflow_lib.novelty.tested import Settings

__all__ = [
    "CalibrationSet",
    "Settings",
    "calibrate",
    "call_bins",
    "call_contigs",
    "call_sample",
    "read_calibration",
    "write_calibration",
]

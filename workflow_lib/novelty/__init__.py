"""Novelty: is a contig or bin of a taxon that the index does not hold, at a stated false discovery rate."""

from workflow_lib.novelty.calibrate import CalibrationSet, calibrate, read_calibration, write_calibration
from workflow_lib.novelty.queries import Settings, call_bins, call_contigs
from workflow_lib.novelty.sample import call_sample

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

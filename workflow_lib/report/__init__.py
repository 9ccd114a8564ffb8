"""The report stage: a summary a sample, and one self-contained HTML page over all of them."""

from workflow_lib.report.page import write_report
from workflow_lib.report.summary import SampleFiles, summarise_sample, write_summary

__all__ = ["SampleFiles", "summarise_sample", "write_report", "write_summary"]

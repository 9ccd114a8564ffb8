"""Single-copy marker genes: found in contigs with profiles that the user names, counted a bin."""

from workflow_lib.markers.counts import MarkerCounts, marker_quality, read_counts

__all__ = ["MarkerCounts", "marker_quality", "read_counts"]

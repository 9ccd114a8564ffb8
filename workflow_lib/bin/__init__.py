"""Bins from embeddings and depth: a metric, depth fusion, a threshold, K-medoid, tables."""

from workflow_lib.bin.kmedoid import kmedoid
from workflow_lib.bin.threshold import class_center_percentiles

__all__ = ["class_center_percentiles", "kmedoid"]

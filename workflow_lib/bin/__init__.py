"""Bins from embeddings and depth: fusion, threshold, K-medoid, tables."""

from workflow_lib.bin.kmedoid import kmedoid


__all__ = ["kmedoid"]

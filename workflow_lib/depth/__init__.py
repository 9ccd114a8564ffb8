"""Depth of coverage: mean and variance a contig and library, from alignments or from tables."""

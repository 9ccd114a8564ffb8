"""Binners side by side: the same contigs and depth, the same machine, the same scores.

`snakemake benchmark_binners` runs it. This package is light to import: its binners run in environments of their own,
in which neither numpy nor pandas need be.
"""

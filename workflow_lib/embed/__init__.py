"""Embedders: DNA sequences in, unit vectors out; in shards that survive a killed job, into a store of a sample."""

from workflow_lib.embed.base import Embedder
from workflow_lib.embed.registry import load_embedder
from workflow_lib.embed.sample import embed_fasta
from workflow_lib.embed.shards import embed_records

__all__ = ["Embedder", "embed_fasta", "embed_records", "load_embedder"]

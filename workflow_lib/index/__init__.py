"""The index: reference genomes cut into windows, their vectors, and a search that is checked at every load."""

from workflow_lib.index.base import SearchIndex, build_index, load_index
from workflow_lib.index.windows import WindowTable

__all__ = ["SearchIndex", "WindowTable", "build_index", "load_index"]

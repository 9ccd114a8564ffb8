"""The index: reference genomes cut into windows, their vectors, and a search that is checked at every load."""

from workflow_lib.index.base import SearchIndex
from workflow_lib.index.factories import Plan, plan_index
from workflow_lib.index.storage import build_index, extend_index, load_index
from workflow_lib.index.windows import WindowTable

__all__ = ["Plan", "SearchIndex", "WindowTable", "build_index", "extend_index", "load_index", "plan_index"]

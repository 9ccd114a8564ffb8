"""A finished run that several tests look at."""

from pathlib import Path

import pytest
from running import link_example, run_snakemake


@pytest.fixture(scope="session")
def example(tmp_path_factory, root) -> Path:
    """A finished run of the shipped example, made once."""
    folder = link_example(tmp_path_factory.mktemp("example"), root)
    run_snakemake(folder, root)
    return folder

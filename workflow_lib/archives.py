"""Archives of novel bins of earlier runs: a folder each, with a table and the bins' sketches."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.manifest import MANIFEST_NAME

ARCHIVE_TABLE, ARCHIVE_SKETCHES = "novel_bins.tsv", "sketches"


def check_archives(archives: dict[str, str], *, own: str | Path | None = None) -> None:
    """Check that each folder is an archive, and none is the one that this run writes.

    Parameters
    ----------
    archives : name of an earlier run -> its folder `novelty/archive`.
    own : the folder that this run writes.

    Raises
    ------
    InputError
        with the folder and what to name instead.
    """
    for run, folder in archives.items():
        remedy = f"set novelty.archives.{run} to the folder novelty/archive of an earlier run's results"
        if own is not None and Path(folder).resolve() == Path(own).resolve():
            raise InputError("this is the archive that this run writes itself", path=folder, remedy=remedy)
        files = (Path(folder) / name for name in (ARCHIVE_TABLE, MANIFEST_NAME))
        if not all(path.is_file() for path in files) or not (Path(folder) / ARCHIVE_SKETCHES).is_dir():
            raise InputError(
                f"no {ARCHIVE_TABLE} with {ARCHIVE_SKETCHES}/ and {MANIFEST_NAME}: this is no archive of novel bins",
                path=folder,
                remedy=f"{remedy}; if it is not whole, {damaged_remedy(run)}",
            )


def damaged_remedy(run: str) -> str:
    """What to do about an archive of an earlier run that is not whole: this run does not write it."""
    return f"repeat the run that wrote it, or take {run} out of novelty.archives"

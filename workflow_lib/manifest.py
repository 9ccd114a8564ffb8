"""Manifests: small JSON files, written last, that say what a folder holds and prove that it is whole."""

from __future__ import annotations

import json
from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open, sha256_file

MANIFEST_NAME = "manifest.json"


def write_manifest(folder: str | Path, content: dict, *, checksums: list[str] = ()) -> None:
    """Write `folder`/manifest.json atomically, with the SHA-256 of each file named in `checksums`."""
    folder = Path(folder)
    content = dict(content, checksums={name: sha256_file(folder / name) for name in checksums})
    with atomic_open(folder / MANIFEST_NAME) as handle:
        json.dump(content, handle, indent=2, sort_keys=True)
        handle.write("\n")


def read_manifest(folder: str | Path, *, verify: bool = True) -> dict:
    """Read `folder`/manifest.json; with `verify`, check the SHA-256 of every file it names.

    Raises
    ------
    InputError
        when there is no manifest (the folder was never finished), it is no JSON, or a file is missing or changed.
    """
    path = Path(folder) / MANIFEST_NAME
    remedy = f"delete {folder} and run again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("no manifest: this folder was never finished", path=path, remedy=remedy) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a JSON file ({error})", path=path, remedy=remedy) from error
    if not isinstance(content, dict) or not isinstance(content.get("checksums"), dict):
        raise InputError("not a manifest: it names no checksums", path=path, remedy=remedy)
    if verify:
        for name, expected in content["checksums"].items():
            _verify_checksum(path.parent / name, expected, remedy)
    return content


def _verify_checksum(path: Path, expected: str, remedy: str) -> None:
    if not path.is_file():
        raise InputError("missing, though the manifest beside it names it", path=path, remedy=remedy)
    found = sha256_file(path)
    if found != expected:
        raise InputError(f"SHA-256 is {found[:12]}..., the manifest says {expected[:12]}...", path=path, remedy=remedy)

"""Manifests: small JSON files, written last, that say what a folder holds and prove that it is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open, sha256_file

MANIFEST_NAME = "manifest.json"
SEAL = "manifest_sha256"


def write_manifest(
    folder: str | Path, content: dict, *, checksums: list[str] = (), name: str = MANIFEST_NAME, sealed: bool = False
) -> None:
    """Write `folder`/manifest.json (or `name`) atomically, with the SHA-256 of each file named in `checksums`.

    `sealed`: with a SHA-256 of the manifest's own content too.
    """
    folder = Path(folder)
    content = dict(content, checksums={file: sha256_file(folder / file) for file in checksums})
    if sealed:
        content[SEAL] = _seal(content)
    with atomic_open(folder / name) as handle:
        handle.write(_format(content))


def read_manifest(
    folder: str | Path,
    *,
    verify: bool = True,
    name: str = MANIFEST_NAME,
    sealed: bool = False,
    left_out: Collection[str] = (),
    remedy: str | None = None,
) -> dict:
    """Read `folder`/manifest.json (or `name`); with `verify`, check the SHA-256 of every file it names.

    `sealed`: it must have been written so, and not a byte of it may have changed. `left_out`: files that the caller
    verifies while it reads them. `remedy`: what to do with a damaged folder; None: this run writes it anew.

    Raises
    ------
    InputError
        when there is no manifest (the folder was never finished), it is no JSON, or a file is missing or changed.
    """
    path = Path(folder) / name
    remedy = remedy or _write_anew(Path(folder))
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except FileNotFoundError as error:
        raise InputError("no manifest: this folder was never finished", path=path, remedy=remedy) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a JSON file ({error})", path=path, remedy=remedy) from error
    if not isinstance(content, dict) or not isinstance(content.get("checksums"), dict):
        raise InputError("not a manifest: it names no checksums", path=path, remedy=remedy)
    if sealed and (content.get(SEAL) != _seal(content) or text != _format(content)):
        raise InputError("this manifest was changed after it was written", path=path, remedy=remedy)
    if verify:
        for file, expected in content["checksums"].items():
            if file not in left_out:
                verify_checksum(path.parent / file, expected, remedy=remedy)
    return content


def check_alike(manifest: dict, first: dict, folder: str | Path) -> None:
    """Refuse the store in `folder` unless the embedder and window of its manifest are those of the first shard's."""
    for key in ("fingerprint", "window"):
        if manifest.get(key) != first.get(key):
            raise InputError(
                f"{key} {manifest.get(key)}, the first shard has {first.get(key)}",
                path=folder,
                remedy="delete it and run again",
            )


def verify_checksum(path: Path, expected: str, *, remedy: str | None = None) -> None:
    """Refuse a file that is not there, or has another SHA-256 than its manifest says; `remedy`: of `read_manifest`."""
    remedy = remedy or _write_anew(path.parent)
    if not path.is_file():
        raise InputError("missing, though the manifest beside it names it", path=path, remedy=remedy)
    found = sha256_file(path)
    if found != expected:
        raise InputError(f"SHA-256 is {found[:12]}..., the manifest says {expected[:12]}...", path=path, remedy=remedy)


def _write_anew(folder: Path) -> str:
    return f"delete {folder} and run again"


def _format(content: dict) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _seal(content: dict) -> str:
    """Hex SHA-256 of everything in a manifest but the seal itself."""
    return hashlib.sha256(_format({key: value for key, value in content.items() if key != SEAL}).encode()).hexdigest()

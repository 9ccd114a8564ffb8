"""Folders of the small models that novabin trains itself: config.json and model.safetensors, read by numpy alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open


def write_small_model(folder: str | Path, config: dict, weights: Mapping[str, np.ndarray]) -> None:
    """Write model.safetensors, then config.json, which must hold `model_type` and `version`."""
    from safetensors.numpy import save

    folder = Path(folder)
    with atomic_open(folder / "model.safetensors", "wb") as handle:
        handle.write(save({name: np.ascontiguousarray(weights[name]) for name in sorted(weights)}))
    with atomic_open(folder / "config.json") as handle:
        json.dump(config, handle, indent=2, sort_keys=True)
        handle.write("\n")


def model_type(folder: str | Path) -> str | None:
    """The `model_type` of a folder's config.json; None where there is no such file or word."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # what is wrong with it is told when it is loaded
    kind = config.get("model_type") if isinstance(config, dict) else None
    return kind if isinstance(kind, str) else None


def read_small_model(
    folder: str | Path, *, kind: str, version: int, shapes: Mapping[str, tuple[int | None, ...]], remedy: str
) -> dict[str, np.ndarray]:
    """The tensors of a folder that `write_small_model` wrote, as float64.

    Parameters
    ----------
    kind, version : what config.json must say.
    shapes : tensor -> shape; None stands for any length.
    remedy : told with every error.

    Raises
    ------
    InputError
        when the folder lacks a file, is of another model or version, or has tensors of other shapes or values that are
        not finite.
    """
    from safetensors.numpy import load_file

    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"not a config.json that can be read ({error})", path=folder, remedy=remedy) from error
    found = (config.get("model_type"), config.get("version")) if isinstance(config, dict) else (None, None)
    if found != (kind, version):
        raise InputError(
            f"its config.json says model_type {found[0]!r}, version {found[1]!r}; expected {kind!r}, {version}",
            path=folder,
            remedy=remedy,
        )
    path = folder / "model.safetensors"
    try:
        weights = load_file(path)
    except Exception as error:  # the library raises its own errors and OSError
        raise InputError(f"not a safetensors file that can be read ({error})", path=path, remedy=remedy) from error
    for name, shape in shapes.items():
        shown = weights[name].shape if name in weights else "none"
        if not _fits(shown, shape):
            expected = str(shape).replace("None", "any")
            raise InputError(f"tensor {name}: found {shown}, expected shape {expected}", path=path, remedy=remedy)
        if not np.isfinite(weights[name]).all():
            raise InputError(f"tensor {name} has values that are not finite", path=path, remedy=remedy)
    return {name: weights[name].astype(np.float64) for name in shapes}


def _fits(found: tuple[int, ...] | str, shape: tuple[int | None, ...]) -> bool:
    return len(found) == len(shape) and all(b in (None, a) for a, b in zip(found, shape, strict=True))

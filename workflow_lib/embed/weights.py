"""Weights of published models: read as tensors only, and put into a module by their names."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_lib.errors import InputError, some_names

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

# In the order of preference; an index names the files that hold the tensors.
WEIGHT_FILES = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
_COPY_AGAIN = "copy or download the file again"
_ONE_MODEL = "config.json and weights must come from the same model"
_LFS_POINTER = b"version https://git-lfs"


def read_settings(folder: str | Path, defaults: dict[str, float | bool | None]) -> dict:
    """The settings of a model folder's config.json.

    Parameters
    ----------
    defaults : name -> value where the file has none; None: a whole number above zero that the file must have.

    Raises
    ------
    InputError
        when the file is missing or damaged, or a value is missing or of another kind than its default.
    """
    path = Path(folder) / "config.json"
    content = _read_json(path)
    settings = {name: value if content.get(name) is None else content[name] for name, value in defaults.items()}
    for name, value in settings.items():
        default = defaults[name]
        if isinstance(default, bool):
            valid, expected = isinstance(value, bool), "true or false"
        elif isinstance(default, float):
            valid, expected = isinstance(value, float | int) and not isinstance(value, bool), "a number"
        else:
            valid, expected = type(value) is int and value > 0, "a whole number above zero"
        if not valid:
            raise InputError(f"{name} is {value!r}, expected {expected}", path=path, remedy=_ONE_MODEL)
    return settings


def load_weights(folder: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a model folder by name, on the CPU.

    Reads model.safetensors, else its index with the files it names, else pytorch_model.bin, else its index. A .bin file
    is a pickle; only tensors are read from it, and program code in it is never run.

    Raises
    ------
    InputError
        when there is no such file, or one is damaged, or is no collection of tensors.
    """
    folder = Path(folder)
    for name in WEIGHT_FILES:
        if not (folder / name).is_file():
            continue
        weights = _load_shards(folder / name) if name.endswith(".json") else _load_file(folder / name)
        logger.info("%s: %d tensors, %.1f M values", folder / name, len(weights), _count(weights) / 1e6)
        return weights
    raise InputError(
        f"no weights here; expected {', '.join(WEIGHT_FILES)}",
        path=folder,
        remedy="copy the weights of the model into this folder",
    )


def _count(weights: dict[str, torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in weights.values())


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"not a JSON file that can be read ({error})", path=path, remedy=_COPY_AGAIN) from error
    if not isinstance(content, dict):
        raise InputError("expected an object of names and values", path=path, remedy=_COPY_AGAIN)
    return content


def _load_shards(index: Path) -> dict[str, torch.Tensor]:
    """The tensors that an index names, from the files it names."""
    places = _read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise InputError("has no weight_map from tensors to files", path=index, remedy=_COPY_AGAIN)
    files = sorted(set(places.values()))
    if outside := [file for file in files if Path(file).name != file]:
        raise InputError(f"names {outside[0]!r}, expected a file beside it", path=index, remedy=_COPY_AGAIN)
    if missing := [file for file in files if not (index.parent / file).is_file()]:
        raise InputError(f"names files that are not here: {some_names(missing)}", path=index, remedy="copy them too")
    weights = {name: tensor for file in files for name, tensor in _load_file(index.parent / file).items()}
    if absent := sorted(set(places) - set(weights)):
        raise InputError(f"tensors in none of its files: {some_names(absent)}", path=index, remedy=_COPY_AGAIN)
    return weights


def _load_file(path: Path) -> dict[str, torch.Tensor]:
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise InputError(
                "a Git LFS pointer, not the weights themselves", path=path, remedy="fetch them with `git lfs pull`"
            )
    return _load_safetensors(path) if path.suffix == ".safetensors" else _load_pickle(path)


def _load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"truncated or no safetensors file ({error})", path=path, remedy=_COPY_AGAIN) from error


def _load_pickle(path: Path) -> dict[str, torch.Tensor]:
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            "holds something else than tensors, or is damaged; it was not read, and code in it was not run",
            path=path,
            remedy="take model.safetensors of the same model, or copy the file again",
        ) from error
    except Exception as error:  # a damaged archive raises what its damage leads to
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"truncated or no file of tensors ({reason})", path=path, remedy=_COPY_AGAIN) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise InputError("expected tensors by name", path=path, remedy="save the model's state_dict()")
    return content


def fill(
    module: torch.nn.Module,
    weights: dict[str, torch.Tensor],
    *,
    prefixes: Sequence[str] = ("",),
    ignored: Sequence[str] = (),
    path: str | Path | None = None,
) -> list[str]:
    """Replace the parameters and buffers of a module by tensors of the same names, as float32.

    A parameter that stands under several names needs only one of them: safetensors keeps one. A buffer that has no
    tensor keeps its value. The module may be on the meta device.

    Parameters
    ----------
    prefixes : what the names may begin with; the one under which most names are known is removed.
    ignored : beginnings of names, prefix removed, of tensors that the module does not have and does not need.
    path : of the weights, for messages.

    Returns
    -------
    Names of tensors that are neither known nor ignored, which a warning lists.

    Raises
    ------
    InputError
        when tensors are missing, have another shape, are no numbers, or belong to a part that the module has (its
        first name is the same, as of a layer beyond the last): then they are of another model.
    """
    targets = module.state_dict(keep_vars=True)
    prefix = max(prefixes, key=lambda prefix: sum(prefix + name in weights for name in targets))
    given = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    _check_names(module, given, ignored, path)
    known = {name: target for name, target in targets.items() if name in given}
    _check_values(known, given, path)
    _assign(module, known, given)
    unexpected = sorted(name for name in given if name not in targets and not name.startswith(tuple(ignored)))
    if unexpected:
        logger.warning("%s: %d tensors are not used: %s", path or "weights", len(unexpected), some_names(unexpected))
    return unexpected


def _check_names(module: torch.nn.Module, given: dict, ignored: Sequence[str], path: str | Path | None) -> None:
    parameters = dict(module.named_parameters(remove_duplicate=False))
    present = {id(parameter) for name, parameter in parameters.items() if name in given}
    missing = [name for name, parameter in parameters.items() if id(parameter) not in present]
    if missing:
        raise InputError(
            f"{len(missing)} tensors are missing: {some_names(missing)}; found {some_names(sorted(given))}",
            path=path,
            remedy=_ONE_MODEL,
        )
    names = set(module.state_dict(keep_vars=True))
    parts = tuple({name.split(".")[0] + "." for name in names})
    foreign = [name for name in given if name not in names and name.startswith(parts)]
    if foreign := sorted(name for name in foreign if not name.startswith(tuple(ignored))):
        raise InputError(
            f"{len(foreign)} tensors have no place in the model of config.json: {some_names(foreign)}",
            path=path,
            remedy=_ONE_MODEL,
        )


def _check_values(known: dict, given: dict, path: str | Path | None) -> None:
    misshaped = [
        f"{name} {tuple(given[name].shape)}, expected {tuple(target.shape)}"
        for name, target in known.items()
        if given[name].shape != target.shape
    ]
    if misshaped:
        raise InputError(f"tensors of another shape: {some_names(misshaped)}", path=path, remedy=_ONE_MODEL)
    if kinds := [f"{name} ({given[name].dtype})" for name in known if not given[name].is_floating_point()]:
        raise InputError(
            f"tensors that are no floating-point numbers: {some_names(kinds)}",
            path=path,
            remedy="take weights in float32",
        )
    if broken := [name for name in known if not given[name].isfinite().all()]:
        raise InputError(f"tensors with NaN or infinite values: {some_names(broken)}", path=path, remedy=_COPY_AGAIN)


def _assign(module: torch.nn.Module, known: dict, given: dict) -> None:
    import torch

    for name, target in known.items():
        owner, _, leaf = name.rpartition(".")
        # A copy: tensors mapped from a file may lie where products round differently, and change with the file.
        value = given[name].to(torch.float32, copy=True)
        if isinstance(target, torch.nn.Parameter):
            value = torch.nn.Parameter(value, requires_grad=target.requires_grad)
        setattr(module.get_submodule(owner), leaf, value)

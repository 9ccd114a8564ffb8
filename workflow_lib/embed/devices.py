"""Devices that a language model runs on: as the user named them, or an error; never another one in silence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_lib.errors import InputError

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16")


def find_devices(device: str, *, option: str = "embed.device") -> list[torch.device]:
    """The devices of "cpu", "cuda", "cuda:1" or "cuda:0,1".

    Parameters
    ----------
    option : key of the configuration that gives the device, for messages.

    Raises
    ------
    InputError
        when the word is another, or there is no such GPU.
    """
    import torch

    if device == "cpu":
        return [torch.device("cpu")]
    match = re.fullmatch(r"cuda(?::(\d+(?:,\d+)*))?", device)
    if match is None:
        raise InputError(f"no device {device!r}; expected cpu, cuda, cuda:N or cuda:N,M", remedy=f"set {option}")
    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    numbers = sorted({int(number) for number in (match[1] or "0").split(",")})
    if missing := [number for number in numbers if number >= n]:
        build = "this torch is a build for the CPU only" if torch.version.cuda is None else f"torch finds {n} GPUs"
        raise InputError(
            f"{device} was asked for, but there is no GPU {', '.join(map(str, missing))} ({build})",
            remedy=f"run on a machine with that GPU; or on the CPU: --resources gpu=0, or {option}: cpu",
        )
    return [torch.device("cuda", number) for number in numbers]


def find_dtype(dtype: str, devices: list[torch.device]) -> torch.dtype:
    """The number format of weights and activations: "auto" is bfloat16 on a GPU and float32 on a CPU."""
    import torch

    if dtype not in DTYPES:
        raise InputError(f"no dtype {dtype!r}; available: {', '.join(DTYPES)}", remedy="set embed.dtype")
    if dtype == "auto":
        dtype = "bfloat16" if devices[0].type == "cuda" else "float32"
    return getattr(torch, dtype)

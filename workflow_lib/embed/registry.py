"""Embedders by name."""

from __future__ import annotations

import inspect
from importlib import import_module

from workflow_lib.embed.base import Embedder
from workflow_lib.errors import InputError

# Name -> module and class; the module is imported only when the embedder is asked for.
EMBEDDERS = {
    "tnf": ("workflow_lib.embed.tnf", "TNF"),
    "tnf-k": ("workflow_lib.embed.tnf", "TNFK"),
}


def load_embedder(name_or_folder: str, *, device: str = "cpu", **options: object) -> Embedder:
    """Make the embedder of a name.

    Parameters
    ----------
    name_or_folder : a key of `EMBEDDERS`.
    device : "cpu", or "cuda" for the embedders that can use it.
    options : of the embedder; `both_strands` and `threads` are common to all.

    Raises
    ------
    InputError
        when there is no such embedder, it lacks an option, or it cannot run on the device.
    """
    if name_or_folder not in EMBEDDERS:
        raise InputError(
            f"no embedder named {name_or_folder!r}; available: {', '.join(EMBEDDERS)}",
            remedy="set embed.model to one of these",
        )
    module, class_name = EMBEDDERS[name_or_folder]
    embedder_class = getattr(import_module(module), class_name)
    known = set(inspect.signature(embedder_class).parameters) - {"device"}
    if unknown := sorted(set(options) - known):
        raise InputError(f"{name_or_folder} has no option {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
    return embedder_class(device=device, **options)

"""Embedders by name."""

from __future__ import annotations

import inspect
import logging
from importlib import import_module

from workflow_lib.embed.base import Embedder
from workflow_lib.errors import InputError

logger = logging.getLogger(__name__)

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
    name = name_or_folder
    if name not in EMBEDDERS:
        raise InputError(
            f"no embedder named {name!r}; available: {', '.join(EMBEDDERS)}",
            remedy="set embed.model to one of these",
        )
    module, class_name = EMBEDDERS[name]
    embedder_class = getattr(import_module(module), class_name)
    known = set(inspect.signature(embedder_class).parameters) - {"device"}
    if unknown := sorted(set(options) - known):
        raise InputError(f"{name} has no option {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
    embedder = embedder_class(device=device, **options)
    logger.info("embedder %s: %d columns, on %s, fingerprint %s", name, embedder.dim, device, embedder.fingerprint)
    return embedder

"""Embedders by name, folder or hub id."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from workflow_lib.embed.base import Embedder, runs_on_cpu_only
from workflow_lib.embed.hub import HUB_MODELS, hub_repository, locate_model, model_folder_name
from workflow_lib.embed.small_model import model_type
from workflow_lib.errors import InputError

logger = logging.getLogger(__name__)

# Name -> module and class; the module is imported only when the embedder is asked for.
EMBEDDERS = {
    "tnf": ("workflow_lib.embed.tnf", "TNF"),
    "tnf-k": ("workflow_lib.embed.tnf", "TNFK"),
    "dna2vec": ("workflow_lib.embed.dna2vec", "DNA2Vec"),
    "tnf-vae": ("workflow_lib.embed.tnf_vae", "TNFVAE"),
    "compact": ("workflow_lib.embed.compact", "Compact"),
}
# Those that are made from a file or folder (option `weights`), and what it is.
WEIGHTS = {
    "dna2vec": "a file of k-mer vectors in word2vec's text format",
    "tnf-vae": "a folder that train_tnf_vae wrote (the workflow trains one by itself)",
}
_KEYS = ("embed.model", "embed.weights")  # of the configuration
# Options of the configuration that an embedder takes, so that others are not passed on (a test compares the classes).
OPTIONS = {
    "tnf": ("both_strands",),
    "tnf-k": ("both_strands",),
    "dna2vec": ("weights", "both_strands"),
    "tnf-vae": ("weights", "both_strands"),
    "compact": (),  # both strands give the same vector by construction
}
# Those whose trained folder can be named itself, by the `model_type` of its config.json -> the parameter that takes it.
TRAINED = {"tnf-vae": "weights", "compact": "folder"}
LANGUAGE_MODEL_OPTIONS = (
    "revision", "trust_remote_code", "pooling", "window", "overlap", "both_strands", "token_budget", "dtype",
)  # fmt: skip


def is_language_model(model: str) -> bool:
    """Whether a name, folder or hub id stands for a language model."""
    return model not in EMBEDDERS and model_type(model) not in TRAINED


def select_options(model: str, config: Mapping[str, object]) -> dict[str, object]:
    """The keys of the configuration's embed section that the embedder of `model` takes; others do not concern it."""
    if is_language_model(model):
        known = LANGUAGE_MODEL_OPTIONS
    elif model in EMBEDDERS:
        known = OPTIONS[model]
    else:
        known = tuple(key for key in OPTIONS[model_type(model)] if key != "weights")  # the folder is the weights
    return {key: config[key] for key in known if key in config}


def check_model(model: str, weights: str | Path | None, *, device: str = "cpu", keys: tuple[str, str] = _KEYS) -> None:
    """Refuse what can be told without loading a model, before a run spends hours on what comes first.

    Parameters
    ----------
    model, weights, device : of the configuration's embed section; `tnf-vae` without weights is trained by the workflow.
    keys : where the configuration names model and weights; for what an error says.

    Raises
    ------
    InputError
        when there is no such embedder, the folder names no architecture, weights are missing, or the embedder has no
        use for the device.
    """
    if device != "cpu" and not is_language_model(model):
        raise runs_on_cpu_only(model, device)
    if model in WEIGHTS:
        if weights is None and model != "tnf-vae":
            raise _lacks_weights(model, keys[1])
        if weights is not None and not Path(weights).exists():
            message = f"no such file or folder; {model} needs {WEIGHTS[model]}"
            raise InputError(message, path=weights, remedy=_set_path(keys[1]))
    elif Path(model).is_dir():
        from workflow_lib.embed.encoders import read_config

        read_config(model)
    elif model not in EMBEDDERS and hub_repository(model) is None:
        raise _unknown(model, keys[0])


def _set_path(key: str) -> str:
    return f"set {key} to its path"


def _lacks_weights(name: str, key: str = _KEYS[1]) -> InputError:
    return InputError(f"{name} needs {WEIGHTS[name]}", remedy=_set_path(key))


def _unknown(name: str, key: str = _KEYS[0]) -> InputError:
    return InputError(
        f"no embedder named {name!r}, and no such folder; available: {', '.join([*EMBEDDERS, *HUB_MODELS])}",
        remedy=f"set {key} to one of these, to the folder of a model, or to owner/name on the hub",
    )


def name_models(models: Sequence[str]) -> dict[str, str]:
    """Names for files and pages -> models, each model once, in order.

    A model that has a name keeps it; a folder is called by its last part, a model of the hub `owner--name`.

    Raises
    ------
    InputError
        when two models would have one name.
    """
    named: dict[str, str] = {}
    for model in dict.fromkeys(models):
        if model in EMBEDDERS or model in HUB_MODELS:
            name = model
        else:
            name = Path(model).resolve().name if Path(model).is_dir() else model_folder_name(model)
        if name in named:
            raise InputError(
                f"two embedders would be called {name!r}: {named[name]} and {model}", remedy="rename one of the folders"
            )
        named[name] = model
    return named


def load_embedder(name_or_folder: str | Path, *, device: str = "cpu", **options: object) -> Embedder:
    """Make the embedder of a name, a model folder, or a model of the hub.

    Parameters
    ----------
    name_or_folder : a key of `EMBEDDERS` or `hub.HUB_MODELS`; a local folder (config.json, tokenizer, weights); or an
        id 'owner/name' of the hub, taken from the hub's cache on this machine, else downloaded.
    device : "cpu", or "cuda", "cuda:N", "cuda:N,M" for language models.
    options : of the embedder; `threads` is common to all, `both_strands` to all but compact. Of hub models also
        `revision`; of those in `WEIGHTS` also `weights`, a path.

    Raises
    ------
    InputError
        when there is no such embedder, it lacks an option, or it cannot run on the device.
    """
    name = str(name_or_folder)
    if (kind := model_type(name)) in TRAINED and name not in EMBEDDERS:
        embedder = _make(kind, device, {**options, TRAINED[kind]: name})
    elif name in EMBEDDERS:
        embedder = _make(name, device, options)
    else:
        embedder = _load_language_model(name, device, options)
    logger.info("embedder %s: %d columns, on %s, fingerprint %s", name, embedder.dim, device, embedder.fingerprint)
    return embedder


def load_configured(
    options: dict[str, object], *, model_file: str | Path | None, device: str, threads: int
) -> Embedder:
    """Make the embedder that the section `embed` of a configuration asks for.

    Parameters
    ----------
    options : `model` and the options of all kinds, of which the model's own are taken.
    model_file : a file in the folder of the model, where another job fetched or trained it; empty: `model` is the name.
    """
    model = options["model"]
    place = Path(model_file).parent if model_file else model
    return load_embedder(place, device=device, threads=threads, **select_options(model, options))


def _make(name: str, device: str, options: dict[str, object]) -> Embedder:
    """The embedder of a key of `EMBEDDERS`; its weights are the first parameter of its class."""
    module, class_name = EMBEDDERS[name]
    embedder_class = getattr(import_module(module), class_name)
    known = list(inspect.signature(embedder_class).parameters)
    if name not in WEIGHTS:
        _check_options(name, options, set(known) - {"device"})
        return embedder_class(device=device, **options)
    _check_options(name, options, {"weights", *known[1:]} - {"device"})
    options = dict(options)
    weights = options.pop("weights", None)
    if weights is None:
        raise _lacks_weights(name)
    return embedder_class(weights, device=device, **options)


def _load_language_model(name: str, device: str, options: dict[str, object]) -> Embedder:
    is_folder = Path(name).is_dir()
    if not is_folder and hub_repository(name) is None:
        raise _unknown(name)
    from workflow_lib.embed.language_model import LanguageModel

    known = set(inspect.signature(LanguageModel).parameters) - {"folder", "device", "name"}
    _check_options(name, options, known | {"revision"})
    options = dict(options)
    revision = options.pop("revision", None)
    if is_folder:
        if revision is not None:
            logger.warning("revision %s does not concern %s: a local folder is taken as it is", revision, name)
        return LanguageModel(name, device=device, **options)
    trust = bool(options.get("trust_remote_code", False))
    folder = locate_model(name, revision=revision, trust_remote_code=trust)
    model = LanguageModel(folder, name=name, device=device, **options)
    # The hub's cache names the folder of a snapshot by its commit.
    model.source = {
        "model": name, "repository": hub_repository(name), "revision": revision, "commit": folder.name,
    }  # fmt: skip
    return model


def _check_options(name: str, options: dict[str, object], known: set[str]) -> None:
    if unknown := sorted(set(options) - known):
        raise InputError(f"{name} has no option {', '.join(unknown)}; it has: {', '.join(sorted(known))}")

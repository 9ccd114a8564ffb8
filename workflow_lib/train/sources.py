"""What a contrastive training can start from, told without loading it."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.embed.encoders import model_kind, read_config
from workflow_lib.embed.hub import HUB_MODELS, hub_repository
from workflow_lib.embed.registry import TRAINED
from workflow_lib.errors import InputError

COMPACT = "compact"  # name, and model_type of its folders
KINDS = ("dnabert2", "hyenadna")
OWN = {"trained": "train", "pretrained": "pretrain"}  # folders that the workflow trains -> target
HUB_NAMES = ("dnabert-2", "dnabert-s", "hyenadna")  # of those in HUB_MODELS
_REMEDY = f"set train.model to {COMPACT}, {', '.join(HUB_NAMES)}, or a folder of DNABERT-2, DNABERT-S or HyenaDNA"


def check_source(model: str, folder: str | Path) -> None:
    """Refuse what can be told before a model is loaded or fetched and the genomes are read.

    Parameters
    ----------
    model : of `train_embedder`. Of a repository of the hub only the names in `HUB_MODELS` are known.
    folder : that the trained model will be written to.

    Raises
    ------
    InputError
        when it is no name, folder or repository, a model of another kind, or in the folder that will be written.
    """
    if model == COMPACT:
        return
    if Path(model).resolve() == Path(folder).resolve():
        raise InputError(
            "found the model to train in the folder that the trained model is written to; it would be lost",
            path=model,
            remedy="copy or move the folder to another place first, and set train.model to that",
        )
    if model in HUB_MODELS:
        if model not in HUB_NAMES:
            raise InputError(f"{model} cannot be trained here", remedy=_REMEDY)
    elif Path(model).is_dir():
        trainable_kind(model, read_config(model))
    elif not hub_repository(model):
        raise InputError(f"nothing to train by the name {model!r}, and no such folder", remedy=_REMEDY)


def check_views(model: str, strategy: str, dropout: float) -> None:
    """Refuse strategies by which both views of a pair would be the same, and dropout where the model has none.

    Raises
    ------
    InputError
        which says what to set.
    """
    if model == COMPACT and (dropout or strategy == "dropout"):
        raise InputError(f"{COMPACT} has no dropout", remedy="set train.strategy to another than dropout")
    if model == COMPACT and strategy == "double_strand":
        raise InputError(
            f"{COMPACT} takes both strands for one: both views of a pair would be the same",
            remedy="set train.strategy to another than double_strand",
        )
    if strategy == "dropout" and not dropout:
        raise InputError(
            "found the strategy dropout with a dropout of 0: both views of a pair would be the same",
            remedy="set train.dropout above 0, or train.strategy to another than dropout",
        )


def untrained_target(model: str, models: str | Path) -> str | None:
    """The target that makes `model`, where it is a folder that the workflow trains and no model is there.

    Parameters
    ----------
    model : of the configuration's embed section.
    models : folder of the models that the workflow trains.
    """
    folder = Path(model)
    if (folder / "config.json").is_file():
        return None
    return next((target for name, target in OWN.items() if folder.resolve() == (Path(models) / name).resolve()), None)


def trainable_kind(folder: str | Path, config: dict) -> str:
    """Which of `KINDS` the model of a folder is, by the content of its config.json.

    Raises
    ------
    InputError
        when it is none of them.
    """
    if config["model_type"] == COMPACT:
        raise InputError(
            f"found a trained {COMPACT} model, which is not trained further: it is computed from the genomes each time",
            path=folder,
            remedy=f"set train.model to {COMPACT}",
        )
    kind = None if config["model_type"] in TRAINED else model_kind(config)
    if kind not in KINDS:
        raise InputError(
            f"found a model of the type {config['model_type']}, which cannot be trained here",
            path=folder,
            remedy=_REMEDY,
        )
    return kind

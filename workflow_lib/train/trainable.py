"""Embedders as something to train: what the first layer reads, any stretch of the layers, and a folder at the end."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.utils.checkpoint import checkpoint

from workflow_lib.embed.base import compute_fingerprint
from workflow_lib.embed.batching import pad_batch
from workflow_lib.embed.encoders import load_encoder, read_config
from workflow_lib.embed.model_files import choose_files, hash_model_files, remove_other_files
from workflow_lib.embed.model_tokenizer import load_tokenizer
from workflow_lib.embed.windows import clean_letters
from workflow_lib.files import atomic_open, atomic_path
from workflow_lib.train.sources import trainable_kind

logger = logging.getLogger(__name__)

WEIGHTS_NAME = "model.safetensors"
_WEIGHT_NAMES = ("model", "pytorch_model")  # beginnings of the files that are replaced


class Batch(NamedTuple):
    """What a model reads: int64 ids (b, s) or float32 features (b, 1, f), and a bool mask (b, s), true at tokens."""

    values: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class Trainable(Protocol):
    """An embedder with weights, cut at its layers, so that hidden states can be mixed between any two.

    Its vector is the mean over tokens of what the last layer gives.

    Attributes
    ----------
    module : with the weights.
    dim : length of its vectors.
    n_layers : number of layers.
    identity : what decides its vectors in training, by a name for people: first weights or how they are computed,
        dropout.
    """

    module: nn.Module
    dim: int
    n_layers: int
    identity: dict[str, object]

    def encode(self, sequences: Sequence[bytes]) -> Batch:
        """Sequences as a batch, on the CPU; threads may call it."""
        ...

    def begin(self, batch: Batch) -> Tensor:
        """What the first layer reads, float (b, s, width)."""
        ...

    def run(self, hidden: Tensor, mask: Tensor, first: int, last: int) -> Tensor:
        """Layers `first` to `last` - 1 of (b, s, width)."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write the trained model."""
        ...


class TrainableLanguageModel:
    """DNABERT-2, DNABERT-S or HyenaDNA from a model folder.

    Parameters
    ----------
    folder : config.json, tokenizer, weights.
    dropout : share of the values that are set to zero behind each layer in training; the published weights have none.
    recompute : compute a layer again in the backward pass instead of keeping what is in it: a third more time, memory
        for one layer instead of all.

    Raises
    ------
    InputError
        when the folder is no such model.
    """

    def __init__(self, folder: str | Path, *, dropout: float = 0.0, recompute: bool = False) -> None:
        self.folder, self.recompute, self._dropout = Path(folder), recompute, dropout
        config = read_config(folder)
        kind = trainable_kind(folder, config)
        self.module = load_encoder(folder, config, kind, dtype=torch.float32, device="cpu").module
        self._tokenizer = load_tokenizer(folder, config["model_type"])
        self.dim, self.n_layers = self.module.hidden_size, self.module.n_layers
        self.identity = {"files of the model": compute_fingerprint(hash_model_files(folder)), "dropout": dropout}
        logger.info(
            "%s: %s, %.1f M parameters, %d layers, %d columns", folder, kind,
            sum(p.numel() for p in self.module.parameters()) / 1e6, self.n_layers, self.dim,
        )  # fmt: skip

    def encode(self, sequences: Sequence[bytes]) -> Batch:
        """See `Trainable`; what the model cannot read at a time is cut off."""
        tokens = self._tokenizer.encode([clean_letters(sequence) for sequence in sequences])
        limit = self.module.max_tokens
        # The last token, which ends a sequence, stays.
        cut = [ids if limit is None or len(ids) <= limit else np.append(ids[: limit - 1], ids[-1]) for ids in tokens]
        return Batch(*(torch.from_numpy(array) for array in pad_batch(cut, 0)))

    def begin(self, batch: Batch) -> Tensor:
        """See `Trainable`."""
        return self.module.embed_tokens(batch.values, batch.mask)

    def run(self, hidden: Tensor, mask: Tensor, first: int, last: int) -> Tensor:
        """See `Trainable`."""
        layer = self.module.run_layers
        recompute = self.recompute and torch.is_grad_enabled()
        for i in range(first, last):
            arguments = hidden, mask, i, i + 1
            hidden = checkpoint(layer, *arguments, use_reentrant=False) if recompute else layer(*arguments)
            if self._dropout:
                hidden = dropout(hidden, self._dropout, self.module.training)
        return hidden

    def save(self, folder: str | Path) -> None:
        """Write config.json, tokenizer and model.safetensors (float32), which embedders and `from_pretrained` read."""
        folder = Path(folder)
        names = choose_files([path.name for path in self.folder.iterdir() if path.is_file()])
        copied = [name for name in names if not name.startswith(_WEIGHT_NAMES)]
        for name in copied:
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(self.folder / name, temporary)
        save_weights(self.module.state_dict(), folder)
        remove_other_files(folder, [*copied, WEIGHTS_NAME])


class TrainableFeatures:
    """A network over a vector of features, such as k-mer frequencies.

    Parameters
    ----------
    layers : of the network, in order.
    features : sequences -> float32 (n, f).
    dim : length of what the last layer gives.
    recipe : plain values that decide the first weights, where these are computed from the genomes that are trained on:
        then their last digits depend on the type of CPU, and do not tell whether a training is the same. None: the
        weights were given, and their bytes decide.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        features: Callable[[Sequence[bytes]], np.ndarray],
        *,
        dim: int,
        recipe: Mapping[str, object] | None = None,
    ) -> None:
        self.module, self._features, self.dim = nn.ModuleList(layers), features, dim
        self.n_layers = len(self.module)
        if recipe is None:
            weights = [tensor.numpy() for tensor in self.module.state_dict().values()]
            self.identity = {"first weights": compute_fingerprint({"layers": repr(self.module)}, weights)}
        else:
            self.identity = {"first weights": dict(recipe)}

    def encode(self, sequences: Sequence[bytes]) -> Batch:
        """See `Trainable`; a sequence is one token."""
        values = torch.from_numpy(self._features(sequences)).unsqueeze(1)
        return Batch(values, torch.ones(len(values), 1, dtype=torch.bool))

    def begin(self, batch: Batch) -> Tensor:
        """See `Trainable`: the features."""
        return batch.values

    def run(self, hidden: Tensor, mask: Tensor, first: int, last: int) -> Tensor:
        """See `Trainable`."""
        for layer in self.module[first:last]:
            hidden = layer(hidden)
        return hidden

    def save(self, folder: str | Path) -> None:
        """Write the weights as model.safetensors."""
        save_weights(self.module.state_dict(), folder)


def save_weights(weights: Mapping[str, Tensor], folder: str | Path) -> None:
    """Write tensors as model.safetensors, float32, by their names."""
    from safetensors.torch import save

    # Copies: a tensor that stands under two names would share memory, which the format does not allow.
    copies = {name: value.detach().float().cpu().contiguous().clone() for name, value in weights.items()}
    # Bytes through our own handle: the library's save_file makes a file that nobody but its owner may read.
    with atomic_open(Path(folder) / WEIGHTS_NAME, "wb") as handle:
        handle.write(save(copies, metadata={"format": "pt"}))


def write_record(folder: str | Path, content: dict) -> None:
    """Write training.json: what a model was trained from, on and how."""
    with atomic_path(Path(folder) / "training.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

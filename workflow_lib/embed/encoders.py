"""The encoder of a model folder: an own module, else what transformers knows natively, else remote code if allowed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_lib.errors import InputError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

# Architectures whose positions begin behind the padding token's id: so many fewer tokens fit into their table.
_OFFSET_POSITIONS = {"camembert", "data2vec-text", "esm", "longformer", "mpnet", "roberta", "xlm-roberta"}
# Settings that tell an own module's model_type where config.json does not name it.
_TELLING = {"alibi_starting_size": "bert", "hyena_order": "hyenadna"}
_DNABERT2_CODE = "bert_layers.BertModel"
_SHOWN = 4  # tensors named in a message


class Encoder:
    """A model that turns token ids into token vectors.

    Attributes
    ----------
    kind : "dnabert2", "hyenadna", "transformers" or "remote".
    dim : length of a token vector.
    max_tokens : most tokens of a text, special ones too; None: no limit.
    vocabulary : ids that it knows.
    """

    def __init__(
        self, module: torch.nn.Module, kind: str, *, dim: int, max_tokens: int | None, vocabulary: int, pad_id: int = 0
    ) -> None:
        self.module, self.kind, self.pad_id = module.eval(), kind, pad_id
        self.dim, self.max_tokens, self.vocabulary = dim, max_tokens, vocabulary

    def group(self, length: int) -> int:
        """Number of the texts that may share a batch with one of `length` tokens."""
        return 0

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """Token vectors, float (b, s, dim), of int64 ids (b, s), padded on the right.

        `mask`, bool (b, s), is true at tokens; `lengths` says the same without a look at the device.
        """
        if self.kind == "dnabert2":
            return self.module(ids, lengths=lengths)
        if self.kind == "hyenadna":
            return self.module(ids, mask)
        output = self.module(input_ids=ids, attention_mask=mask.long())
        return output[0] if isinstance(output, tuple) else output.last_hidden_state


class BigBirdEncoder(Encoder):
    """BigBird: full attention for short texts, block-sparse attention for longer ones, as published.

    transformers pads a block-sparse batch to whole blocks, where the last block is global, and stays in full attention
    for good after the first short batch. So texts share a batch only with those of as many blocks, and the kind of
    attention is set for each: a vector does not depend on its batch.
    """

    def group(self, length: int) -> int:
        """Number of blocks of a text that needs block-sparse attention; 0 for the others."""
        config = self.module.config
        if config.attention_type != "block_sparse" or length <= self._most_full:
            return 0
        return -(-length // config.block_size)

    @property
    def _most_full(self) -> int:
        config = self.module.config
        return (5 + 2 * config.num_random_blocks) * config.block_size

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """See `Encoder`; all rows of one group."""
        import torch

        length = ids.shape[1]
        n_blocks = self.group(length)
        self.module.set_attention_type("block_sparse" if n_blocks else "original_full")
        rest = max(0, n_blocks * self.module.config.block_size - length)
        ids = torch.nn.functional.pad(ids, (0, rest), value=self.pad_id)
        mask = torch.nn.functional.pad(mask, (0, rest))
        return super().__call__(ids, mask, lengths)[:, :length]


def read_config(folder: str | Path) -> dict:
    """The content of a model folder's config.json, with its `model_type`, checked to name an architecture."""
    path = Path(folder) / "config.json"
    remedy = "give a folder with config.json, a tokenizer, and model.safetensors or pytorch_model.bin"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("no config.json: this is no model folder", path=folder, remedy=remedy) from error
    except (ValueError, OSError) as error:
        raise InputError(f"not a JSON file that can be read ({error})", path=path, remedy=remedy) from error
    if isinstance(config, dict) and "model_type" not in config:
        config["model_type"] = next((kind for setting, kind in _TELLING.items() if setting in config), None)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InputError("names no model_type", path=path, remedy=remedy)
    return config


def model_kind(config: dict, *, trust_remote_code: bool = False) -> str:
    """Which code runs a model: "dnabert2", "hyenadna", "remote" or "transformers".

    novabin's own modules come first: DNABERT-2 is told by `alibi_starting_size`, or the published code in auto_map,
    beside model_type bert; HyenaDNA by its model_type. Remote code needs `trust_remote_code` and an auto_map that names
    an encoder (AutoModel): that of Nucleotide Transformer 2 names only models with heads.

    Raises
    ------
    InputError
        when the model can only be run by remote code that is not allowed, or by nothing.
    """
    model_type = config["model_type"]
    if model_type == "bert" and ("alibi_starting_size" in config or _DNABERT2_CODE in str(config.get("auto_map"))):
        return "dnabert2"
    if model_type == "hyenadna":
        return "hyenadna"
    brings_encoder = "AutoModel" in (config.get("auto_map") or ())
    if brings_encoder and trust_remote_code:
        return "remote"
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    if config.get("is_encoder_decoder"):
        raise InputError(
            f"{model_type} is an encoder with a decoder, expected an encoder", remedy="choose another model"
        )
    if model_type in MODEL_MAPPING_NAMES:
        return "transformers"
    if brings_encoder:
        raise InputError(
            f"{model_type} is known neither to novabin nor to transformers; it is run by program code that comes with"
            " the model, and this is switched off",
            remedy="read that code; set embed.trust_remote_code to true if you trust it, or choose another model",
        )
    raise InputError(
        f"{model_type} is known neither to novabin nor to this version of transformers, and brings no code of an"
        " encoder",
        remedy="correct model_type in config.json, or choose another model",
    )


def load_encoder(
    folder: str | Path, config: dict, kind: str, *, dtype: torch.dtype, device: torch.device | str
) -> Encoder:
    """Load the model of a folder onto a device.

    Parameters
    ----------
    config, kind : of `read_config` and `model_kind`.

    Raises
    ------
    InputError
        when a file is missing or damaged, or a tensor is missing or has another shape; it names the tensors.
    """
    if kind == "dnabert2":
        from workflow_lib.embed.dnabert2 import DNABERT2 as own  # noqa: N811
    elif kind == "hyenadna":
        from workflow_lib.embed.hyenadna import HyenaDNA as own  # noqa: N813
    else:
        return _load_transformers(Path(folder), config, kind, dtype, device)
    module = own.from_pretrained(folder, dtype=dtype, device=device)
    return Encoder(
        module, kind, dim=module.hidden_size, max_tokens=module.max_tokens, vocabulary=module.config.vocab_size
    )


def _load_transformers(folder: Path, config: dict, kind: str, dtype, device) -> Encoder:
    import transformers

    remote = kind == "remote"
    try:
        with _quiet():
            settings = transformers.AutoConfig.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=remote
            )
            if remote:
                module = transformers.AutoModel.from_pretrained(
                    str(folder), config=settings, local_files_only=True, trust_remote_code=True, dtype=dtype
                )
            else:
                module = _load_native(folder, settings, config, dtype)
    except InputError:
        raise
    except Exception as error:  # configurations and code of strangers raise what they like
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"transformers cannot load this model ({reason})", path=folder) from error
    encoder = BigBirdEncoder if settings.model_type == "big_bird" and not remote else Encoder
    pad = getattr(settings, "pad_token_id", None)
    return encoder(
        module.to(device),
        kind,
        dim=int(settings.hidden_size),
        max_tokens=_max_tokens(settings),
        vocabulary=int(getattr(settings, "vocab_size", 0) or 0),
        pad_id=0 if pad is None else int(pad),
    )


def _load_native(folder: Path, settings, config: dict, dtype):
    """A module of transformers with the folder's weights: every tensor that it needs, in its shape."""
    import inspect

    from workflow_lib.embed.weights import load_weights

    model_class = _model_class(settings, config)
    pooler = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(model_class).parameters else {}
    module, report = model_class.from_pretrained(
        None,
        config=settings,
        state_dict=load_weights(folder),
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # reported below, by name
        dtype=dtype,
        **pooler,
    )
    if missing := sorted(report["missing_keys"]):
        raise InputError(
            f"the weights lack {len(missing)} tensors that a {settings.model_type} model needs: {_some(missing)}",
            path=folder,
            remedy="config.json and the weights belong to different models, or a part of the weights is missing",
        )
    if mismatched := sorted(report["mismatched_keys"], key=str):
        shown = [f"{name} {tuple(found)}, expected {tuple(expected)}" for name, found, expected in mismatched]
        raise InputError(
            f"{len(shown)} tensors have another shape than config.json says: {_some(shown)}",
            path=folder,
            remedy="config.json and the weights belong to different models",
        )
    if unexpected := sorted(report["unexpected_keys"]):
        logger.info(
            "%d tensors of %s are not used (heads of other tasks): %s", len(unexpected), folder, _some(unexpected)
        )
    return module


def _model_class(settings, config: dict) -> type:
    """The class of transformers for a configuration; for Nucleotide Transformer v2 with its gated feed-forward."""
    from transformers import MODEL_MAPPING

    model_class = MODEL_MAPPING[type(settings)]
    if config["model_type"] == "esm" and "add_bias_fnn" in config:
        from workflow_lib.embed.nucleotide_transformer import gated_esm_class

        return gated_esm_class(bias=bool(config["add_bias_fnn"]))
    return model_class


def _max_tokens(settings) -> int | None:
    limit = getattr(settings, "max_position_embeddings", None)
    if not limit or limit < 0:
        return None
    if settings.model_type in _OFFSET_POSITIONS:
        limit -= (settings.pad_token_id or 0) + 1
    if settings.model_type == "big_bird":
        limit -= limit % settings.block_size
    return int(limit)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the load report and progress bar of transformers: what matters of it comes as an error or in our log."""
    from transformers.utils import logging as library

    verbosity, bar = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
        if bar:
            library.enable_progress_bar()

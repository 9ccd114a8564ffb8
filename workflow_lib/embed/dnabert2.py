"""DNABERT-2 and DNABERT-S: a BERT encoder with linear attention biases and gated feed-forward layers.

Source: Zhou et al. 2024 (DNABERT-2; DNABERT-S has the same architecture); Press et al. 2022 (ALiBi); Shazeer 2020
(gated linear units). Names of modules are those of the published weights.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from workflow_lib.embed.alibi_attention import (
    Attention,
    BlockAttention,
    FlexAttention,
    RowAttention,
    alibi_slopes,
    can_compile,
    row_places,
)
from workflow_lib.embed.weights import fill, load_weights, read_settings
from workflow_lib.errors import InputError

KERNELS = ("auto", "torch", "compiled")
_PREFIXES = ("", "bert.")
_IGNORED = ("pooler.", "cls.", "classifier.", "embeddings.position_ids", "embeddings.token_type_ids")


@dataclass(frozen=True)
class DNABERT2Config:
    """Sizes of the model, named as in config.json; the defaults are those of DNABERT-2 (117 M parameters)."""

    vocab_size: int = 4096
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}",
                remedy="correct config.json",
            )

    @classmethod
    def read(cls, folder: str | Path) -> DNABERT2Config:
        """From a model folder's config.json, where all sizes must stand."""
        sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        defaults = {field.name: field.default for field in fields(cls)}
        return cls(**read_settings(folder, defaults | dict.fromkeys(sizes)))


class DNABERT2(nn.Module):
    """The encoder, without pooler and heads.

    It runs on the tokens of a batch put end to end, without padding.

    Parameters
    ----------
    kernels : "torch": torch's own attention, one sequence at a time. "compiled", on GPUs: kernels that torch.compile
        makes at first use (half a minute; it keeps them on disk), faster. "auto": these where a GPU can have them.

    Attributes
    ----------
    hidden_size : length of a token vector.
    max_tokens : None; there is no limit.
    """

    def __init__(self, config: DNABERT2Config, *, kernels: str = "auto") -> None:
        super().__init__()
        if kernels not in KERNELS:
            raise ValueError(f"no kernels {kernels!r}; available: {', '.join(KERNELS)}")
        self.config, self.kernels = config, kernels
        self.hidden_size, self.max_tokens = config.hidden_size, None
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(config.vocab_size, config.hidden_size),
                "token_type_embeddings": nn.Embedding(config.type_vocab_size, config.hidden_size),
                "LayerNorm": nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps),
            }
        )
        layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layer": layers})

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        kernels: str = "auto",
    ) -> DNABERT2:
        """Load config.json and weights of a folder, in evaluation mode; pooler and heads are left out.

        Raises
        ------
        InputError
            when a file is missing or damaged, or a tensor is missing or has another shape.
        """
        config = DNABERT2Config.read(folder)
        with torch.device("meta"):
            module = cls(config, kernels=kernels)
        fill(module, load_weights(folder), prefixes=_PREFIXES, ignored=_IGNORED, path=folder)
        return module.to(device=device, dtype=dtype).eval()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, lengths: list[int] | None = None
    ) -> Tensor:
        """Token vectors of a batch.

        Parameters
        ----------
        input_ids : int64 (b, s).
        attention_mask : bool or int (b, s), true or 1 at tokens; None: all are. Distances are counted in tokens.
        lengths : tokens of each row, padded on the right, in place of the mask: the GPU is then not waited for.

        Returns
        -------
        (b, s, hidden_size) of the weights' dtype; zeros at padding.
        """
        places, lengths = _find_tokens(input_ids, attention_mask, lengths)
        hidden = self._run(self._embed(input_ids.flatten()[places]), lengths, self.encoder["layer"])
        return _spread(hidden, places, input_ids.shape)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.encoder["layer"])

    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What the first layer reads, (b, s, hidden_size); zeros at padding. Parameters as of `forward`."""
        places, _ = _find_tokens(input_ids, attention_mask)
        return _spread(self._embed(input_ids.flatten()[places]), places, input_ids.shape)

    def run_layers(self, hidden: Tensor, attention_mask: Tensor, first: int, last: int) -> Tensor:
        """Layers `first` to `last` - 1 of vectors (b, s, hidden_size); zeros at padding."""
        places, lengths = _find_tokens(hidden[..., 0], attention_mask)
        output = self._run(hidden.flatten(0, 1)[places], lengths, self.encoder["layer"][first:last])
        return _spread(output, places, hidden.shape[:2])

    def _embed(self, token_ids: Tensor) -> Tensor:
        """(n,) -> (n, hidden_size)."""
        words = self.embeddings["word_embeddings"](token_ids)
        return self.embeddings["LayerNorm"](words + self.embeddings["token_type_embeddings"].weight[0])

    def _run(self, hidden: Tensor, lengths: list[int], layers: nn.ModuleList) -> Tensor:
        """(n, hidden_size) -> (n, hidden_size), for sequences put end to end."""
        lengths = [length for length in lengths if length]
        if lengths:
            attend = self._plan_attention(lengths, hidden)
            for layer in layers:
                hidden = layer(hidden, attend)
        return hidden

    def _plan_attention(self, lengths: list[int], hidden: Tensor) -> Attention:
        slopes = torch.tensor(alibi_slopes(self.config.num_attention_heads), device=hidden.device)
        if not hidden.is_cuda:
            kind = RowAttention
        else:
            compiled = self.kernels == "compiled" or (self.kernels == "auto" and can_compile())
            kind = FlexAttention if compiled else BlockAttention
        return kind(lengths, slopes, hidden.dtype)


def _find_tokens(rows: Tensor, mask: Tensor | None, lengths: list[int] | None = None) -> tuple[Tensor, list[int]]:
    """Places, int64 (n,), of the tokens in flattened rows (b, s), and how many each row has; see `DNABERT2.forward`."""
    b, s = rows.shape
    if lengths is None and mask is not None:
        return mask.flatten().nonzero().squeeze(1), mask.bool().sum(1).tolist()
    lengths = [s] * b if lengths is None else lengths
    return row_places(lengths, s, rows.device), lengths


def _spread(hidden: Tensor, places: Tensor, shape: tuple[int, int]) -> Tensor:
    """Token vectors (n, width) at their places in (b, s, width); zeros elsewhere."""
    output = hidden.new_zeros(shape[0] * shape[1], hidden.shape[1])
    return output.index_copy(0, places, hidden).unflatten(0, tuple(shape))


class _Layer(nn.Module):
    """Self-attention and a gated feed-forward layer, each with its residual and then normalised."""

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.n_heads = config.num_attention_heads
        project = nn.ModuleDict({"Wqkv": nn.Linear(width, 3 * width)})
        output = {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=config.layer_norm_eps)}
        self.attention = nn.ModuleDict({"self": project, "output": nn.ModuleDict(output)})
        self.mlp = nn.ModuleDict(
            {
                "gated_layers": nn.Linear(width, 2 * inner, bias=False),
                "wo": nn.Linear(inner, width),
                "layernorm": nn.LayerNorm(width, eps=config.layer_norm_eps),
            }
        )

    def forward(self, hidden: Tensor, attend: Attention) -> Tensor:
        """(n, width) -> (n, width) for the n tokens of a batch."""
        compiled = hidden.is_cuda and isinstance(attend, FlexAttention)
        add_and_norm, gate = (_compiled(f) if compiled else f for f in (_add_and_norm, _gate))
        qkv = self.attention["self"]["Wqkv"](hidden).unflatten(1, (3, self.n_heads, -1))
        output, norm = self.attention["output"]["dense"], self.attention["output"]["LayerNorm"]
        hidden = add_and_norm(output(attend(qkv).flatten(1)), hidden, norm.weight, norm.bias, norm.eps)
        inner, norm = gate(self.mlp["gated_layers"](hidden)), self.mlp["layernorm"]
        return add_and_norm(self.mlp["wo"](inner), hidden, norm.weight, norm.bias, norm.eps)


def _add_and_norm(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return layer_norm(x + residual, weight.shape, weight, bias, eps)


def _gate(x: Tensor) -> Tensor:
    """(n, 2 inner) -> (n, inner): gelu of the first half times the second."""
    gate, value = x.chunk(2, dim=1)
    return gelu(gate) * value


@functools.cache
def _compiled(function):
    return torch.compile(function, dynamic=True)

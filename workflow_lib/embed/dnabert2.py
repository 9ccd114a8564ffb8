"""DNABERT-2 and DNABERT-S: a BERT encoder with linear attention biases and gated feed-forward layers.

Source: Zhou et al. 2024 (DNABERT-2; DNABERT-S has the same architecture); Press et al. 2022 (ALiBi); Shazeer 2020
(gated linear units). Names of modules are those of the published weights.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from workflow_lib.embed.weights import fill, load_weights, read_settings
from workflow_lib.errors import InputError

ATTENTIONS = ("fused", "flex")
_PREFIXES = ("", "bert.")
_IGNORED = ("pooler.", "cls.", "classifier.", "embeddings.position_ids", "embeddings.token_type_ids")
_BIAS_VALUES = 1 << 26  # biases that a block of queries holds at a time on a GPU: 128 MB in bfloat16


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


def alibi_slopes(n_heads: int) -> list[float]:
    """How much attention falls with each token of distance, one positive number a head.

    For 2^k heads the powers 1 to 2^k of 2^(-8 / 2^k). For other counts those of the largest 2^k below, then every
    second of those of 2^(k+1), from the first on. Source: Press et al. 2022, section 3 and their published code.
    """
    n = 1 << (n_heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * i / n) for i in range(1, n + 1)]
    between = [2.0 ** (-8 * i / (2 * n)) for i in range(1, 2 * n + 1, 2)]
    return slopes + between[: n_heads - n]


class DNABERT2(nn.Module):
    """The encoder, without pooler and heads.

    Everything but attention runs on the tokens of a batch put end to end, without padding.

    Attributes
    ----------
    hidden_size : length of a token vector.
    max_tokens : None; there is no limit.
    attention : "fused" takes torch's own kernels: on a CPU for one sequence at a time, so that no padding is computed;
        on other devices for padded batches, with the biases of a block of queries at a time. "flex" compiles a kernel
        that computes the biases itself (`torch.nn.attention.flex_attention`; needs Triton). Memory is linear in the
        length with both.
    """

    def __init__(self, config: DNABERT2Config, *, attention: str = "fused") -> None:
        super().__init__()
        if attention not in ATTENTIONS:
            raise ValueError(f"no attention {attention!r}; available: {', '.join(ATTENTIONS)}")
        self.config, self.attention = config, attention
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
        attention: str = "fused",
    ) -> DNABERT2:
        """Load config.json and weights of a folder, in evaluation mode; pooler and heads are left out.

        Raises
        ------
        InputError
            when a file is missing or damaged, or a tensor is missing or has another shape.
        """
        config = DNABERT2Config.read(folder)
        with torch.device("meta"):
            module = cls(config, attention=attention)
        fill(module, load_weights(folder), prefixes=_PREFIXES, ignored=_IGNORED, path=folder)
        return module.to(device=device, dtype=dtype).eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token vectors of a batch.

        Parameters
        ----------
        input_ids : int64 (b, s).
        attention_mask : bool or int (b, s), true or 1 at tokens; None: all are. Distances are counted in tokens.

        Returns
        -------
        (b, s, hidden_size) of the weights' dtype; zeros at padding.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        mask = mask.bool()
        lengths = mask.sum(1).tolist()
        embeddings = self.embeddings
        if not any(lengths):
            return embeddings["LayerNorm"].weight.new_zeros(*mask.shape, self.hidden_size)
        attend = self._plan_attention(lengths, mask.device)
        hidden = embeddings["word_embeddings"](input_ids[mask]) + embeddings["token_type_embeddings"].weight[0]
        hidden = embeddings["LayerNorm"](hidden)
        for layer in self.encoder["layer"]:
            hidden = layer(hidden, attend)
        output = hidden.new_zeros(*mask.shape, self.hidden_size)
        output[mask] = hidden
        return output

    def _plan_attention(self, lengths: list[int], device: torch.device) -> _Attention:
        slopes = torch.tensor(alibi_slopes(self.config.num_attention_heads), device=device)
        if self.attention == "flex":
            return _FlexAttention(lengths, slopes)
        return _SequenceAttention(lengths, slopes) if device.type == "cpu" else _BlockAttention(lengths, slopes)


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

    def forward(self, hidden: Tensor, attend: _Attention) -> Tensor:
        """(n, width) -> (n, width) for the n tokens of a batch."""
        qkv = self.attention["self"]["Wqkv"](hidden).unflatten(1, (3, self.n_heads, -1))
        output = self.attention["output"]
        hidden = output["LayerNorm"](output["dense"](attend(qkv).flatten(1)) + hidden)
        gate, value = self.mlp["gated_layers"](hidden).chunk(2, dim=1)
        return self.mlp["layernorm"](self.mlp["wo"](gelu(gate) * value) + hidden)


class _Attention:
    """softmax(q k^T / sqrt(d) - slope |i - j|) v for the sequences of a batch, put end to end.

    Parameters
    ----------
    lengths : tokens of each sequence.
    slopes : float32 (heads,).
    """

    def __init__(self, lengths: list[int], slopes: Tensor) -> None:
        self.lengths, self.slopes = lengths, slopes

    def __call__(self, qkv: Tensor) -> Tensor:
        """(n, 3, heads, d) -> (n, heads, d)."""
        raise NotImplementedError


class _SequenceAttention(_Attention):
    """One sequence at a time, for CPUs: nothing is padded, and the biases take no memory.

    With the queries in reverse order the bias of row i and column j depends on i + j only, so that the matrix is a view
    of one row of 2 s - 1 numbers.
    """

    def __call__(self, qkv: Tensor) -> Tensor:
        outputs = []
        for part in qkv.split([length for length in self.lengths if length]):
            query, key, value = part.permute(1, 2, 0, 3).unsqueeze(1)
            bias = self._bias(len(part), part.dtype)
            attended = scaled_dot_product_attention(query.flip(2), key, value, attn_mask=bias)
            outputs.append(attended.flip(2)[0].transpose(0, 1))
        return torch.cat(outputs)

    def _bias(self, length: int, dtype: torch.dtype) -> Tensor:
        """View (1, heads, s, s) of the biases, rows in reverse order."""
        distance = torch.arange(1 - length, length).abs()
        row = (-self.slopes[:, None] * distance).to(dtype)
        return row.as_strided((1, len(row), length, length), (0, row.shape[1], 1, 1))


class _PaddedAttention(_Attention):
    """All sequences at once, padded on the right to the longest."""

    def __init__(self, lengths: list[int], slopes: Tensor) -> None:
        super().__init__(lengths, slopes)
        longest = -(-max(lengths) // 8) * 8  # kernels want biases in rows of a multiple of 16 bytes
        self.ends = torch.tensor(lengths, device=slopes.device)
        self.layout = torch.arange(longest, device=slopes.device) < self.ends[:, None]
        self.is_full = all(length == longest for length in lengths)

    def __call__(self, qkv: Tensor) -> Tensor:
        padded = qkv.new_zeros(*self.layout.shape, *qkv.shape[1:])
        padded[self.layout] = qkv
        query, key, value = padded.permute(2, 0, 3, 1, 4)
        return self._attend(query, key, value).transpose(1, 2)[self.layout]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(b, heads, s, d) each -> (b, heads, s, d)."""
        raise NotImplementedError


class _BlockAttention(_PaddedAttention):
    """With the biases of a block of queries at a time."""

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        b, n_heads, s, _ = query.shape
        n_biases = s * n_heads * (1 if self.is_full else b)  # of a query
        n_rows = max(1, _BIAS_VALUES // n_biases)
        blocks = [
            scaled_dot_product_attention(rows, key, value, attn_mask=self._bias(start, rows, s))
            for start, rows in zip(range(0, s, n_rows), query.split(n_rows, dim=2), strict=True)
        ]
        return torch.cat(blocks, dim=2)

    def _bias(self, start: int, rows: Tensor, s: int) -> Tensor:
        """Biases (1 or b, heads, rows, s) of the queries from `start` on; -inf at padding."""
        position = torch.arange(s, device=rows.device)
        distance = (position[start : start + rows.shape[2], None] - position).abs()
        bias = (-self.slopes[:, None, None] * distance).to(rows.dtype).unsqueeze(0)
        return bias if self.is_full else bias.masked_fill(~self.layout[:, None, None, :], -math.inf)


class _FlexAttention(_PaddedAttention):
    """With a kernel, compiled at first use, that computes the biases itself."""

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        slopes, ends = self.slopes, self.ends

        def add_bias(score: Tensor, b: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
            return torch.where(j < ends[b], score - slopes[head] * (i - j).abs(), -math.inf)

        return _flex_kernel(query.is_cuda)(query, key, value, score_mod=add_bias)


@functools.cache
def _flex_kernel(is_cuda: bool):
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if is_cuda else flex_attention

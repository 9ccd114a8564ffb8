"""HyenaDNA: a causal model of single bases in which long convolutions stand in for attention.

Source: Nguyen et al. 2023 (HyenaDNA); Poli et al. 2023 (the Hyena operator, here of order 2). Names of modules are
those of the weights published for transformers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn.functional import gelu

from workflow_lib.embed.weights import fill, load_weights, read_settings
from workflow_lib.errors import InputError

_PREFIXES = ("", "hyena.")
_IGNORED = ("lm_head.", "score.")
_ORDER = 2  # of the Hyena operator; every published model has it
# The decay of a filter over the longest sequence: by channel from slow to fast, to 1% after these shares of the length.
_SLOW_DECAY, _FAST_DECAY, _DECAYED_TO = 1.5, 0.3, 0.01
_SHIFT = 0.05  # what the decay never falls below
_LOWEST_BAND = 1e-4  # frequency of the first position feature


@dataclass(frozen=True)
class HyenaDNAConfig:
    """Sizes of the model, named as in config.json; the defaults are those of the smallest published model."""

    vocab_size: int = 12
    d_model: int = 128
    n_layer: int = 2
    d_inner: int = 512
    max_seq_len: int = 1026
    emb_dim: int = 5
    filter_order: int = 64
    num_inner_mlps: int = 2
    hyena_order: int = _ORDER
    short_filter_order: int = 3
    activation_freq: float = 10.0
    layer_norm_epsilon: float = 1e-5
    pad_vocab_size_multiple: int = 8
    train_freq: bool = True

    def __post_init__(self) -> None:
        if self.hyena_order != _ORDER:
            raise InputError(f"hyena_order is {self.hyena_order}, expected {_ORDER}", remedy="choose another model")
        if self.emb_dim < 3 or self.emb_dim % 2 == 0:
            raise InputError(f"emb_dim is {self.emb_dim}, expected 3, 5, ...", remedy="correct config.json")

    @classmethod
    def read(cls, folder: str | Path) -> HyenaDNAConfig:
        """From a model folder's config.json, where the sizes must stand."""
        sizes = ("vocab_size", "d_model", "n_layer", "d_inner", "max_seq_len")
        defaults = {field.name: field.default for field in fields(cls)}
        return cls(**read_settings(folder, defaults | dict.fromkeys(sizes)))


class HyenaDNA(nn.Module):
    """The model without its head.

    It is causal: a position depends on itself and those before it, so that padding on the right changes nothing.

    Attributes
    ----------
    hidden_size : length of a token vector.
    max_tokens : most tokens of a sequence; the filters are published up to this length.
    """

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden_size, self.max_tokens = config.d_model, config.max_seq_len
        n_rows = -(-config.vocab_size // config.pad_vocab_size_multiple) * config.pad_vocab_size_multiple
        self.backbone = nn.ModuleDict(
            {
                "embeddings": nn.ModuleDict({"word_embeddings": nn.Embedding(n_rows, config.d_model)}),
                "layers": nn.ModuleList(_Layer(config) for _ in range(config.n_layer)),
                "ln_f": nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon),
            }
        )

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> HyenaDNA:
        """Load config.json and weights of a folder, in evaluation mode; the head is left out.

        The long filters stay in float32, and so does what they are computed from: a position among thousands has no
        place in the 8 significant bits of bfloat16.

        Raises
        ------
        InputError
            when a file is missing or damaged, or a tensor is missing or has another shape.
        """
        config = HyenaDNAConfig.read(folder)
        with torch.device("meta"):
            module = cls(config)
        fill(module, load_weights(folder), prefixes=_PREFIXES, ignored=_IGNORED, path=folder)
        for name, parameter in module.named_parameters():
            if ".filter_fn." not in name:
                parameter.data = parameter.data.to(dtype)
        return module.to(device).eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token vectors of a batch.

        Parameters
        ----------
        input_ids : int64 (b, s), s at most `max_tokens`.
        attention_mask : bool or int (b, s), true or 1 at tokens; None: all are. Padding may stand on either side: the
            tokens of a row are read as if nothing stood before or between them.

        Returns
        -------
        (b, s, hidden_size) of the weights' dtype; zeros at padding.

        Raises
        ------
        InputError
            when a sequence is longer than `max_tokens`.
        """
        if input_ids.shape[1] > self.max_tokens:
            raise InputError(
                f"a sequence of {input_ids.shape[1]} tokens; this model reads at most {self.max_tokens}",
                remedy="cut it into windows",
            )
        if input_ids.numel() == 0:
            return self.backbone["ln_f"].weight.new_zeros(*input_ids.shape, self.hidden_size)
        if attention_mask is None:
            return self.run_layers(self.embed_tokens(input_ids), None, 0, self.n_layers)
        mask = attention_mask.bool()
        order = mask.logical_not().argsort(dim=1, stable=True)  # tokens to the front: what stands before them counts
        hidden = self.run_layers(self.embed_tokens(input_ids.gather(1, order)), None, 0, self.n_layers)
        hidden = hidden.gather(1, order.argsort(dim=1).unsqueeze(-1).expand_as(hidden))
        return hidden.masked_fill(~mask.unsqueeze(-1), 0)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.backbone["layers"])

    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What the first layer reads, (b, s, hidden_size), padding too."""
        return self.backbone["embeddings"]["word_embeddings"](input_ids)

    def run_layers(self, hidden: Tensor, attention_mask: Tensor | None, first: int, last: int) -> Tensor:
        """Layers `first` to `last` - 1 of vectors (b, s, hidden_size), and behind the last layer its norm.

        No mask is needed: nothing after a position changes it. What stands at padding means nothing.
        """
        for layer in self.backbone["layers"][first:last]:
            hidden = layer(hidden)
        norm = self.backbone["ln_f"]
        return norm(hidden.to(norm.weight.dtype)) if last == self.n_layers else hidden


class _Layer(nn.Module):
    """Hyena operator and feed-forward layer, each behind a layer norm; the residual runs in float32 at least."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.mixer = _Hyena(config)
        self.norm1 = nn.LayerNorm(config.d_model)
        self.norm2 = nn.LayerNorm(config.d_model)
        feed_forward = {
            "fc1": nn.Linear(config.d_model, config.d_inner),
            "fc2": nn.Linear(config.d_inner, config.d_model),
        }
        self.mlp = nn.ModuleDict(feed_forward)

    def forward(self, hidden: Tensor) -> Tensor:
        """(b, s, width) -> (b, s, width)."""
        dtype = self.norm1.weight.dtype
        residual = hidden.to(torch.promote_types(dtype, torch.float32))
        residual = residual + self.mixer(self.norm1(residual.to(dtype)))
        inner = gelu(self.mlp["fc1"](self.norm2(residual.to(dtype))), approximate="tanh")
        return residual + self.mlp["fc2"](inner)


class _Hyena(nn.Module):
    """y = out(a * long(b * v)) with a, b, v = short(in(x)): both convolutions run along the sequence, by channel."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        width, short = config.d_model, config.short_filter_order
        n_channels = (_ORDER + 1) * width
        self.in_proj = nn.Linear(width, n_channels)
        self.out_proj = nn.Linear(width, width)
        self.short_filter = nn.Conv1d(n_channels, n_channels, short, padding=short - 1, groups=n_channels)
        self.filter_fn = _LongFilter(config)

    def forward(self, hidden: Tensor) -> Tensor:
        """(b, s, width) -> (b, s, width)."""
        s = hidden.shape[1]
        channels = self.short_filter(self.in_proj(hidden).transpose(1, 2))[..., :s]
        outer, inner, value = channels.chunk(_ORDER + 1, dim=1)
        return self.out_proj((outer * self.filter_fn(inner * value)).transpose(1, 2))


class _Sine(nn.Module):
    """sin(freq * x), with a frequency for each feature."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        freq = torch.full((1, config.filter_order), float(config.activation_freq), device="cpu")
        if config.train_freq:
            self.freq = nn.Parameter(freq)
        else:
            self.register_buffer("freq", freq, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.freq * x)


class _LongFilter(nn.Module):
    """Causal convolution with a filter as long as the sequence, which a small network makes from the position.

    filter(t) = network(features of t) * (exp(-t |delta|) + 0.05), with t from 0 to 1 over `max_seq_len` positions.
    """

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        width, order = config.d_model, config.filter_order
        sine = _Sine(config)  # one for all layers of the network, as published
        inner = [nn.Linear(config.emb_dim, order), sine]
        for _ in range(config.num_inner_mlps):
            inner += [nn.Linear(order, order), sine]
        self.bias = nn.Parameter(torch.zeros(width))
        self.implicit_filter = nn.Sequential(*inner, nn.Linear(order, width, bias=False))
        self.pos_emb = _PositionFeatures(config)
        self.modulation = nn.Module()
        decays = torch.linspace(1 / _SLOW_DECAY, 1 / _FAST_DECAY, width, device="cpu") * math.log(_DECAYED_TO)
        self.modulation.register_buffer("deltas", decays[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, s) -> (b, width, s) of the same dtype; computed in float32, by FFT."""
        s = x.shape[2]
        position, time = self.pos_emb.z[:, :s], self.pos_emb.t[:, :s]
        with torch.autocast(x.device.type, enabled=False):  # see `HyenaDNA.from_pretrained`
            taps = self.implicit_filter(position) * (torch.exp(-time * self.modulation.deltas.abs()) + _SHIFT)
        size = next_fast_len(2 * s, real=True)  # long enough that the end does not reach around to the start
        signal = x.to(taps.dtype)
        spectrum = torch.fft.rfft(signal, n=size) * torch.fft.rfft(taps.transpose(1, 2), n=size)
        filtered = torch.fft.irfft(spectrum, n=size)[..., :s]
        return (filtered + signal * self.bias.unsqueeze(-1)).to(x.dtype)


class _PositionFeatures(nn.Module):
    """z: time, then cosine and (negative) sine of it at rising frequencies, learned from there; t: time, 0 to 1."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        n, n_bands = config.max_seq_len, (config.emb_dim - 1) // 2
        time = torch.linspace(0, 1, n, device="cpu")[None, :, None]
        angle = 2 * math.pi / n * torch.arange(n, device="cpu")[None, :, None]
        angle = angle * torch.linspace(_LOWEST_BAND, n_bands - 1, n_bands, device="cpu")
        self.z = nn.Parameter(torch.cat([time, angle.cos(), -angle.sin()], dim=-1))
        self.register_buffer("t", time)

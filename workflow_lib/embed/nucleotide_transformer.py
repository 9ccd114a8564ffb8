"""Nucleotide Transformer v2: transformers' ESM with a gated feed-forward block, as its configurations imply."""

from __future__ import annotations

import torch
from torch import nn
from transformers.models.esm.modeling_esm import EsmModel


class _GatedIntermediate(nn.Module):
    """silu(a) * b with a, b the halves of one linear map."""

    def __init__(self, width: int, inner: int, bias: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(width, 2 * inner, bias=bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        gate, value = self.dense(hidden).chunk(2, dim=-1)
        return nn.functional.silu(gate) * value


def gated_esm_class(*, bias: bool) -> type[EsmModel]:
    """The ESM encoder with the feed-forward block of Nucleotide Transformer v2.

    Source: Dalla-Torre et al. 2024, Nature Methods (rotary positions, swish gated linear units, no biases there). The
    tensors have the published names: `intermediate.dense` is twice as wide.

    Parameters
    ----------
    bias : whether the feed-forward maps have biases (`add_bias_fnn` of the configuration).
    """

    class GatedEsmModel(EsmModel):
        def __init__(self, config, add_pooling_layer: bool = False) -> None:
            super().__init__(config, add_pooling_layer=add_pooling_layer)
            for layer in self.encoder.layer:
                layer.intermediate = _GatedIntermediate(config.hidden_size, config.intermediate_size, bias)
                layer.output.dense = nn.Linear(config.intermediate_size, config.hidden_size, bias=bias)
            self.post_init()

    return GatedEsmModel

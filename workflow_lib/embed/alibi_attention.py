"""Attention with linear biases over the sequences of a batch, put end to end; one implementation a kind of device.

All compute softmax(q k^T / sqrt(d) - slope |i - j|) v within each sequence, with memory linear in its length.
Source: Press et al. 2022 (ALiBi), its symmetric form as in DNABERT-2.
"""

from __future__ import annotations

import functools
import logging
import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

logger = logging.getLogger(__name__)

_BIAS_VALUES = 1 << 27  # that `BlockAttention` holds at most: 256 MB in bfloat16
_ALIGNED = 8  # kernels want biases in rows of a multiple of 16 bytes


def alibi_slopes(n_heads: int) -> list[float]:
    """How much attention falls with each token of distance, one positive number a head.

    For 2^k heads the powers 1 to 2^k of 2^(-8 / 2^k). For other counts those of the largest 2^k below, then every
    second of those of 2^(k+1), from the first on. Source: Press et al. 2022, section 3 and their published code.
    """
    n = 1 << (n_heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * i / n) for i in range(1, n + 1)]
    between = [2.0 ** (-8 * i / (2 * n)) for i in range(1, 2 * n + 1, 2)]
    return slopes + between[: n_heads - n]


def row_places(lengths: list[int], width: int, device: torch.device) -> Tensor:
    """Places, int64 (n,), of the tokens of sequences in rows of `width`, padded on the right; without a wait."""
    ends = torch.tensor(lengths, dtype=torch.int64, device=device)
    n = sum(lengths)
    row = torch.repeat_interleave(torch.arange(len(lengths), device=device), ends, output_size=n)
    return torch.arange(n, device=device) + (row * width - (ends.cumsum(0) - ends)[row])


class Attention(ABC):
    """Attention among the tokens of a batch of sequences.

    Parameters
    ----------
    lengths : tokens of each sequence, each above 0.
    slopes : float32 (heads,), on the device of the tokens.
    dtype : of the tokens' vectors.
    """

    def __init__(self, lengths: list[int], slopes: Tensor, dtype: torch.dtype) -> None:
        self.lengths, self.slopes, self.dtype = lengths, slopes, dtype

    def __call__(self, qkv: Tensor) -> Tensor:
        """(n, 3, heads, d) -> (n, heads, d) for the n tokens of the batch, put end to end."""
        outputs = []
        for part in qkv.split(self.lengths):
            query, key, value = part.permute(1, 2, 0, 3).unsqueeze(1)
            outputs.append(self.attend(query, key, value)[0].transpose(0, 1))
        return torch.cat(outputs)

    @abstractmethod
    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(1, heads, s, d) each -> (1, heads, s, d), for one sequence."""


class RowAttention(Attention):
    """For CPUs: torch's fused kernel, with biases that take no memory.

    With the queries in reverse order the bias of row i and column j depends on i + j only, so that the matrix is a view
    of one row of 2 s - 1 numbers.
    """

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See `Attention`."""
        bias = self.bias(query.shape[2])
        return scaled_dot_product_attention(query.flip(2), key, value, attn_mask=bias).flip(2)

    def bias(self, length: int) -> Tensor:
        """View (1, heads, s, s) of the biases, rows in reverse order."""
        distance = torch.arange(1 - length, length, device=self.slopes.device).abs()
        row = (-self.slopes[:, None] * distance).to(self.dtype)
        return row.as_strided((1, len(row), length, length), (0, row.shape[1], 1, 1))


class BlockAttention(Attention):
    """For GPUs: torch's fused kernel, block by block of queries.

    The biases of a block depend on the distance only: one matrix, shifted, serves all blocks of all sequences.
    """

    def __init__(self, lengths: list[int], slopes: Tensor, dtype: torch.dtype) -> None:
        super().__init__(lengths, slopes, dtype)
        self.longest = -(-max(lengths) // _ALIGNED) * _ALIGNED
        n_rows = _BIAS_VALUES // (2 * self.longest * len(slopes)) // _ALIGNED * _ALIGNED
        self.n_rows = min(max(n_rows, _ALIGNED), self.longest)
        # Row r, column c: the key c - longest tokens behind the first query of the block.
        column = torch.arange(-self.longest, self.longest, device=slopes.device, dtype=torch.int32)
        row = torch.arange(self.n_rows, device=slopes.device, dtype=torch.int32)
        distance = (column - row[:, None]).abs()
        self.biases = torch.stack([(-slope * distance).to(dtype) for slope in slopes]).unsqueeze(0)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See `Attention`."""
        s = query.shape[2]
        blocks = [
            scaled_dot_product_attention(rows, key, value, attn_mask=self.bias(start, rows.shape[2], s))
            for start, rows in zip(range(0, s, self.n_rows), query.split(self.n_rows, dim=2), strict=True)
        ]
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)

    def bias(self, start: int, n_rows: int, length: int) -> Tensor:
        """View (1, heads, n_rows, length) of the biases of the queries from `start` on."""
        first = self.longest - start
        return self.biases[:, :, :n_rows, first : first + length]


class FlexAttention(Attention):
    """For GPUs with Triton: a kernel, compiled at first use, that computes the biases itself, in float32.

    All sequences at once, padded on the right to the longest.
    """

    def __init__(self, lengths: list[int], slopes: Tensor, dtype: torch.dtype) -> None:
        super().__init__(lengths, slopes, dtype)
        self.longest = max(lengths)
        self.is_padded = min(lengths) < self.longest
        if self.is_padded:
            self.ends = torch.tensor(lengths, device=slopes.device)
            self.places = row_places(lengths, self.longest, slopes.device)

    def __call__(self, qkv: Tensor) -> Tensor:
        """See `Attention`."""
        b = len(self.lengths)
        if self.is_padded:
            empty = qkv.new_zeros(b * self.longest, *qkv.shape[1:])
            qkv = empty.index_copy(0, self.places, qkv)
        query, key, value = qkv.unflatten(0, (b, self.longest)).permute(2, 0, 3, 1, 4)
        attended = self.attend(query, key, value).transpose(1, 2).flatten(0, 1)
        return attended[self.places] if self.is_padded else attended

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(b, heads, s, d) each -> (b, heads, s, d), for all sequences."""
        slopes = self.slopes

        def add_bias(score: Tensor, b: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
            return score - slopes[head] * (i - j).abs()

        if not self.is_padded:
            return flex_kernel(query.is_cuda)(query, key, value, score_mod=add_bias)
        ends = self.ends

        def add_bias_and_mask(score: Tensor, b: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
            return torch.where(j < ends[b], score - slopes[head] * (i - j).abs(), -math.inf)

        return flex_kernel(query.is_cuda)(query, key, value, score_mod=add_bias_and_mask)


@functools.cache
def flex_kernel(is_cuda: bool):
    """torch's flex_attention; compiled for GPUs, for any shape."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if is_cuda else flex_attention


@functools.cache
def can_compile() -> bool:
    """Whether kernels can be compiled for the GPU here: Triton and a C compiler are needed. Tries it once."""
    qkv = torch.zeros(248, 3, 2, 64, device="cuda", dtype=torch.bfloat16)
    attention = FlexAttention([128, 120], torch.ones(2, device="cuda"), torch.bfloat16)
    try:
        with torch.inference_mode():
            attention(qkv)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of Triton, of the C compiler, of torch's compiler
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        logger.warning("no kernels can be compiled for the GPU (%s); attention takes torch's own, slower", reason)
        return False
    return True

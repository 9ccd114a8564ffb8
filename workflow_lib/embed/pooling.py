"""One vector a window from the vectors of its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_lib.errors import InputError

if TYPE_CHECKING:
    import torch

POOLINGS = ("mean", "cls", "max")


def check_pooling(pooling: str) -> None:
    """Refuse a pooling that is not in `POOLINGS`."""
    if pooling not in POOLINGS:
        raise InputError(f"no pooling {pooling!r}; available: {', '.join(POOLINGS)}", remedy="set embed.pooling")


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool token vectors over the positions of `mask`; always in float32.

    Parameters
    ----------
    hidden : float (b, s, h).
    mask : bool (b, s), true at tokens (special tokens count, as DNABERT-S does it), false at padding.
    pooling : "mean" or "max" over the tokens, or "cls": the first token.

    Returns
    -------
    float32 (b, h).
    """
    import torch

    check_pooling(pooling)
    if pooling == "cls":
        return hidden[:, 0].float()
    kept = mask.unsqueeze(-1)
    if pooling == "max":
        return hidden.masked_fill(~kept, float("-inf")).amax(1).float()
    # The sum runs in float32 without a float32 copy of the hidden states.
    return hidden.masked_fill(~kept, 0).sum(1, dtype=torch.float32) / mask.sum(1, keepdim=True)

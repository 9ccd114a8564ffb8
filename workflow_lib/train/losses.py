"""Contrastive losses on unit vectors of two views: row i of one and row i of the other are of one genome.

Source: Zhou et al. 2024 (DNABERT-S), section 3, and its published code where the paper leaves the sums open; the
weights of negatives are those of Zhang et al. 2021 (PairSupCon); Lee et al. 2021 (i-Mix).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from workflow_lib.train.options import TEMPERATURE


def weighted_simclr(z1: Tensor, z2: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Weighted SimCLR: both views are anchors, and hard negatives count more.

    With s(i, j) = z_i . z_j / temperature over all 2b rows, i+ the other view of i, and N(i) the 2b - 2 rows of other
    pairs: loss = mean_i -log(exp s(i, i+) / (exp s(i, i+) + sum_N a(i, j) exp s(i, j))), where the weight a(i, j) is
    exp s(i, j) over its mean in N(i). Gradients run through the weights.

    Parameters
    ----------
    z1, z2 : float (b, d), unit rows; b at least 2.
    temperature : above 0.

    Returns
    -------
    Scalar, nats.
    """
    n = _check(z1, z2)
    similarity = _products(torch.cat([z1, z2]), torch.cat([z1, z2])) / temperature
    own = torch.eye(n, dtype=torch.bool, device=z1.device).repeat(2, 2)
    positive = similarity.diagonal(n).repeat(2)
    return (torch.logaddexp(positive, _log_negatives(similarity, own)) - positive).mean()


def mi_mix(
    mixed: Tensor, z2: Tensor, permutation: Tensor, lam: Tensor | float, temperature: float = TEMPERATURE
) -> Tensor:
    """Manifold instance mixup: an anchor that mixes i and p(i) is to lie between their other views.

    With s(i, j) = mixed_i . z2_j / temperature, weights a(i, j) as in `weighted_simclr` over the b - 1 rows j != i, and
    D(i) = exp s(i, i) + sum_{j != i} a(i, j) exp s(i, j):
    loss = mean_i -(lam log(exp s(i, i) / D(i)) + (1 - lam) log(exp s(i, p(i)) / D(i))).

    Parameters
    ----------
    mixed : float (b, d), unit rows; hidden states lam h_i + (1 - lam) h_p(i) at some layer, and what became of them.
    z2 : float (b, d), unit rows of the other views, not mixed; b at least 2.
    permutation : int64 (b,), p.
    lam : share of i, of all rows or float (b,).
    temperature : above 0.

    Returns
    -------
    Scalar, nats.
    """
    n = _check(mixed, z2)
    similarity = _products(mixed, z2) / temperature
    own = torch.eye(n, dtype=torch.bool, device=mixed.device)
    positive = similarity.diagonal()
    partner = similarity.gather(1, permutation[:, None]).squeeze(1)
    total = torch.logaddexp(positive, _log_negatives(similarity, own))
    return (total - lam * positive - (1 - lam) * partner).mean()


def i_mix(
    mixed: Tensor, z2: Tensor, permutation: Tensor, lam: Tensor | float, temperature: float = TEMPERATURE
) -> Tensor:
    """i-Mix's loss: cross-entropy of mixed labels, every row of `z2` with the same weight; for inputs that are mixed.

    loss = mean_i lam H(i) + (1 - lam) H(p(i)), with H(k) = log(sum_j exp s(i, j)) - s(i, k). Source: Lee et al. 2021,
    section 3.1 (N-pair loss). Parameters as of `mi_mix`.
    """
    n = _check(mixed, z2)
    similarity = _products(mixed, z2) / temperature
    own = cross_entropy(similarity, torch.arange(n, device=mixed.device), reduction="none")
    partner = cross_entropy(similarity, permutation, reduction="none")
    return (lam * own + (1 - lam) * partner).mean()


def _check(z1: Tensor, z2: Tensor) -> int:
    if z1.shape != z2.shape or z1.ndim != 2 or len(z1) < 2:
        raise ValueError(
            f"found views of shapes {tuple(z1.shape)} and {tuple(z2.shape)}, expected (b, d) twice, b >= 2"
        )
    return len(z1)


def _products(z1: Tensor, z2: Tensor) -> Tensor:
    """All products of rows, in float32 at least: autocast would round them, and a temperature enlarges the error."""
    dtype = torch.promote_types(z1.dtype, torch.float32)
    with torch.autocast(z1.device.type, enabled=False):
        return z1.to(dtype) @ z2.to(dtype).T


def _log_negatives(similarity: Tensor, own: Tensor) -> Tensor:
    """log sum_j a(i, j) exp s(i, j) over the columns that are not `own`, for each row."""
    others = similarity.masked_fill(own, -math.inf)
    n_others = (~own).sum(1).log()
    return torch.logsumexp(2 * others, 1) - (torch.logsumexp(others, 1) - n_others)

"""Masking for masked-language-model training: which tokens are hidden, by what, and what is to be told of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

IGNORED = -100  # label of a token that does not count; cross_entropy of torch leaves it out
MASKED_SHARE = 0.15  # Devlin et al. 2019, section 3.1
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens; the others stay as they are. Same source


class Masked(NamedTuple):
    """What the model reads and what it is to tell: int64 (b, s) each; labels are `IGNORED` where nothing is asked."""

    inputs: np.ndarray
    labels: np.ndarray


def choose_tokens(maskable: np.ndarray, *, span: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Choose tokens in spans of `span` neighbours, so that each maskable token is chosen with probability `share`.

    One overlapping k-mer alone would be told by its neighbours, which spell all its letters. With k neighbours hidden,
    one letter is hidden; with more, span - k + 1. Spans may overlap, and begin before a row or end behind it: then the
    outer letters of the row are hidden.

    A span begins at a place with probability q = 1 - (1 - share)^(1 / span), since a token is spared by none of the
    `span` places that reach it with probability (1 - q)^span. Where chance chooses nothing at all, one span is chosen.

    Source: Ji et al. 2021 (DNABERT), section 2.2, for the spans; the formula follows from them.

    Parameters
    ----------
    maskable : bool (b, s), false at special tokens and padding.
    span : 1 where tokens do not overlap, at least k for overlapping k-mers.
    share : above 0, below 1.

    Returns
    -------
    bool (b, s), false where `maskable` is.
    """
    n_rows, n_tokens = maskable.shape
    begins = rng.random((n_rows, n_tokens + span - 1)) < 1 - (1 - share) ** (1 / span)
    sums = np.pad(np.cumsum(begins, axis=1), ((0, 0), (1, 0)))
    chosen = (sums[:, span:] > sums[:, :-span]) & maskable
    if maskable.any() and not chosen.any():
        row, place = rng.choice(np.argwhere(maskable))
        first = place - rng.integers(span)
        chosen[row, max(0, first) : first + span] = True
    return chosen & maskable


def mask_tokens(
    ids: np.ndarray,
    maskable: np.ndarray,
    *,
    mask_id: int,
    replacements: np.ndarray,
    span: int = 1,
    share: float = MASKED_SHARE,
    rng: np.random.Generator,
) -> Masked:
    """Hide a share of the tokens: 80% behind the mask token, 10% behind random tokens, 10% not at all.

    Where tokens overlap (span above 1), what replaces them is drawn once for each run of chosen neighbours: a token
    left as it is would tell those beside it.

    Source: Devlin et al. 2019 (BERT), section 3.1; spans: `choose_tokens`.

    Parameters
    ----------
    ids : int (b, s).
    maskable : bool (b, s), false at special tokens and padding.
    mask_id : of the mask token.
    replacements : int (n,), the ids that random tokens are drawn from.
    """
    chosen = choose_tokens(maskable, span=span, share=share, rng=rng)
    lots = rng.random(ids.shape)
    if span > 1:
        begins = chosen & ~np.pad(chosen, ((0, 0), (1, 0)))[:, :-1]
        runs = np.cumsum(begins.ravel()).reshape(ids.shape)  # of a chosen token: 1, 2, ... in reading order
        lots = rng.random(int(runs[-1, -1]) + 1)[runs] if runs.size else lots
    inputs = ids.astype(np.int64)
    inputs[chosen & (lots < MASK_SHARE)] = mask_id
    random = chosen & (lots >= MASK_SHARE) & (lots < MASK_SHARE + RANDOM_SHARE)
    inputs[random] = rng.choice(replacements, int(random.sum()))
    return Masked(inputs, np.where(chosen, ids, IGNORED).astype(np.int64))

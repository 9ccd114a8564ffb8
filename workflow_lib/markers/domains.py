"""The domain that the marker families of a bin speak for: archaea have only some of the families of bacteria."""

from __future__ import annotations

import math

import numpy as np

_STRAY = 0.02  # probability that a family which archaea lack is found in one: a false gene, a foreign contig
# Log-likelihood ratio, from which a bin is taken for an archaeon. Families that archaea have lie together on the
# genomes of bacteria (ribosomal proteins), so that a part of one may show many of these and few others.
_DECIDES = 6.0
_COMMON = 0.25  # of the share of genomes with a family, relative to families that nearly all have: archaea have it


def is_archaeal(found: np.ndarray, archaeal: np.ndarray) -> bool:
    """Whether the families of a bin are those of an archaeon, rather than of a bacterium.

    A bin of a bacterium has each family with one probability; that of an archaeon has each of its own with one, and
    each other with 0.02. Both probabilities are the likeliest ones. It is an archaeon from a log-likelihood ratio of 6
    on (docs/methods.md, *Marker genes*).

    Parameters
    ----------
    found : bool (m,) families that the bin has.
    archaeal : bool (m,) families that archaea have; where all are, no bin is told to be archaeal.
    """
    own, others = np.count_nonzero(found & archaeal), np.count_nonzero(found & ~archaeal)
    n_own, n_others = np.count_nonzero(archaeal), np.count_nonzero(~archaeal)
    archaeon = _log_likelihood(own, n_own) + _log_likelihood(others, n_others, _STRAY)
    return bool(archaeon - _log_likelihood(own + others, n_own + n_others) > _DECIDES)


def _log_likelihood(found: int, n: int, probability: float | None = None) -> float:
    """Of finding so many of n families, each with a probability; None: the likeliest one."""
    if probability is None:
        probability = found / max(n, 1)
    there = found * math.log(probability) if found else 0.0
    return there + ((n - found) * math.log1p(-probability) if found < n else 0.0)


def find_archaeal(found: np.ndarray) -> np.ndarray:
    """Which families archaea have, bool (m,), from those found in some of their genomes, or in parts of these.

    Parameters
    ----------
    found : bool (g, m) families found in each of g archaeal genomes; g at least 1.

    Notes
    -----
    Those that at least a quarter as many genomes have as have the commonest tenth of the families: in parts of genomes
    no family is found in all.
    """
    share = found.mean(axis=0)
    return (share > 0) & (share >= _COMMON * np.quantile(share, 0.9))

"""Curriculum contrastive training of an embedder: Weighted SimCLR, then manifold instance mixup.

Source: Zhou et al. 2024 (DNABERT-S), section 3; Lee et al. 2021 (i-Mix) for mixing inputs; Verma et al. 2019 for mixing
hidden states.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from workflow_lib.embed.pooling import pool
from workflow_lib.errors import InputError
from workflow_lib.train import losses, processes
from workflow_lib.train.genomes import TrainingGenome, hash_genomes
from workflow_lib.train.options import ContrastiveOptions
from workflow_lib.train.pairs import PairSampler
from workflow_lib.train.prefetch import Prefetch
from workflow_lib.train.trainable import Batch, Trainable
from workflow_lib.train.validation import HeldOutPieces

logger = logging.getLogger(__name__)

_PAIRS, _MIXING, _HELD_OUT = range(3)  # streams of random numbers
_VALIDATION_BATCHES = 4


class Mixing(NamedTuple):
    """Row i becomes lam h_i + (1 - lam) h_p(i) before layer `layer`; p int64 (b,)."""

    layer: int
    permutation: Tensor
    lam: float


class ContrastiveModel(nn.Module):
    """A `Trainable` with the projection of contrastive training, if there is one.

    Parameters
    ----------
    head : columns of the projection: linear, ReLU, linear, without biases; 0: none. Source: Zhou et al. 2024.
    """

    def __init__(self, trainable: Trainable, *, head: int, seed: int) -> None:
        super().__init__()
        self.encoder, self.trainable = trainable.module, trainable
        self.head = _make_head(trainable.dim, head, seed) if head else nn.Identity()

    def forward(self, batch: Batch, mixing: Mixing | None = None) -> Tensor:
        """Projected unit rows (b, head) of a batch, mixed or not."""
        return normalize(self.head(self.embed(batch, mixing)), dim=1)

    def embed(self, batch: Batch, mixing: Mixing | None = None) -> Tensor:
        """Vectors (b, dim): means over the tokens.

        Tokens are mixed place by place; a mixture is as long as the shorter of its two.
        """
        run, hidden, mask = self.trainable.run, self.trainable.begin(batch), batch.mask
        done = 0
        if mixing is not None:
            hidden, done = run(hidden, mask, 0, mixing.layer), mixing.layer
            hidden = mixing.lam * hidden + (1 - mixing.lam) * hidden[mixing.permutation]
            mask = mask & mask[mixing.permutation]
            hidden = hidden * mask.unsqueeze(2)
        return pool(run(hidden, mask, done, self.trainable.n_layers), mask, "mean")


def _make_head(width: int, columns: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # the caller's random state stays
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(width, width, bias=False), nn.ReLU(), nn.Linear(width, columns, bias=False))


class ContrastiveTask:
    """Training a `Trainable` on positive pairs: a `Task` of `loop.train`.

    Seed and step decide a batch. Of several processes each embeds its share of the rows, and the loss is that of all of
    them: the same training as in one process, up to the order of sums (manifold mixing pairs rows of one process).

    Parameters
    ----------
    genomes, held_out : to learn from, and to validate on (none: no validation); see `genomes.split_by_genus`.

    Attributes
    ----------
    module : the `ContrastiveModel`.
    identity : of first weights, genomes and options; see `loop.Task`.

    Raises
    ------
    InputError
        when there are too few species, or a batch cannot be shared out among the processes.
    """

    def __init__(
        self,
        trainable: Trainable,
        genomes: Sequence[TrainingGenome],
        held_out: Sequence[TrainingGenome],
        options: ContrastiveOptions,
    ) -> None:
        self.options, self.n_steps = options, options.steps
        self.module = ContrastiveModel(trainable, head=options.head, seed=options.seed)
        self._sampler = PairSampler(genomes, options.pairs, multiple=processes.n_processes())
        self._share = _share_out(self._sampler)
        self._take = Prefetch(self._make, options.steps)
        self._held_out_pairs, self._held_out_pieces = [], None
        if held_out:
            rng = self._rng(_HELD_OUT, 0)
            held_out_pairs = PairSampler(held_out, options.pairs)
            self._held_out_pairs = [held_out_pairs.draw(rng) for _ in range(_VALIDATION_BATCHES)]
            self._held_out_pieces = HeldOutPieces(held_out, options.pairs, n=options.validation_pieces, rng=rng)
        drawn = asdict(options)
        self.identity = {
            "task": "contrastive", **trainable.identity, "genomes": hash_genomes(genomes),
            "held-out genomes": hash_genomes(held_out), **drawn.pop("pairs"), **drawn,
        }  # fmt: skip
        logger.info(
            "%d steps of Weighted SimCLR, then %d of %s mixing; batches of %d pairs",
            options.first_mixed_step, options.steps - options.first_mixed_step, options.mixing,
            self._share * processes.n_processes(),
        )  # fmt: skip

    def _rng(self, stream: int, step: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, stream, step])

    def loss(self, step: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, dict[str, float]]:
        """Weighted SimCLR in the first phase, the loss of mixtures in the second; and the mean similarity of pairs."""
        first, second = (batch.to(device) for batch in self._take(step))
        temperature = self.options.temperature
        z2 = self.module(second)
        if step < self.options.first_mixed_step:
            z1, z2 = processes.gather_rows(self.module(first)), processes.gather_rows(z2)
            similarity = float((z1 * z2).sum(1).mean().detach())
            return losses.weighted_simclr(z1, z2, temperature), {"pair_similarity": similarity}
        layer, permutations, lam = self._draw_mixing(step)
        own = permutations[processes.rank()].to(device)
        z1 = self.module(first, Mixing(layer, own, lam))
        z1, z2 = processes.gather_rows(z1), processes.gather_rows(z2)
        of_all = torch.cat([part + i * self._share for i, part in enumerate(permutations)]).to(device)
        mixed_loss = losses.mi_mix if self.options.mixing == "manifold" else losses.i_mix
        return mixed_loss(z1, z2, of_all, lam, temperature), {}

    def _draw_mixing(self, step: int) -> tuple[int, list[Tensor], float]:
        """Layer, a permutation for each process, and share of the anchor: the same in all processes."""
        rng = self._rng(_MIXING, step)
        layer = int(rng.integers(self.module.trainable.n_layers)) if self.options.mixing == "manifold" else 0
        lam = float(rng.beta(self.options.mix_alpha, self.options.mix_alpha))
        return layer, [torch.from_numpy(rng.permutation(self._share)) for _ in range(processes.n_processes())], lam

    def _make(self, step: int) -> tuple[Batch, Batch]:
        """Both views of a step."""
        pairs = self._sampler.draw(self._rng(_PAIRS, step))
        start = processes.rank() * self._share
        encode, rows = self.module.trainable.encode, slice(start, start + self._share)
        return encode(pairs.first[rows]), encode(pairs.second[rows])

    @torch.no_grad()
    def validate(self, device: torch.device) -> dict[str, float]:
        """On the held-out genera, always the same pieces.

        Returns
        -------
        loss, Weighted SimCLR of pairs; ari, adjusted Rand index of K-means with the number of species known against the
        species of the pieces, on the vectors without projection; ari_tnf, the same of tetranucleotide frequencies.
        Nothing without held-out genomes.
        """
        if self._held_out_pieces is None:
            return {}
        encode = self.module.trainable.encode
        values = []
        for pairs in self._held_out_pairs:
            z1, z2 = (self.module(encode(view).to(device)) for view in (pairs.first, pairs.second))
            values.append(float(losses.weighted_simclr(z1, z2, self.options.temperature)))
        rows = self.options.pairs.batch_size

        def embed(sequences: list[bytes]) -> np.ndarray:
            parts = [sequences[i : i + rows] for i in range(0, len(sequences), rows)]
            vectors = [self.module.embed(encode(part).to(device)).cpu() for part in parts]
            return torch.cat(vectors).numpy()

        return {"loss": float(np.mean(values)), **self._held_out_pieces.score(embed)}


def _share_out(sampler: PairSampler) -> int:
    """Pairs of a batch for each process: at least two, or nothing is mixed."""
    n_devices, asked = processes.n_processes(), sampler.options.batch_size
    share = sampler.n_rows // n_devices
    if share < 2:
        raise InputError(
            f"found batches of {asked} pairs and {sampler.n_species} species for {n_devices} devices, expected two of "
            "each a device, or more",
            remedy="raise train.batch_size, train on more species, or on fewer devices",
        )
    processes.divide_batch(asked, option="train.batch_size")
    if sampler.n_rows < asked:
        logger.warning(
            "batches of %d pairs only, not of %d (train.batch_size): there are %d species, and %d devices",
            sampler.n_rows, asked, sampler.n_species, n_devices,
        )  # fmt: skip
    return share

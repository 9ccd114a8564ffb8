"""Masked-language-model pre-training of a small transformer, with any of novabin's tokenizers.

Source: Devlin et al. 2019 (BERT) for the task, Zhou et al. 2024 (DNABERT-2) for the architecture, Ji et al. 2021
(DNABERT) for spans of overlapping k-mers, Ye et al. 2024 (Genomics-FM) for two vocabularies in one model.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from workflow_lib.embed.base import compute_fingerprint
from workflow_lib.embed.dnabert2 import DNABERT2Config
from workflow_lib.embed.ensemble_tokenizer import EnsembleTokenizer
from workflow_lib.embed.tokenization import DNATokenizer
from workflow_lib.train import processes
from workflow_lib.train.mlm_data import Batch, BatchMaker, PieceSampler, make_vocabularies
from workflow_lib.train.mlm_masking import IGNORED
from workflow_lib.train.mlm_model import MaskedLM
from workflow_lib.train.mlm_options import PretrainOptions
from workflow_lib.train.prefetch import Prefetch

logger = logging.getLogger(__name__)

_TRAINING, _VALIDATION, _COUNTING = range(3)  # streams of random numbers
_VALIDATION_BATCHES = 8


class MaskedLMTask:
    """Telling hidden tokens of random pieces of genomes: a `Task` of `loop.train`.

    Seed, step and process decide a batch. Of several processes each draws its share of the rows.

    Parameters
    ----------
    segments, held_out : stretches of genomes to learn from, and to validate on; see `PieceSampler`.
    tokenizer : of `tokenization` or `ensemble_tokenizer`.

    Attributes
    ----------
    module : the `MaskedLM`.
    identity : of data, tokens and options; see `loop.Task`.

    Raises
    ------
    InputError
        when a number cannot be, or there is nothing to learn from or to validate on.
    """

    def __init__(
        self,
        segments: Sequence[bytes],
        held_out: Sequence[bytes],
        tokenizer: DNATokenizer | EnsembleTokenizer,
        options: PretrainOptions,
    ) -> None:
        self.n_steps, self._seed = options.steps, options.seed
        vocabularies = make_vocabularies(tokenizer, span=options.span)
        samplers = PieceSampler(segments), PieceSampler(held_out)
        rows = processes.divide_batch(options.batch_size, option="pretrain.batch_size")
        self._training, validation = (
            BatchMaker(sampler, vocabularies, rows=rows, max_tokens=options.max_tokens, share=options.masked)
            for sampler in samplers
        )
        self._take = Prefetch(self.make_batch, options.steps)
        self._held_out = [validation.make(self._rng(_VALIDATION, i)) for i in range(_VALIDATION_BATCHES)]
        self._unigram_loss = self._measure_unigram_loss(np.concatenate([v.token_ids for v in vocabularies]))
        config = DNABERT2Config(vocab_size=-(-tokenizer.n_ids // 8) * 8, **options.shape)
        self.module = MaskedLM(config, seed=options.seed)
        self.identity = {
            "task": "mlm", "genomes": samplers[0].fingerprint, "held-out genomes": samplers[1].fingerprint,
            "token ids": compute_fingerprint({}, [vocabulary.token_ids for vocabulary in vocabularies]),
            **asdict(options),
        }  # fmt: skip
        logger.info(
            "MLM: %.1f M parameters, %d ids, %d vocabularies; %.2f Mbp to learn from, %.2f held out; %d tokens a batch",
            sum(p.numel() for p in self.module.parameters()) / 1e6, tokenizer.n_ids, len(vocabularies),
            samplers[0].n_bp / 1e6, samplers[1].n_bp / 1e6, rows * processes.n_processes() * options.max_tokens,
        )  # fmt: skip

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *numbers])

    def loss(self, step: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy (nats) of the hidden tokens of a step's batch, and how many tokens the batch has."""
        batch = self._take(step)
        scores, labels = self._scores(batch, device)
        return cross_entropy(scores.float(), labels), {"tokens": float(batch.mask.sum())}

    def make_batch(self, step: int) -> Batch:
        """This process's batch of a step."""
        return self._training.make(self._rng(_TRAINING, step, processes.rank()))

    def _scores(self, batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
        inputs, mask, labels = (torch.from_numpy(array).to(device, non_blocking=True) for array in batch)
        return self.module(inputs, mask, labels), labels[labels != IGNORED]

    def _measure_unigram_loss(self, token_ids: np.ndarray) -> float:
        """Cross-entropy (nats) of the held-out batches' hidden tokens under the frequencies in as many of training.

        One is added to each count, so that no token has none.
        """
        counts = np.zeros(token_ids.max() + 1)
        counts[token_ids] = 1
        for i in range(_VALIDATION_BATCHES):
            batch = self._training.make(self._rng(_COUNTING, i))
            ids = np.where(batch.labels == IGNORED, batch.inputs, batch.labels)
            counts += np.bincount(ids[np.isin(ids, token_ids)], minlength=len(counts))
        told = np.concatenate([batch.labels[batch.labels != IGNORED] for batch in self._held_out])
        return float(-np.log(counts[told] / counts.sum()).mean())

    @torch.no_grad()
    def validate(self, device: torch.device) -> dict[str, float]:
        """On the held-out genomes, always the same batches.

        Returns
        -------
        loss, nats a hidden token; perplexity, its exponential; accuracy, share of hidden tokens told; unigram_loss,
        what one who knows nothing but the tokens' frequencies in training would have for a loss.
        """
        total, right, n = 0.0, 0, 0
        for batch in self._held_out:
            scores, labels = self._scores(batch, device)
            total += float(cross_entropy(scores.float(), labels, reduction="sum"))
            right += int((scores.argmax(dim=1) == labels).sum())
            n += len(labels)
        loss = total / n
        return {
            "loss": loss, "perplexity": math.exp(loss), "accuracy": right / n, "unigram_loss": self._unigram_loss,
        }  # fmt: skip

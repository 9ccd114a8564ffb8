"""Batches for masked-language-model training: random pieces of genomes, tokenized and masked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workflow_lib.embed.ensemble_tokenizer import EnsembleTokenizer
from workflow_lib.embed.tokenization import SPECIAL_TOKENS, DNATokenizer
from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement
from workflow_lib.train.mlm_masking import IGNORED, mask_tokens

_SLACK = 1.5  # pieces are so much longer than the tokens need on average, and cut: rows are full, hardly padded
_PROBE_BP = 20_000


class PieceSampler:
    """Random pieces of genomes from both strands.

    Parameters
    ----------
    segments : stretches of genomes between gaps (`windows.split_segments`); kept by reference, not copied.

    Attributes
    ----------
    n_bp : bases to draw from.
    fingerprint : hex SHA-256 of the sequences, in order.

    Raises
    ------
    InputError
        when there are none.
    """

    def __init__(self, segments: Sequence[bytes]) -> None:
        if not segments:
            raise InputError("found no sequences to train on", remedy="name genomes with stretches of 20 bp or more")
        digest = hashlib.sha256()
        for segment in segments:
            digest.update(segment + b"\n")
        lengths = np.array([len(segment) for segment in segments])
        self._segments, self.n_bp, self.fingerprint = segments, int(lengths.sum()), digest.hexdigest()
        self._shares = lengths / lengths.sum()

    def draw(self, n: int, length: int, rng: np.random.Generator) -> list[bytes]:
        """`n` pieces of at most `length` bp: segments by their length, any place, either strand."""
        pieces = []
        for index in rng.choice(len(self._segments), n, p=self._shares):
            segment = self._segments[index]
            start = rng.integers(max(1, len(segment) - length + 1))
            piece = segment[start : start + length]
            pieces.append(reverse_complement(piece) if rng.integers(2) else piece)
        return pieces

    def probe(self) -> bytes:
        """Up to 20 kbp of the longest segment."""
        return max(self._segments, key=len)[:_PROBE_BP]


@dataclass(frozen=True)
class Vocabulary:
    """One way to cut DNA into tokens that a model learns.

    Attributes
    ----------
    encode : pieces -> ids of each, special tokens included.
    token_ids : int64, its tokens without special ones.
    span : tokens that are masked together.
    mask_id : of [MASK].
    pad_id : of [PAD].
    """

    encode: Callable[[Sequence[bytes]], list[np.ndarray]]
    token_ids: np.ndarray
    span: int
    mask_id: int
    pad_id: int


def make_vocabularies(tokenizer: DNATokenizer | EnsembleTokenizer, *, span: int | None = None) -> list[Vocabulary]:
    """The vocabularies of a tokenizer: two of an ensemble, else one.

    Parameters
    ----------
    span : overlapping k-mers that are masked together; None: k. It must be at least k, or neighbours tell a token.
    """
    mask_id, pad_id = tokenizer.id_of("[MASK]"), tokenizer.id_of("[PAD]")
    is_ensemble = isinstance(tokenizer, EnsembleTokenizer)
    overlaps = is_ensemble or tokenizer.kind == "overlapping-kmer"
    if overlaps and span is not None and span < tokenizer.k:
        raise InputError(f"found a span of {span}, expected at least k = {tokenizer.k}", remedy="correct pretrain.span")
    if is_ensemble:
        spans = {"bpe": 1, "kmer": span or tokenizer.k}
        return [
            Vocabulary(
                lambda texts, name=name: tokenizer.encode(texts, vocabulary=name),
                tokenizer.token_ids[name], spans[name], mask_id, pad_id,
            )
            for name in spans
        ]  # fmt: skip
    special = [tokenizer.id_of(token) for token in SPECIAL_TOKENS]
    token_ids = np.setdiff1d(np.arange(tokenizer.n_ids), special)
    return [Vocabulary(tokenizer.encode, token_ids, (span or tokenizer.k) if overlaps else 1, mask_id, pad_id)]


class Batch(NamedTuple):
    """Int64 (b, s) ids and labels (`IGNORED` where nothing is asked), bool (b, s) mask, true at tokens."""

    inputs: np.ndarray
    mask: np.ndarray
    labels: np.ndarray


class BatchMaker:
    """Masked batches of random pieces; each vocabulary gets its share of the rows.

    Parameters
    ----------
    rows : of a batch.
    max_tokens : of a row, special tokens included.
    share : of the tokens that are masked.
    """

    def __init__(
        self, sampler: PieceSampler, vocabularies: Sequence[Vocabulary], *, rows: int, max_tokens: int, share: float
    ) -> None:
        if rows < len(vocabularies):
            raise InputError(
                f"found a batch of {rows} rows, expected at least {len(vocabularies)}: one a vocabulary",
                remedy="raise pretrain.batch_size",
            )
        self.sampler, self.rows, self.max_tokens, self.share = sampler, rows, max_tokens, share
        probe = sampler.probe()
        self._parts = []
        for i, vocabulary in enumerate(vocabularies):
            n_rows = (rows + i) // len(vocabularies)
            bp = len(probe) / max(1, len(vocabulary.encode([probe])[0]))
            self._parts.append((vocabulary, n_rows, int(np.ceil(_SLACK * bp * max_tokens))))

    def make(self, rng: np.random.Generator) -> Batch:
        """The batch of a random state."""
        batches = [self._make_part(*part, rng) for part in self._parts]
        width = max(batch.inputs.shape[1] for batch in batches)
        pads = [((0, 0), (0, width - batch.inputs.shape[1])) for batch in batches]
        pad_id = self._parts[0][0].pad_id
        return Batch(
            *(
                np.concatenate(
                    [np.pad(b[field], pad, constant_values=fill) for b, pad in zip(batches, pads, strict=True)]
                )
                for field, fill in enumerate((pad_id, False, IGNORED))
            )
        )

    def _make_part(self, vocabulary: Vocabulary, n_rows: int, bp: int, rng: np.random.Generator) -> Batch:
        encoded = [ids for ids in vocabulary.encode(self.sampler.draw(n_rows, bp, rng)) if len(ids)]
        rows = [
            np.append(ids[: self.max_tokens - 1], ids[-1]) if len(ids) > self.max_tokens else ids for ids in encoded
        ]
        ids = np.full((len(rows), max(map(len, rows), default=1)), vocabulary.pad_id, dtype=np.int64)
        mask = np.zeros(ids.shape, dtype=bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, True
        masked = mask_tokens(
            ids,
            np.isin(ids, vocabulary.token_ids),
            mask_id=vocabulary.mask_id,
            replacements=vocabulary.token_ids,
            span=vocabulary.span,
            share=self.share,
            rng=rng,
        )
        return Batch(masked.inputs, mask, masked.labels)

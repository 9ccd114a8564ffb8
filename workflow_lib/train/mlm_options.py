"""What decides a pre-trained model: its tokenizer, its sizes, its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_lib.embed import ensemble_tokenizer
from workflow_lib.embed.ensemble_tokenizer import EnsembleTokenizer, train_ensemble_tokenizer
from workflow_lib.embed.tokenization import KINDS, DNATokenizer, train_tokenizer
from workflow_lib.errors import InputError
from workflow_lib.train.mlm_masking import MASKED_SHARE
from workflow_lib.train.options import LoopSettings, pick

TOKENIZERS = (*KINDS, ensemble_tokenizer.KIND)
MIN_TOKENS = 8  # three special ones, and some to learn from
FEED_FORWARD = 4  # inner width of a layer by its outer one, as in DNABERT-2


@dataclass(frozen=True)
class PretrainOptions:
    """What decides a pre-trained model, named as in the configuration's pretrain section.

    Attributes
    ----------
    tokenizer : of `TOKENIZERS`.
    vocabulary_size : tokens at most; of an ensemble's BPE part; None: as of `tokenization.train_tokenizer`.
    k : letters of a k-mer.
    span : overlapping k-mers masked together; None: k.
    masked : share of the tokens that are masked.
    width, layers, heads : of the transformer.
    max_tokens : of a row, special tokens included.
    batch_size : rows of a batch, of all devices together.
    steps : batches of the whole training.
    seed : of tokenizer, split, weights and batches.
    """

    tokenizer: str = "bpe"
    vocabulary_size: int | None = None
    k: int = 6
    span: int | None = None
    masked: float = MASKED_SHARE
    width: int = 256
    layers: int = 6
    heads: int = 4
    max_tokens: int = 512
    batch_size: int = 64
    steps: int = 100_000
    seed: int = 1

    def __post_init__(self) -> None:
        if self.tokenizer not in TOKENIZERS:
            raise InputError(
                f"found the tokenizer {self.tokenizer!r}, expected one of {', '.join(TOKENIZERS)}",
                remedy="correct pretrain.tokenizer",
            )
        if self.heads < 1 or self.width % self.heads:
            raise InputError(
                f"found a width of {self.width} for {self.heads} heads, expected a multiple of them",
                remedy="correct pretrain.width or pretrain.heads",
            )
        if not 0 < self.masked < 1:
            raise InputError(f"found a masked share of {self.masked}, expected above 0 and below 1")
        if self.max_tokens < MIN_TOKENS:
            raise InputError(f"found {self.max_tokens} tokens a row, expected at least {MIN_TOKENS}")

    @property
    def shape(self) -> dict[str, int]:
        """Sizes of the encoder, named as in config.json."""
        return {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": FEED_FORWARD * self.width,
        }


def read_pretraining(section: Mapping[str, object]) -> dict[str, object]:
    """Arguments of `pretraining.pretrain_model` from the configuration's section pretrain, but table and device.

    Raises
    ------
    InputError
        when the section cannot be used, as far as it tells by itself.
    """
    return {
        "options": PretrainOptions(**pick(PretrainOptions, section)),
        "settings": LoopSettings(**pick(LoopSettings, section)),
        "held_out": section["held_out"],
    }


def make_tokenizer(
    options: PretrainOptions, fasta_paths: Sequence[str | Path], folder: str | Path
) -> DNATokenizer | EnsembleTokenizer:
    """Train the tokenizer that the options name on FASTA files, and save it in a folder."""
    common = {"folder": folder, "vocabulary_size": options.vocabulary_size, "k": options.k, "seed": options.seed}
    if options.tokenizer == ensemble_tokenizer.KIND:
        return train_ensemble_tokenizer(fasta_paths, **common)
    return train_tokenizer(options.tokenizer, fasta_paths, **common)

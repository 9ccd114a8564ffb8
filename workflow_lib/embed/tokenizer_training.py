"""Tokenizers made with the `tokenizers` library: a sample of pieces, k-mer counts, training; imported only to train."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from workflow_lib.embed.tokenization import LETTERS, SPECIAL_TOKENS
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta

logger = logging.getLogger(__name__)

PIECE_BP = 1000  # a word of the trainers; tokens do not cross its ends
DEFAULT_MBP = {"bpe": 20.0, "unigram": 1.0}
_SCORE_DECIMALS = 6  # unigram's last digits depend on the order of sums
_COUNT_BLOCK = 1 << 20


def iterate_pieces(fasta_paths: Sequence[str | Path]) -> Iterator[str]:
    """Yield sequences of FASTA files in pieces of at most `PIECE_BP`, every code other than A, C, G, T as N."""
    other = bytes(ord("N") if chr(code) not in "ACGT" else code for code in range(256))
    for path in fasta_paths:
        for record in read_fasta(path):
            for start in range(0, len(record.sequence), PIECE_BP):
                yield record.sequence[start : start + PIECE_BP].translate(other).decode("ascii")


def sample_pieces(fasta_paths: Sequence[str | Path], *, max_mbp: float, seed: int) -> list[str]:
    """At most `max_mbp` Mbp of pieces, drawn evenly over the files in one pass (reservoir sampling, Vitter 1985).

    Pieces of N only are left out. Memory: `max_mbp` MB.
    """
    n_most = max(1, round(max_mbp * 1e6 / PIECE_BP))
    rng = random.Random(seed)
    sample: list[str] = []
    n_seen = 0
    for piece in iterate_pieces(fasta_paths):
        if not piece.strip("N"):
            continue
        n_seen += 1
        if len(sample) < n_most:
            sample.append(piece)
        elif (place := rng.randrange(n_seen)) < n_most:
            sample[place] = piece
    logger.info("%d of %d pieces sampled, %.2f Mbp", len(sample), n_seen, sum(map(len, sample)) / 1e6)
    return sample


def count_kmers(fasta_paths: Sequence[str | Path], k: int) -> np.ndarray:
    """Occurrences, int64 (4**k,), of overlapping k-mers of A, C, G and T on one strand, in alphabetical order."""
    codes = np.full(256, 4, dtype=np.int64)
    codes[np.frombuffer(b"ACGT", dtype=np.uint8)] = range(4)
    counts = np.zeros(4**k, dtype=np.int64)
    for path in fasta_paths:
        for record in read_fasta(path):
            for start in range(0, len(record.sequence) - k + 1, _COUNT_BLOCK):
                block = record.sequence[start : start + _COUNT_BLOCK + k - 1]
                digits = codes[np.frombuffer(block, dtype=np.uint8)]
                n = len(digits) - k + 1
                columns, valid = np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool)
                for offset in range(k):
                    columns = columns * 4 + digits[offset : offset + n]
                    valid &= digits[offset : offset + n] < 4
                counts += np.bincount(columns[valid], minlength=4**k)
    return counts


def make_kmer_tokenizer(kind: str, kmers: Sequence[str], k: int) -> str:
    """The tokenizer.json of `kmers`, in the order of their ids after the special tokens and letters."""
    letters = [] if kind == "overlapping-kmer" else list(LETTERS)
    tokens = dict.fromkeys([*SPECIAL_TOKENS, *letters, *kmers])
    model = models.WordLevel({token: identity for identity, token in enumerate(tokens)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    if kind == "overlapping-kmer":
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f"[ACGT]{{{k}}}|[ACGTN]"), "isolated")
    return _finish(tokenizer, blanks=kind == "overlapping-kmer")


def learn_tokens(kind: str, fasta_paths: Sequence[str | Path], *, size: int, max_mbp: float | None, seed: int) -> str:
    """The tokenizer.json of kind `bpe` or `unigram`, learnt from a sample; N is never part of a longer token.

    Raises
    ------
    InputError
        when the files have no bases.
    """
    start = time.perf_counter()
    pieces = sample_pieces(fasta_paths, max_mbp=DEFAULT_MBP[kind] if max_mbp is None else max_mbp, seed=seed)
    if not pieces:
        raise InputError("found no bases in the FASTA files to learn tokens from", remedy="give files with sequences")
    common = {
        "vocab_size": size, "special_tokens": list(SPECIAL_TOKENS), "initial_alphabet": list(LETTERS),
        "show_progress": False,
    }  # fmt: skip
    if kind == "bpe":
        tokenizer, trainer = Tokenizer(models.BPE(unk_token="[UNK]")), trainers.BpeTrainer(**common)
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(unk_token="[UNK]", **common)
    tokenizer.pre_tokenizer = pre_tokenizers.Split("N", "isolated")
    tokenizer.train_from_iterator(iter(pieces), trainer)
    if kind == "unigram":
        tokenizer = _rounded_unigram(tokenizer)
    logger.info("%s: %d tokens, %.0f s", kind, tokenizer.get_vocab_size(), time.perf_counter() - start)
    return _finish(tokenizer)


def join_kmers(bpe: str, kmers: Sequence[str], *, prompts: Sequence[str]) -> str:
    """A BPE tokenizer.json with prompt tokens and k-mers behind its own tokens; it encodes as BPE, with its prompt.

    Parameters
    ----------
    bpe : the content of a tokenizer.json of `learn_tokens`.
    kmers : their names, which no DNA spells.
    prompts : the prompt tokens; the first is that of BPE.
    """
    content = json.loads(bpe)
    vocabulary = content["model"]["vocab"]
    first = 1 + max(vocabulary.values())
    vocabulary.update({token: identity for identity, token in enumerate([*prompts, *kmers], start=first)})
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_special_tokens(list(prompts))
    special = ["[CLS]", prompts[0], "[SEP]"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"[CLS] {prompts[0]} $A [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in special],
    )
    return tokenizer.to_str(pretty=True)


def _rounded_unigram(tokenizer: Tokenizer) -> Tokenizer:
    """Scores to six decimals and tokens sorted by them: the same file whatever the order of the trainer's sums."""
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    n_special = len(SPECIAL_TOKENS)
    learnt = [[token, round(score, _SCORE_DECIMALS)] for token, score in model["vocab"][n_special:]]
    model["vocab"][n_special:] = sorted(learnt, key=lambda entry: (-entry[1], entry[0]))
    return Tokenizer.from_str(json.dumps(content))


def _finish(tokenizer: Tokenizer, *, blanks: bool = False) -> str:
    """Add what all kinds share (letters, special tokens, their template) and return the tokenizer.json."""
    other = r"[^ACGT\s]" if blanks else "[^ACGT]"
    upper = [("[aA]", "A"), ("[cC]", "C"), ("[gG]", "G"), ("[tTuU]", "T"), (other, "N")]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(Regex(a), b) for a, b in upper])
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    if not blanks:
        tokenizer.decoder = decoders.Fuse()
    return tokenizer.to_str(pretty=True)

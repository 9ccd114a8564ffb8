"""Two vocabularies in one model: learnt tokens (BPE) and overlapping k-mers, each behind a prompt token of its own.

    train_ensemble_tokenizer(["genomes.fa.gz"], folder="tokenizer")
    tokenizer = EnsembleTokenizer("tokenizer")
    tokenizer.encode(["ACGTTGCA"])                       # [CLS] [BPE] ... [SEP]
    tokenizer.encode(["ACGTTGCA"], vocabulary="kmer")    # [CLS] [K-MER] ... [SEP]

No id stands in both. Source: Genomics-FM (Ye et al. 2024): one model is pre-trained on both vocabularies, and a task
takes the one that shares most with its own tokens (`choose_vocabulary`).

tokenizer.json holds all tokens, a k-mer as '6-mer:ACGTAC', and encodes as BPE for whoever reads it with the
`tokenizers` library. That k-mers overlap it cannot say: k, and which vocabulary `encode` takes unless told otherwise,
stand in tokenizer_config.json.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from workflow_lib.embed.base import as_bytes
from workflow_lib.embed.model_tokenizer import KmerTokenizer, RustTokenizer
from workflow_lib.embed.tokenization import (
    MAX_K,
    SETTINGS_KEY,
    SPECIAL_TOKENS,
    VOCABULARY_SIZE,
    all_kmers,
    check_kind,
    check_size,
    save_tokenizer,
    train_tokenizer,
)  # fmt: skip
from workflow_lib.embed.windows import clean_letters
from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open, scratch_folder

logger = logging.getLogger(__name__)

KIND = "ensemble"  # in tokenizer_config.json
PROMPTS = {"bpe": "[BPE]", "kmer": "[K-MER]"}  # vocabulary -> its prompt token


class EnsembleTokenizer:
    """A tokenizer of `train_ensemble_tokenizer`; a `ModelTokenizer` that embedders take.

    Parameters
    ----------
    folder : with tokenizer.json and tokenizer_config.json.

    Attributes
    ----------
    vocabulary : "bpe" or "kmer", the one that `encode` takes unless told otherwise.
    k : letters of a k-mer.
    token_ids : vocabulary -> int64 ids of its tokens, special tokens left out.
    has_cls, n_ids, n_special, max_tokens : as of `ModelTokenizer`.

    Raises
    ------
    InputError
        when a file is missing or damaged, or the folder was not written by `train_ensemble_tokenizer`.
    """

    def __init__(self, folder: str | Path) -> None:
        from tokenizers import Tokenizer

        folder = Path(folder)
        self.k, self.vocabulary = _read_settings(folder / "tokenizer_config.json")
        bpe = RustTokenizer(folder / "tokenizer.json", normalise=False)  # `encode` cleans the letters
        self._ids = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(with_added_tokens=True)
        mark = _kmer_mark(self.k)
        kmers = {token.removeprefix(mark): identity for token, identity in self._ids.items() if token.startswith(mark)}
        if missing := [token for token in (*SPECIAL_TOKENS, *PROMPTS.values()) if token not in self._ids]:
            raise InputError(f"lacks the tokens {', '.join(missing)}", path=folder / "tokenizer.json")
        if len(kmers) != 4**self.k:
            raise InputError(f"has {len(kmers)} {self.k}-mers, expected {4**self.k}", path=folder / "tokenizer.json")
        special = {self._ids[token] for token in (*SPECIAL_TOKENS, *PROMPTS.values())}
        learnt = set(self._ids.values()) - set(kmers.values()) - special
        self.token_ids = {
            "bpe": np.array(sorted(learnt), dtype=np.int64),
            "kmer": np.array(sorted(kmers.values()), dtype=np.int64),
        }
        prefix = [self._ids["[CLS]"], self._ids[PROMPTS["kmer"]]]
        overlapping = KmerTokenizer(
            kmers, self.k, unknown=self._ids["[UNK]"], prefix=prefix, suffix=[self._ids["[SEP]"]], overlapping=True
        )
        self._encoders = {"bpe": bpe, "kmer": overlapping}
        self.n_ids, self.n_special, self.has_cls, self.max_tokens = bpe.n_ids, overlapping.n_special, True, None

    def encode(self, texts: Sequence[str | bytes], *, vocabulary: str | None = None) -> list[np.ndarray]:
        """Ids, int32, of each text behind [CLS] and the prompt token, before [SEP]; empty where nothing is encoded."""
        encoder = self._encoders[self.vocabulary if vocabulary is None else vocabulary]
        encoded = encoder.encode([clean_letters(text) for text in as_bytes(texts)])
        return [ids if len(ids) > self.n_special else ids[:0] for ids in encoded]

    def id_of(self, token: str) -> int:
        """Id of a token, such as "[MASK]" or "6-mer:ACGTAC"; KeyError where there is none."""
        return self._ids[token]

    def words(self, vocabulary: str) -> set[str]:
        """The tokens of a vocabulary as DNA."""
        chosen = set(self.token_ids[vocabulary].tolist())
        mark = _kmer_mark(self.k)
        return {token.removeprefix(mark) for token, identity in self._ids.items() if identity in chosen}


def train_ensemble_tokenizer(
    fasta_paths: Sequence[str | Path],
    *,
    folder: str | Path,
    vocabulary_size: int | None = None,
    k: int = 6,
    max_mbp: float | None = None,
    seed: int = 0,
) -> EnsembleTokenizer:
    """Learn BPE on FASTA files, join all k-mers to it, and save both; the same input and seed give the same bytes.

    Parameters
    ----------
    fasta_paths, max_mbp, seed : as of `tokenization.train_tokenizer`.
    folder : gets tokenizer.json and tokenizer_config.json.
    vocabulary_size : of the BPE part, special tokens included; None: 4,096. 4^k k-mers and two prompt tokens come on
        top.
    k : 1 to 8.

    Raises
    ------
    InputError
        when a size cannot be, a file cannot be read, or there is nothing to learn from.
    """
    from workflow_lib.embed.tokenizer_training import join_kmers, learn_tokens

    check_kind("overlapping-kmer", k)
    size = VOCABULARY_SIZE if vocabulary_size is None else vocabulary_size
    check_size(size)
    bpe = learn_tokens("bpe", fasta_paths, size=size, max_mbp=max_mbp, seed=seed)
    kmers = [_kmer_mark(k) + kmer for kmer in all_kmers(k)]
    content = join_kmers(bpe, kmers, prompts=list(PROMPTS.values()))
    save_tokenizer(folder, content, {"kind": KIND, "k": k, "vocabulary": "bpe"})
    tokenizer = EnsembleTokenizer(folder)
    logger.info("ensemble of %d BPE tokens and %d %d-mers in %s", len(tokenizer.words("bpe")), 4**k, k, folder)
    return tokenizer


def choose_vocabulary(task_tokens: Collection[str], vocabularies: Mapping[str, Collection[str]]) -> str:
    """The vocabulary that holds most of the tokens of a task; the first of several that hold as many.

    overlap(V) = |T and V| / |T| for the task's tokens T. Source: Genomics-FM (Ye et al. 2024).

    Parameters
    ----------
    task_tokens : the task's own tokens as DNA: those of its tokenizer, or those that one learns from its sequences.
    vocabularies : name -> its tokens as DNA.

    Raises
    ------
    InputError
        when the task has no tokens.
    """
    tokens = set(task_tokens)
    if not tokens:
        raise InputError("found no tokens of the task to choose a vocabulary by")
    overlaps = {name: len(tokens.intersection(words)) / len(tokens) for name, words in vocabularies.items()}
    logger.info("overlap with the task: %s", ", ".join(f"{name} {share:.3f}" for name, share in overlaps.items()))
    return max(overlaps, key=overlaps.__getitem__)


def choose_for_task(folder: str | Path, fasta_paths: Sequence[str | Path], *, seed: int = 0) -> str:
    """Let a model's folder take the vocabulary that fits a task: `choose_vocabulary` by BPE learnt on its sequences.

    The task's BPE gets as many tokens as the model's. The folder's tokenizer_config.json is written anew, so that
    embedders of the folder get another fingerprint where the vocabulary changes.

    Returns
    -------
    "bpe" or "kmer".
    """
    tokenizer = EnsembleTokenizer(folder)
    words = {name: tokenizer.words(name) for name in PROMPTS}
    with scratch_folder() as scratch:
        size = len(words["bpe"]) + len(SPECIAL_TOKENS)
        own = train_tokenizer("bpe", fasta_paths, folder=scratch, vocabulary_size=size, seed=seed)
        learnt = own.tokens(range(len(SPECIAL_TOKENS), own.n_ids))
    chosen = choose_vocabulary([token for token in learnt if len(token) > 1], words)
    set_vocabulary(folder, chosen)
    return chosen


def set_vocabulary(folder: str | Path, vocabulary: str) -> None:
    """Let a folder's tokenizer take a vocabulary, "bpe" or "kmer", unless told otherwise."""
    if vocabulary not in PROMPTS:
        raise InputError(f"found the vocabulary {vocabulary!r}, expected one of {', '.join(PROMPTS)}")
    path = Path(folder) / "tokenizer_config.json"
    _read_settings(path)
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings[SETTINGS_KEY]["vocabulary"] = vocabulary
    with atomic_open(path) as handle:
        json.dump(settings, handle, indent=2, sort_keys=True)
        handle.write("\n")


def _kmer_mark(k: int) -> str:
    return f"{k}-mer:"


def _read_settings(path: Path) -> tuple[int, str]:
    """(k, vocabulary) of a tokenizer_config.json."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))[SETTINGS_KEY]
        kind, k, vocabulary = settings["kind"], settings["k"], settings["vocabulary"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"does not describe an ensemble of vocabularies ({error!r})",
            path=path,
            remedy="train it with workflow_lib.embed.ensemble_tokenizer.train_ensemble_tokenizer",
        ) from error
    if kind != KIND or type(k) is not int or not 1 <= k <= MAX_K or vocabulary not in PROMPTS:
        raise InputError(
            f"found kind {kind!r}, k {k!r}, vocabulary {vocabulary!r}; expected {KIND!r}, 1 to {MAX_K}, and one of"
            f" {', '.join(PROMPTS)}",
            path=path,
        )
    return k, vocabulary

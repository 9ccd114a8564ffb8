"""Tokenizers for models of one's own: trained on FASTA, saved as tokenizer.json, loaded as fast encoders.

    train_tokenizer("bpe", ["genomes.fa.gz"], folder="tokenizer", vocabulary_size=4096)
    tokenizer = DNATokenizer("tokenizer")
    ids = tokenizer.encode(["ACGTTGCA", "acgtnn"])

Kinds (`KINDS`): `nucleotide`, a letter a token; `kmer`, k letters from the left, single letters at N and in the rest;
`overlapping-kmer`, the k-mer at each position, those with an N left out; `bpe` (byte-pair encoding, Sennrich et al.
2016) and `unigram` (Kudo 2018), which learn their tokens. All take lower case as upper, U as T, other letters as N.

The folder can be read by transformers' PreTrainedTokenizerFast too. One thing no tokenizer.json can say: that tokens
overlap. That of `overlapping-kmer` therefore takes k-mers between blanks (`space_kmers`); `DNATokenizer` takes DNA.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from workflow_lib.embed.base import as_bytes
from workflow_lib.embed.model_tokenizer import KmerTokenizer, RustTokenizer
from workflow_lib.embed.windows import clean_letters
from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open

logger = logging.getLogger(__name__)

KINDS = ("nucleotide", "kmer", "overlapping-kmer", "bpe", "unigram")
KMER_KINDS = KINDS[:3]
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "ACGTN"
MAX_K = 8  # 65,536 k-mers
SETTINGS_KEY = "dna_tokenization"  # in tokenizer_config.json: kind and k
VOCABULARY_SIZE = 4096  # of bpe and unigram, as of DNABERT-2


class DNATokenizer:
    """A tokenizer of `train_tokenizer`; a `ModelTokenizer` that embedders take, and back from ids to DNA.

    Parameters
    ----------
    folder : with tokenizer.json and tokenizer_config.json.

    Attributes
    ----------
    kind, k : of `KINDS`; letters of a token, None for `bpe` and `unigram`.
    has_cls, n_ids, n_special, max_tokens : as of `ModelTokenizer`.

    Raises
    ------
    InputError
        when the folder lacks a file, or it was not written by `train_tokenizer`.
    """

    def __init__(self, folder: str | Path) -> None:
        from tokenizers import Tokenizer

        folder = Path(folder)
        self.kind, self.k = _read_settings(folder / "tokenizer_config.json")
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"not a tokenizer.json that can be read ({error})", path=folder) from error
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        self.n_ids, self.n_special, self.has_cls, self.max_tokens = 1 + max(vocabulary.values()), 2, True, None
        self._special = {vocabulary[token] for token in SPECIAL_TOKENS}
        if self.kind in KMER_KINDS:
            self._encoder = KmerTokenizer(
                vocabulary,
                self.k,
                unknown=vocabulary["[UNK]"],
                prefix=[vocabulary["[CLS]"]],
                suffix=[vocabulary["[SEP]"]],
                overlapping=self.kind == "overlapping-kmer",
            )
        else:
            self._encoder = RustTokenizer(folder / "tokenizer.json", normalise=False)  # `encode` cleans the letters

    def encode(self, texts: Sequence[str | bytes]) -> list[np.ndarray]:
        """Ids, int32, of each text between [CLS] and [SEP], nothing cut; empty where there is nothing to encode."""
        cleaned = [clean_letters(text) for text in as_bytes(texts)]
        nothing = np.zeros(0, dtype=np.int32)
        return [ids if len(ids) > self.n_special else nothing for ids in self._encoder.encode(cleaned)]

    def id_of(self, token: str) -> int:
        """Id of a token, such as "[MASK]"; KeyError where there is none."""
        identity = self._tokenizer.token_to_id(token)
        if identity is None:
            raise KeyError(token)
        return identity

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids, special ones included."""
        return [self._tokenizer.id_to_token(int(identity)) for identity in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The DNA of ids, special tokens left out; ValueError for overlapping k-mers, whose gaps at N are lost."""
        if self.kind == "overlapping-kmer":
            raise ValueError("overlapping k-mers cannot be joined again: k-mers with an N have no token")
        return "".join(self.tokens(identity for identity in ids if identity not in self._special))


def _read_settings(path: Path) -> tuple[str, int | None]:
    remedy = "train it with workflow_lib.embed.tokenization.train_tokenizer"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))[SETTINGS_KEY]
        kind, k = settings["kind"], settings["k"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"does not say the kind of tokenization ({error!r})", path=path, remedy=remedy) from error
    check_kind(kind, k)
    return kind, k


def check_kind(kind: str, k: int | None) -> None:
    """Refuse an unknown kind, and a k outside 1 to 8 for k-mers."""
    if kind not in KINDS:
        raise InputError(f"found the tokenization {kind!r}, expected one of {', '.join(KINDS)}")
    if kind in KMER_KINDS and (not isinstance(k, int) or not 1 <= k <= MAX_K):
        raise InputError(f"found k = {k!r} for {kind}, expected 1 to {MAX_K}")


def space_kmers(sequence: str | bytes, k: int) -> str:
    """Overlapping k-mers between blanks, those with an N left out: what transformers' tokenizer is to be given."""
    text = clean_letters(as_bytes([sequence])[0]).decode("ascii")
    kmers = (text[i : i + k] for i in range(len(text) - k + 1))
    return " ".join(kmer for kmer in kmers if "N" not in kmer)


def train_tokenizer(
    kind: str,
    fasta_paths: Sequence[str | Path],
    *,
    folder: str | Path,
    vocabulary_size: int | None = None,
    k: int = 6,
    max_mbp: float | None = None,
    seed: int = 0,
) -> DNATokenizer:
    """Train a tokenizer on FASTA files and save it; the same input and seed give the same bytes at any thread count.

    Parameters
    ----------
    kind : of `KINDS`.
    fasta_paths : plain or gzip; not read where all k-mers are taken.
    folder : gets tokenizer.json and tokenizer_config.json.
    vocabulary_size : tokens at most, the five special ones and the letters included. None: 4,096 for `bpe` and
        `unigram`, every k-mer for the others; a smaller vocabulary keeps the k-mers that the files have most often.
    k : letters of a k-mer, 1 to 8; for the two kinds of k-mer.
    max_mbp : learn from a random sample of so many Mbp, drawn evenly over the files; None: 20 for `bpe` (about 60 bytes
        of memory a bp), 1 for `unigram` (about 250 bytes a bp and a minute and a half). k-mers are counted in all.
    seed : of the sample.

    Raises
    ------
    InputError
        when the kind, k or size cannot be, a file cannot be read, or there is nothing to learn from.
    """
    from workflow_lib.embed import tokenizer_training as training

    if isinstance(fasta_paths, str | Path):
        raise TypeError("expected a list of FASTA files, found one path; put it into a list")
    k = {"nucleotide": 1, "bpe": None, "unigram": None}.get(kind, k)
    check_kind(kind, k)
    if kind in KMER_KINDS:
        kmers = _choose_kmers(kind, fasta_paths, vocabulary_size, k)
        content = training.make_kmer_tokenizer(kind, kmers, k)
    else:
        size = VOCABULARY_SIZE if vocabulary_size is None else vocabulary_size
        check_size(size)
        content = training.learn_tokens(kind, fasta_paths, size=size, max_mbp=max_mbp, seed=seed)
    save_tokenizer(folder, content, {"kind": kind, "k": k})
    tokenizer = DNATokenizer(folder)
    logger.info("%s tokenizer with %d tokens in %s", kind, tokenizer.n_ids, folder)
    return tokenizer


def check_size(size: int, n_letters: int = len(LETTERS)) -> None:
    """Refuse a vocabulary with no room for more than the special tokens and `n_letters` letters."""
    needed = len(SPECIAL_TOKENS) + n_letters
    if size <= needed:
        raise InputError(
            f"found a vocabulary of {size} tokens, expected more than {needed}: special tokens and letters"
        )


def all_kmers(k: int) -> list[str]:
    """All k-mers of A, C, G and T in alphabetical order."""
    return ["".join(letters) for letters in itertools.product("ACGT", repeat=k)]


def _choose_kmers(kind: str, fasta_paths: Sequence[str | Path], size: int | None, k: int) -> list[str]:
    """All k-mers in alphabetical order, or the most frequent ones of the files."""
    from workflow_lib.embed.tokenizer_training import count_kmers

    kmers = all_kmers(k)
    if size is None or k == 1:
        return kmers
    n_letters = 0 if kind == "overlapping-kmer" else len(LETTERS)
    check_size(size, n_letters)
    counts = count_kmers(fasta_paths, k)
    if not counts.any():
        raise InputError(f"found no {k}-mer of A, C, G and T in the FASTA files", remedy="give files with sequences")
    order = np.argsort(-counts, kind="stable")[: size - len(SPECIAL_TOKENS) - n_letters]
    return [kmers[column] for column in order if counts[column]]


def save_tokenizer(folder: str | Path, content: str, description: dict) -> None:
    """Write tokenizer.json (its content) and tokenizer_config.json (special tokens, and what only novabin reads)."""
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{f"{token[1:-1].lower()}_token": token for token in SPECIAL_TOKENS},
        "clean_up_tokenization_spaces": False,
        SETTINGS_KEY: description,
    }
    folder = Path(folder)
    with atomic_open(folder / "tokenizer.json") as handle:
        handle.write(content)
    with atomic_open(folder / "tokenizer_config.json") as handle:
        json.dump(settings, handle, indent=2, sort_keys=True)
        handle.write("\n")

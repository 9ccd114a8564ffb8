"""Tokenizers of published models: DNA in, token ids out, many windows at a time and without remote code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from workflow_lib.embed.model_files import TOKENIZER_FILES
from workflow_lib.errors import InputError

_BASES = b"ACGT"
_NEEDED = "tokenizer.json, vocab.txt or vocab.json"
_PROBE_BP = 6000
# HyenaDNA's published tokenizer has no file: these ids stand in its code; a sequence ends with [SEP].
_HYENADNA_IDS = {"A": 7, "C": 8, "G": 9, "T": 10, "N": 11}
_HYENADNA_UNKNOWN, _HYENADNA_SEP = 6, 1


class ModelTokenizer(Protocol):
    """What the tokenizers here offer.

    Attributes
    ----------
    has_cls : whether a first token stands for the whole sequence.
    n_ids : one more than the largest id.
    n_special : special tokens that a text gets.
    max_tokens : limit that the tokenizer's files name, None without one.
    """

    has_cls: bool
    n_ids: int
    n_special: int
    max_tokens: int | None

    def encode(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        """Token ids, int32, of each text with special tokens, nothing cut; empty where there is nothing to encode."""
        ...


def load_tokenizer(folder: str | Path, model_type: str, *, trust_remote_code: bool = False) -> ModelTokenizer:
    """The tokenizer of a model folder.

    In this order: one of `tokenization` or `ensemble_tokenizer`; tokenizer.json (the `tokenizers` library); HyenaDNA's
    characters; a k-mer vocabulary (vocab.txt of Nucleotide Transformer, vocab.json with special_tokens_map.json's
    `kmerlen` of MetaBERTa); what transformers' AutoTokenizer reads.

    Raises
    ------
    InputError
        when the folder has no tokenizer, it cannot be read, or it needs remote code that was not allowed.
    """
    folder = Path(folder)
    settings = {**_read_json(folder / "special_tokens_map.json"), **_read_json(folder / "tokenizer_config.json")}
    if "dna_tokenization" in settings:
        return _load_own(folder, settings)
    if (folder / "tokenizer.json").is_file():
        return RustTokenizer(folder / "tokenizer.json")
    if model_type == "hyenadna":
        return KmerTokenizer(_HYENADNA_IDS, 1, unknown=_HYENADNA_UNKNOWN, suffix=[_HYENADNA_SEP])
    if (folder / "vocab.json").is_file() and "kmerlen" in settings:
        return _load_metaberta(folder, settings)
    if model_type == "esm" and (folder / "vocab.txt").is_file():
        return _load_nucleotide_transformer(folder, settings)
    return _load_auto_tokenizer(folder, settings, trust_remote_code)


def _load_own(folder: Path, settings: dict) -> ModelTokenizer:
    from workflow_lib.embed.ensemble_tokenizer import KIND, EnsembleTokenizer
    from workflow_lib.embed.tokenization import DNATokenizer

    description = settings["dna_tokenization"]
    is_ensemble = isinstance(description, dict) and description.get("kind") == KIND
    return EnsembleTokenizer(folder) if is_ensemble else DNATokenizer(folder)


def limit_threads(n: int) -> None:
    """Let the `tokenizers` library use `n` threads, not every core of the machine.

    It makes its threads once in a process, at the first text: to be called before. The environment comes first.
    """
    os.environ.setdefault("RAYON_NUM_THREADS", str(n))


def bp_per_token(tokenizer: ModelTokenizer) -> float:
    """Base pairs a token, special ones left out, on an even random sequence."""
    probe = np.frombuffer(_BASES, dtype=np.uint8)[np.random.default_rng(0).integers(0, 4, _PROBE_BP)].tobytes()
    return _PROBE_BP / max(1, len(tokenizer.encode([probe])[0]) - tokenizer.n_special)


class RustTokenizer:
    """A tokenizer.json, read by the `tokenizers` library, which encodes texts in parallel outside Python's lock.

    Parameters
    ----------
    normalise : as the file says; false where its normaliser would only repeat what was done to the texts before: it
        takes as long as all the rest.
    """

    def __init__(self, path: Path, *, normalise: bool = True) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"not a tokenizer.json that can be read ({error})", path=path) from error
        if not normalise:
            self._tokenizer.normalizer = None
        self._tokenizer.no_truncation()  # published files cut at their training length
        self._tokenizer.no_padding()
        special = self._tokenizer.encode("").tokens
        self.n_special = len(special)
        self.has_cls = bool(special) and special[0].strip("[]<>").lower() in ("cls", "s", "bos")
        self.n_ids = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self.max_tokens = None

    def encode(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        """See `ModelTokenizer`."""
        encodings = self._tokenizer.encode_batch_fast([text.decode("ascii") for text in texts])
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]


class KmerTokenizer:
    """k-mers by table.

    Without `overlapping`, from the left: a k-mer where the next k letters are bases, else one letter (at N, and in the
    rest at the end). With it, the k-mer at each position; those with an N are left out.

    Parameters
    ----------
    ids : token -> id; k-mers of A, C, G, T, and single letters.
    k : length of a k-mer.
    unknown : id of what is not in `ids`.
    prefix, suffix : ids of special tokens before and after a text.
    """

    def __init__(
        self,
        ids: dict[str, int],
        k: int,
        *,
        unknown: int,
        prefix: Sequence[int] = (),
        suffix: Sequence[int] = (),
        overlapping: bool = False,
        max_tokens: int | None = None,
    ) -> None:
        self.k, self.overlapping, self.max_tokens = k, overlapping, max_tokens
        self.has_cls = bool(prefix)
        self.n_special = len(prefix) + len(suffix)
        self.n_ids = 1 + max(ids.values())
        self._prefix, self._suffix = np.array(prefix, dtype=np.int32), np.array(suffix, dtype=np.int32)
        self._kmers = np.full(4**k, unknown, dtype=np.int32)
        for token, identity in ids.items():
            if len(token) == k and not token.strip("ACGT"):
                self._kmers[self._columns(np.frombuffer(token.encode(), dtype=np.uint8))] = identity
        self._letters = np.full(256, unknown, dtype=np.int32)
        for letter in "ACGTN":
            self._letters[ord(letter)] = ids.get(letter, unknown)

    def _columns(self, text: np.ndarray) -> np.ndarray:
        """Column, int64, of the k-mer at each position of uint8 letters A, C, G, T."""
        codes = (text >> 1 & 3).astype(np.int64)  # A 0, C 1, T 2, G 3
        n = len(text) - self.k + 1
        columns = np.zeros(max(0, n), dtype=np.int64)
        for offset in range(self.k):
            columns = columns << 2 | codes[offset : offset + n]
        return columns

    def _encode_bases(self, text: np.ndarray) -> np.ndarray:
        """Ids of a stretch without N."""
        if self.overlapping:
            return self._kmers[self._columns(text)] if len(text) >= self.k else self._letters[:0]
        whole = len(text) // self.k * self.k
        kmers = self._kmers[self._columns(text[:whole])[:: self.k]] if whole else self._letters[:0]
        return np.concatenate([kmers, self._letters[text[whole:]]])

    def _encode(self, text: bytes) -> np.ndarray:
        parts = []
        for stretch in re.findall(b"[ACGT]+|[^ACGT]+", text):
            letters = np.frombuffer(stretch, dtype=np.uint8)
            if stretch[0] in _BASES:
                parts.append(self._encode_bases(letters))
            elif not self.overlapping:
                parts.append(self._letters[letters])
        body = np.concatenate(parts) if parts else self._letters[:0]
        return np.concatenate([self._prefix, body, self._suffix]) if len(body) else body

    def encode(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        """See `ModelTokenizer`."""
        return [self._encode(text) for text in texts]


class AutoTokenizerAdapter:
    """A tokenizer of transformers that has no tokenizer.json; one thread, in Python."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer
        special = tokenizer("")["input_ids"]
        self.n_special = len(special)
        self.has_cls = special[:1] in ([tokenizer.cls_token_id], [tokenizer.bos_token_id])
        self.n_ids = len(tokenizer)
        self.max_tokens = tokenizer.model_max_length if tokenizer.model_max_length < 10**7 else None

    def encode(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        """See `ModelTokenizer`."""
        encoded = self._tokenizer([text.decode("ascii") for text in texts], truncation=False, verbose=False)
        return [np.array(ids, dtype=np.int32) for ids in encoded["input_ids"]]


def _load_metaberta(folder: Path, settings: dict) -> KmerTokenizer:
    vocabulary = _read_json(folder / "vocab.json")
    return KmerTokenizer(
        vocabulary,
        int(settings["kmerlen"]),
        unknown=vocabulary.get("[UNK]", 0),
        overlapping=bool(settings.get("overlapping", True)),
        max_tokens=settings.get("maxlen"),
    )


def _load_nucleotide_transformer(folder: Path, settings: dict) -> KmerTokenizer:
    tokens = (folder / "vocab.txt").read_text(encoding="utf-8").split()
    vocabulary = {token: identity for identity, token in enumerate(tokens)}
    k = max((len(token) for token in tokens if not token.strip("ACGT")), default=0)
    if k == 0:
        raise InputError("found no k-mers of A, C, G and T, expected one token a line", path=folder / "vocab.txt")

    def special(key: str, default: str | None) -> list[int]:
        token = settings.get(key, default)
        token = token.get("content") if isinstance(token, dict) else token
        return [vocabulary[token]] if token in vocabulary else []

    return KmerTokenizer(
        vocabulary,
        k,
        unknown=vocabulary.get("<unk>", 0),
        prefix=special("cls_token", "<cls>"),
        suffix=special("eos_token", None),
    )


def _load_auto_tokenizer(folder: Path, settings: dict, trust_remote_code: bool) -> ModelTokenizer:
    if settings.get("auto_map") and not trust_remote_code:
        raise InputError(
            "its tokenizer is program code that comes with the model (auto_map of tokenizer_config.json)",
            path=folder,
            remedy="set embed.trust_remote_code to true if you trust it, or add a tokenizer.json",
        )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise InputError("found no tokenizer", path=folder, remedy=f"put the model's {_NEEDED} beside its config.json")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
        adapter = AutoTokenizerAdapter(tokenizer)
    except Exception as error:  # whatever the files of strangers raise
        raise InputError(
            f"found no tokenizer that can be read ({_first_line(error)})",
            path=folder,
            remedy=f"put the model's {_NEEDED} beside its config.json",
        ) from error
    if len(set(adapter.encode([b"ACGTTGCATT" * 20])[0].tolist())) <= adapter.n_special + 1:
        raise InputError(
            "this tokenizer makes one and the same token of all DNA",
            path=folder,
            remedy=f"put the model's own {_NEEDED} beside its config.json",
        )
    return adapter


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"not a JSON file ({error})", path=path) from error
    if not isinstance(content, dict):
        raise InputError(f"expected a JSON object, found {type(content).__name__}", path=path)
    return content

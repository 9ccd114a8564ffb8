"""Genome language models as embedders: a model folder in, unit vectors of sequences of any length out."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from workflow_lib.embed import windows
from workflow_lib.embed.base import compute_fingerprint, unit_rows
from workflow_lib.embed.devices import find_devices, find_dtype
from workflow_lib.embed.encoders import load_encoder, model_kind, read_config
from workflow_lib.embed.model_files import hash_model_files, read_source
from workflow_lib.embed.model_tokenizer import bp_per_token, limit_threads, load_tokenizer
from workflow_lib.embed.pooling import check_pooling
from workflow_lib.embed.runner import Worker, run_tokens
from workflow_lib.embed.windows import Window, check_window, make_windows
from workflow_lib.errors import InputError

logger = logging.getLogger(__name__)

ALGORITHM_VERSION = 1
MAX_WINDOW = 20_000  # bp, unless another is asked for: DNABERT-S was evaluated on whole sequences up to this length
_BLOCK_BP = 2_000_000  # tokenized at a time, while the block before is embedded


class LanguageModel:
    """A genome language model from a local folder.

    A sequence is cleaned, split at runs of N and cut into windows (`windows`); the vector is the mean of its windows'
    pooled vectors, weighted by their bp, scaled to length 1. Nothing is cut off.

    Parameters
    ----------
    folder : config.json, tokenizer, and model.safetensors or pytorch_model.bin.
    name : of the embedder; the folder's name (or what `fetch_model` recorded) without one.
    device : "cpu", "cuda", "cuda:N" or "cuda:N,M"; a GPU that is not there is an error.
    threads : of torch on the CPU, and of the tokenizer if it is the first of the process; None: as they are set.
    trust_remote_code : run the program code that comes with this model, where it needs it.
    pooling : "mean", "cls" or "max" over the tokens of a window, special tokens included.
    window : bp; None: the model's limit, at most `MAX_WINDOW`. A window with more tokens than the limit is halved.
    overlap : bp that neighbouring windows share.
    both_strands : average a sequence and its reverse complement.
    token_budget : tokens of a batch; None: found by a warm-up on a GPU, 8,192 on a CPU.
    dtype : "float32", "bfloat16", or "auto": bfloat16 on a GPU, float32 on a CPU.

    Raises
    ------
    InputError
        when the folder is no model (`encoders`, `model_tokenizer`), an option does not fit it, or a device is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        name: str | None = None,
        device: str = "cpu",
        threads: int | None = None,
        trust_remote_code: bool = False,
        pooling: str = "mean",
        window: int | None = None,
        overlap: int = 0,
        both_strands: bool = False,
        token_budget: int | None = None,
        dtype: str = "auto",
    ) -> None:
        folder = Path(folder)
        check_pooling(pooling)
        devices = find_devices(device)
        number_format = find_dtype(dtype, devices)
        config = read_config(folder)
        kind = model_kind(config, trust_remote_code=trust_remote_code)
        self.source = read_source(folder)
        self.name = name or self.source.get("model") or folder.resolve().name
        self.threads, self.overlap, self.both_strands = threads, overlap, both_strands
        if threads is not None:
            limit_threads(threads)
        self._tokenizer = load_tokenizer(folder, config["model_type"], trust_remote_code=trust_remote_code)
        encoder = load_encoder(folder, config, kind, dtype=number_format, device=devices[0])
        self._check_fit(folder, encoder, pooling)
        self.dim = encoder.dim
        self.max_tokens = min((n for n in (encoder.max_tokens, self._tokenizer.max_tokens) if n), default=None)
        self.window = self._find_window(window)
        check_window(self.window, overlap)
        self._workers = [
            Worker(_on_device(encoder, target), target, pooling=pooling, token_budget=token_budget)
            for target in devices
        ]
        self.fingerprint = compute_fingerprint(
            {
                "version": ALGORITHM_VERSION,
                "files": hash_model_files(folder, remote_code=trust_remote_code),
                "kind": kind,
                "pooling": pooling,
                "window": self.window,
                "overlap": overlap,
                "both_strands": both_strands,
                "split": [windows.MIN_N_RUN, windows.MIN_SEGMENT],
                "dtype": str(number_format).removeprefix("torch."),
            }
        )
        logger.info(
            "%s: %s model, %d columns, windows of %d bp (limit: %s tokens), %s pooling, %s",
            self.name, kind, self.dim, self.window, self.max_tokens or "no", pooling, number_format,
        )  # fmt: skip

    def _check_fit(self, folder: Path, encoder, pooling: str) -> None:
        n_ids = self._tokenizer.n_ids
        if encoder.vocabulary and n_ids > encoder.vocabulary:
            raise InputError(
                f"the tokenizer has ids up to {n_ids - 1}, the model knows {encoder.vocabulary} tokens",
                path=folder,
                remedy="the tokenizer belongs to another model; copy all files of one model",
            )
        if pooling == "cls" and (not self._tokenizer.has_cls or encoder.kind == "hyenadna"):
            raise InputError(
                "cls pooling was asked for, but this model reads no token that stands for the whole sequence",
                path=folder,
                remedy="set embed.pooling to mean or max",
            )

    def _find_window(self, window: int | None) -> int:
        """The window in bp: as asked for, but no longer than the model can read."""
        wanted = MAX_WINDOW if window is None else window
        if self.max_tokens is None:
            return wanted
        return min(wanted, int((self.max_tokens - self._tokenizer.n_special) * bp_per_token(self._tokenizer)))

    def embed(self, sequences: Sequence[str | bytes]) -> np.ndarray:
        """Embed sequences; see `Embedder`.

        Returns
        -------
        float32 (n, dim), unit rows; zeros where no stretch of 20 bp between gaps is left to embed.
        """
        start = time.monotonic()
        cut = make_windows(sequences, window=self.window, overlap=self.overlap, both_strands=self.both_strands)
        ordered = sorted(cut, key=lambda window: -len(window.text))  # the longest first: memory runs out soon or never
        sums = np.zeros((len(sequences), self.dim), dtype=np.float64)
        n_windows = n_tokens = 0
        with _torch_threads(self.threads):
            for block, tokens in _prefetch(self._encode_blocks(ordered)):
                rows = np.array([window.row for window in block])
                weights = np.array([len(window.text) for window in block], dtype=np.float64)
                for indices, vectors in run_tokens(self._workers, tokens):
                    np.add.at(sums, rows[indices], vectors * weights[indices, None])
                n_windows += len(block)
                n_tokens += sum(len(ids) for ids in tokens)
        seconds = max(time.monotonic() - start, 1e-9)
        logger.info(
            "%d sequences, %d windows, %d tokens in %.1f s: %.0f tokens/s",
            len(sequences), n_windows, n_tokens, seconds, n_tokens / seconds,
        )  # fmt: skip
        return unit_rows(sums)

    def _encode_blocks(self, ordered: list[Window]) -> Iterator[tuple[list[Window], list[np.ndarray]]]:
        """Yield (windows, their token ids) of about 2 Mbp; windows without a token are left out."""
        block: list[Window] = []
        n_bp = 0
        for window in ordered:
            block.append(window)
            n_bp += len(window.text)
            if n_bp >= _BLOCK_BP:
                yield self._encode(block)
                block, n_bp = [], 0
        if block:
            yield self._encode(block)

    def _encode(self, block: list[Window]) -> tuple[list[Window], list[np.ndarray]]:
        """Token ids of windows; a window with more tokens than the model can read is halved until it fits."""
        done: list[Window] = []
        tokens: list[np.ndarray] = []
        while block:
            encoded = self._tokenizer.encode([window.text for window in block])
            halves: list[Window] = []
            for window, ids in zip(block, encoded, strict=True):
                if self.max_tokens is not None and len(ids) > self.max_tokens:
                    middle = len(window.text) // 2
                    halves += [Window(window.row, window.text[:middle]), Window(window.row, window.text[middle:])]
                elif len(ids):
                    done.append(window)
                    tokens.append(ids)
            block = halves
        return done, tokens


def _on_device(encoder, device):
    """The encoder itself where it is on the device already, else a copy there."""
    parameter = next(encoder.module.parameters())
    if parameter.device == device or (device.type == "cpu" and parameter.device.type == "cpu"):
        return encoder
    replica = copy.copy(encoder)
    replica.module = copy.deepcopy(encoder.module).to(device)
    return replica


def _prefetch(blocks: Iterator) -> Iterator:
    """Yield from `blocks`, each made in a thread while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, blocks, None)
        while (block := following.result()) is not None:
            following = pool.submit(next, blocks, None)
            yield block


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

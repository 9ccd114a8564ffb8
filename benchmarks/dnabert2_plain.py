"""What the benchmarks of language models share: random weights, and a plain implementation of DNABERT-2."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from workflow_lib.embed.alibi_attention import alibi_slopes
from workflow_lib.embed.batching import pad_batch
from workflow_lib.embed.dnabert2 import DNABERT2, DNABERT2Config
from workflow_lib.embed.encoders import Encoder
from workflow_lib.embed.pooling import pool
from workflow_lib.embed.runner import Worker, run_tokens

BP_PER_TOKEN = 4.7  # of DNABERT-2's tokenizer on bacterial genomes and on random bases
PAD_ID, FIRST_ID, VOCABULARY = 3, 5, 4096  # ids below the first are special tokens


def make_random_folder(folder: Path, config: DNABERT2Config, seed: int = 0) -> Path:
    """Write config.json and random weights with the published names."""
    torch.manual_seed(seed)
    save_file(DNABERT2(config).state_dict(), folder / "model.safetensors")
    content = {"model_type": "bert", "alibi_starting_size": 512, **asdict(config)}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def make_tokens(lengths: np.ndarray, tokenizer_folder: Path | None) -> list[np.ndarray]:
    """Token ids, int64, of random sequences of `lengths` bp."""
    rng = np.random.default_rng(1)
    if tokenizer_folder is None:
        return [rng.integers(FIRST_ID, VOCABULARY, round(length / BP_PER_TOKEN)) for length in lengths]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = ["".join(rng.choice(list("ACGT"), length)) for length in lengths]
    return [np.array(encoding.ids, dtype=np.int64) for encoding in tokenizer.encode_batch(texts)]


def make_worker(model: torch.nn.Module, kind: str = "dnabert2", token_budget: int | None = None) -> Worker:
    """What the workflow runs a model with."""
    device = next(model.parameters()).device
    encoder = Encoder(
        model, kind, dim=model.hidden_size, max_tokens=model.max_tokens, vocabulary=VOCABULARY, pad_id=PAD_ID
    )
    return Worker(encoder, device, pooling="mean", token_budget=token_budget)


def run_ours(worker: Worker, tokens: list[np.ndarray]) -> np.ndarray:
    """Mean-pooled vectors, float32 (n, hidden)."""
    vectors = np.empty((len(tokens), worker.encoder.dim), dtype=np.float32)
    for rows, values in run_tokens([worker], tokens):
        vectors[rows] = values
    return vectors


def run_plain(model: DNABERT2, tokens: list[np.ndarray], batch_size: int) -> np.ndarray:
    """The same by padded batches in the given order."""
    device = model.embeddings["LayerNorm"].weight.device
    vectors = []
    for start in range(0, len(tokens), batch_size):
        arrays = pad_batch(tokens[start : start + batch_size], PAD_ID)
        ids, mask = (torch.from_numpy(array).to(device) for array in arrays)
        with torch.inference_mode():
            vectors.append(pool(plain_forward(model, ids, mask), mask, "mean").cpu().numpy())
    return np.concatenate(vectors)


def plain_forward(model: DNABERT2, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Token vectors with all scores held at once; nothing but the modules' weights is shared with ours."""
    embeddings, n_heads = model.embeddings, model.config.num_attention_heads
    hidden = embeddings["word_embeddings"](ids) + embeddings["token_type_embeddings"].weight[0]
    hidden = embeddings["LayerNorm"](hidden)
    position = torch.arange(ids.shape[1], device=ids.device)
    slopes = torch.tensor(alibi_slopes(n_heads), device=ids.device)
    bias = -slopes[:, None, None] * (position[:, None] - position).abs()
    bias = (bias + (~mask[:, None, None, :]).float() * -10_000.0).to(hidden.dtype)
    for layer in model.encoder["layer"]:
        qkv = layer.attention["self"]["Wqkv"](hidden).unflatten(2, (3, n_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
        attended = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        output = layer.attention["output"]
        hidden = output["LayerNorm"](output["dense"](attended) + hidden)
        gate, linear = layer.mlp["gated_layers"](hidden).chunk(2, dim=-1)
        hidden = layer.mlp["layernorm"](layer.mlp["wo"](torch.nn.functional.gelu(gate) * linear) + hidden)
    return hidden


def flops(config: DNABERT2Config, tokens: list[np.ndarray]) -> float:
    """Floating-point operations of the matrix products, without padding.

    A layer: 2 h (4 h + 3 f) a token for the projections (h = 768 to q, k, v, output; f = 3,072 twice in, once out), and
    4 h s a token for the scores and the weighted sum among s tokens. 300 MFLOP a token at s = 2,000 and 12 layers.
    """
    lengths = np.array([len(ids) for ids in tokens], dtype=np.float64)
    weights = config.hidden_size * (4 * config.hidden_size + 3 * config.intermediate_size)
    return config.num_hidden_layers * float(2 * weights * lengths.sum() + 4 * config.hidden_size * (lengths**2).sum())


def timed(work: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    """Wall seconds, CPU seconds of all threads, and the result."""
    start, cpu_start = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start, time.process_time() - cpu_start, result


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

"""Speed and memory of DNABERT-2 with random weights, beside a plain implementation of the same model.

    python benchmarks/dnabert2_cpu.py [--tokenizer FOLDER]     tokens/s for sequences of 2-10 kbp on 2 cores
    python benchmarks/dnabert2_cpu.py --long                   peak memory for sequences of 20 kbp
    python benchmarks/dnabert2_cpu.py --device cuda            the same two in bfloat16, and the share of the GPU's peak

Ours is what the workflow runs: batches sorted by length under a token budget, mean pooling. Plain takes the sequences
as they come, pads each batch to its longest, and holds the scores of all heads as (b, heads, s, s). Both run in this
process on the same weights, and their vectors are compared. Tokens/s count tokens of sequences, not padding; the ratio
of CPU time is printed too, because other work on the machine disturbs it less. Token ids are random, at 4.7 bp a token;
with --tokenizer they are those of random bases.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from workflow_lib.embed.batching import pad_batch  # noqa: E402
from workflow_lib.embed.dnabert2 import ATTENTIONS, DNABERT2, DNABERT2Config, alibi_slopes  # noqa: E402
from workflow_lib.embed.encoders import Encoder  # noqa: E402
from workflow_lib.embed.pooling import pool  # noqa: E402
from workflow_lib.embed.runner import Worker, run_tokens  # noqa: E402

THREADS = 2
BP_PER_TOKEN = 4.7  # of DNABERT-2's tokenizer on bacterial genomes and on random bases
PAD_ID, FIRST_ID = 3, 5  # ids below the first are special tokens
LONG_BP = 20_000
GPU_TOKENS = 2000  # length at which the share of the peak is told
DENSE_BF16_TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "A40": 150, "L4": 121}  # vendor's data sheets


def make_random_folder(folder: Path, config: DNABERT2Config, seed: int = 0) -> Path:
    """Write config.json and random weights with the published names."""
    torch.manual_seed(seed)
    save_file(DNABERT2(config).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    return folder


def make_tokens(lengths: np.ndarray, tokenizer_folder: Path | None) -> list[np.ndarray]:
    """Token ids, int64, of random sequences of `lengths` bp."""
    rng = np.random.default_rng(1)
    if tokenizer_folder is None:
        return [rng.integers(FIRST_ID, 4096, round(length / BP_PER_TOKEN)) for length in lengths]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = ["".join(rng.choice(list("ACGT"), length)) for length in lengths]
    return [np.array(encoding.ids, dtype=np.int64) for encoding in tokenizer.encode_batch(texts)]


def run_ours(model: DNABERT2, tokens: list[np.ndarray]) -> np.ndarray:
    """Mean-pooled vectors, float32 (n, hidden)."""
    device = model.embeddings["LayerNorm"].weight.device
    encoder = Encoder(model, "dnabert2", dim=model.hidden_size, max_tokens=None, vocabulary=4096, pad_id=PAD_ID)
    vectors = np.empty((len(tokens), model.hidden_size), dtype=np.float32)
    for rows, values in run_tokens([Worker(encoder, device, pooling="mean", token_budget=None)], tokens):
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
    """Floating-point operations of the matrix products, without padding."""
    lengths = np.array([len(ids) for ids in tokens], dtype=np.float64)
    weights = config.hidden_size * (4 * config.hidden_size + 3 * config.intermediate_size)
    return config.num_hidden_layers * float(2 * weights * lengths.sum() + 4 * config.hidden_size * (lengths**2).sum())


def timed(work: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    """Wall seconds, CPU seconds of all threads, and the result."""
    start, cpu_start = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start, time.process_time() - cpu_start, result


def compare(model: DNABERT2, tokens: list[np.ndarray], batch_size: int) -> None:
    """Tokens/s of both, and how far their vectors are apart."""
    n_tokens = sum(map(len, tokens))
    shortest = [min(tokens, key=len)]
    run_ours(model, shortest), run_plain(model, shortest, 1)  # kernels and workspaces are made before the clock starts
    ours, ours_cpu, ours_vectors = timed(lambda: run_ours(model, tokens))
    plain, plain_cpu, plain_vectors = timed(lambda: run_plain(model, tokens, batch_size))
    padded = sum(
        len(tokens[start : start + batch_size]) * max(map(len, tokens[start : start + batch_size]))
        for start in range(0, len(tokens), batch_size)
    )
    difference = np.abs(unit(ours_vectors) - unit(plain_vectors)).max()
    print(f"{len(tokens)} sequences, {n_tokens} tokens ({min(map(len, tokens))} to {max(map(len, tokens))})")
    print(f"plain  {n_tokens / plain:10,.0f} tokens/s   batches of {batch_size}, {padded / n_tokens:.2f} x padded")
    ratios = f"{plain / ours:.2f} x plain ({plain_cpu / ours_cpu:.2f} x by CPU time)"
    print(f"ours   {n_tokens / ours:10,.0f} tokens/s   {ratios}")
    print(f"unit vectors differ by at most {difference:.1e}")


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def measure_peak_share(model: DNABERT2, n_sequences: int, peak_tflops: float | None) -> None:
    """Share of a GPU's bfloat16 peak at `GPU_TOKENS` tokens."""
    name = torch.cuda.get_device_name()
    known = next((value for key, value in DENSE_BF16_TFLOPS.items() if key in name), None)
    tokens = make_tokens(np.full(n_sequences, round(GPU_TOKENS * BP_PER_TOKEN)), None)
    run_ours(model, tokens)
    seconds = min(timed(lambda: run_ours(model, tokens))[0] for _ in range(3))
    reached = flops(model.config, tokens) / seconds / 1e12
    peak = peak_tflops or known
    share = f"{reached / peak:.0%} of {peak:.0f} TFLOP/s" if peak else "give --peak-tflops for the share"
    n_tokens = sum(map(len, tokens))
    print(f"{GPU_TOKENS}-token sequences: {n_tokens / seconds:,.0f} tokens/s, {reached:.0f} TFLOP/s, {share}")


def measure_long(model: DNABERT2, n_sequences: int, tokenizer_folder: Path | None) -> None:
    """Peak memory of this process, weights and torch itself included, for sequences of 20 kbp."""
    tokens = make_tokens(np.full(n_sequences, LONG_BP), tokenizer_folder)
    seconds, _, _ = timed(lambda: run_ours(model, tokens))
    n_tokens = sum(map(len, tokens))
    print(f"{n_sequences} sequences of {LONG_BP} bp, {n_tokens} tokens: {n_tokens / seconds:,.0f} tokens/s")
    if torch.cuda.is_available() and next(model.parameters()).is_cuda:
        print(f"peak memory of the GPU {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--attention", default="fused", choices=ATTENTIONS)
    parser.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--sequences", type=int, help="default: 8; on a GPU 512")
    parser.add_argument("--batch", type=int, default=8, help="sequences of a batch of the plain implementation")
    parser.add_argument("--long", action="store_true", help="peak memory for 20 kbp instead")
    parser.add_argument("--peak-tflops", type=float, help="bfloat16 peak of the GPU, if it is not known here")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    arguments = read_arguments()
    on_gpu = arguments.device == "cuda"
    if not on_gpu and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
        torch.set_num_threads(THREADS)
    where = torch.cuda.get_device_name() if on_gpu else f"{THREADS} of {os.cpu_count()} cores of {platform.machine()}"
    print(f"{where}; torch {torch.__version__}; {arguments.layers} layers; load of others {os.getloadavg()[0]:.1f}")
    n_sequences = arguments.sequences or (512 if on_gpu else 8)
    with tempfile.TemporaryDirectory() as folder:
        make_random_folder(Path(folder), DNABERT2Config(num_hidden_layers=arguments.layers))
        dtype = torch.bfloat16 if on_gpu else torch.float32
        model = DNABERT2.from_pretrained(
            folder, dtype=dtype, device=arguments.device, attention=arguments.attention
        )  # fmt: skip
        if arguments.long:
            measure_long(model, 4 if not on_gpu else n_sequences, arguments.tokenizer)
            return
        lengths = np.random.default_rng(0).integers(2_000, 10_001, n_sequences)
        compare(model, make_tokens(lengths, arguments.tokenizer), arguments.batch)
        if on_gpu:
            measure_peak_share(model, n_sequences, arguments.peak_tflops)


if __name__ == "__main__":
    main()

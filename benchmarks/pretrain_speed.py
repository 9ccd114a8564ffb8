"""Speed of masked-language-model pre-training, batches included.

    python benchmarks/pretrain_speed.py [--device cuda] [--tokenizer ensemble] [--width 768 --layers 12 --heads 12]

Prints tokens/s (special and masked tokens included, padding left out) of making batches alone, and of training with
batches made meanwhile; the loss at the start and at the end; memory. On a GPU in bfloat16 (autocast), on a CPU in
float32. The genomes are random repeats of a few thousand words, so that there is something to learn.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from workflow_lib.fasta import write_fasta  # noqa: E402
from workflow_lib.train.mlm import MaskedLMTask  # noqa: E402
from workflow_lib.train.mlm_options import TOKENIZERS, PretrainOptions, make_tokenizer  # noqa: E402

N_GENOMES, N_WORDS, WORD_BP, GENOME_BP = 8, 2000, 30, 1_000_000
LEARNING_RATE = 5e-4
WARM_UP, LOGGED = 5, 100  # steps


def make_genomes() -> list[bytes]:
    """Genomes that are words of one list in random order."""
    rng = np.random.default_rng(0)
    words = np.frombuffer(b"ACGT", dtype=np.uint8)[rng.integers(0, 4, (N_WORDS, WORD_BP))]
    return [words[rng.integers(0, N_WORDS, GENOME_BP // WORD_BP)].tobytes() for _ in range(N_GENOMES)]


def time_batches(task: MaskedLMTask, n: int = 20) -> None:
    """Print the speed of making batches."""
    start = time.perf_counter()
    tokens = sum(int(task.make_batch(step).mask.sum()) for step in range(n))
    print(f"batches alone: {tokens / (time.perf_counter() - start):,.0f} tokens/s", flush=True)


def run(task: MaskedLMTask, device: torch.device, seconds: float) -> None:
    """Train for `seconds` after a warm-up, and print what came of it."""
    on_gpu = device.type == "cuda"
    module = task.module.to(device).train()
    optimiser = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE, fused=on_gpu)
    autocast = torch.autocast("cuda", torch.bfloat16) if on_gpu else contextlib.nullcontext()
    tokens, step, start = 0.0, 0, None
    while start is None or time.perf_counter() - start < seconds:
        if step == WARM_UP:
            _wait(device)
            tokens, start = 0.0, time.perf_counter()
        with autocast:
            loss, logs = task.loss(step, torch.Generator(), device)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        tokens += logs["tokens"]
        step += 1
        if step % LOGGED == 1:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    _wait(device)
    elapsed = time.perf_counter() - start
    print(f"{tokens / elapsed:,.0f} tokens/s, {step} steps")
    print("held out:", {name: round(value, 3) for name, value in task.validate(device).items()})
    if on_gpu:
        print(f"{torch.cuda.get_device_name(device)}: {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB")
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokenizer", default="bpe", choices=TOKENIZERS)
    parser.add_argument("--seconds", type=float, default=60)
    for name, value in (("width", 256), ("layers", 6), ("heads", 4), ("batch-size", 64), ("max-tokens", 512)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--vocabulary-size", type=int)
    arguments = vars(parser.parse_args())
    device, seconds = torch.device(arguments.pop("device")), arguments.pop("seconds")
    options = PretrainOptions(steps=10**9, **arguments)
    with tempfile.TemporaryDirectory() as name:
        genomes, path = make_genomes(), Path(name) / "genomes.fa.gz"
        write_fasta(path, [(f"genome_{i}", sequence) for i, sequence in enumerate(genomes[:-1])])
        tokenizer = make_tokenizer(options, [path], Path(name) / "tokenizer")
        task = MaskedLMTask(genomes[:-1], genomes[-1:], tokenizer, options)
        n = sum(parameter.numel() for parameter in task.module.parameters())
        print(f"{options.tokenizer}: {tokenizer.n_ids} ids, {n / 1e6:.1f} M parameters, on {device}", flush=True)
        time_batches(task)
        run(task, device, seconds)


if __name__ == "__main__":
    main()

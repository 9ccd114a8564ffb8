"""Speed and memory of DNABERT-2 with random weights on a CPU, beside a plain implementation of the same model.

    python benchmarks/dnabert2_cpu.py [--tokenizer FOLDER]     tokens/s for sequences of 2-10 kbp on 2 cores
    python benchmarks/dnabert2_cpu.py --long                   peak memory for sequences of 20 kbp

Ours is what the workflow runs: batches sorted by length under a token budget, mean pooling. Plain takes the sequences
as they come, pads each batch to its longest, and holds the scores of all heads as (b, heads, s, s). Both run in this
process on the same weights, and their vectors are compared. Tokens/s count tokens of sequences, not padding; the ratio
of CPU time is printed too, because other work on the machine disturbs it less. Token ids are random, at 4.7 bp a token;
with --tokenizer they are those of random bases.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from dnabert2_plain import make_random_folder, make_tokens, make_worker, run_ours, run_plain, timed, unit

from workflow_lib.embed.dnabert2 import DNABERT2, DNABERT2Config

THREADS = 2
LONG_BP = 20_000


def compare(model: DNABERT2, tokens: list[np.ndarray], batch_size: int) -> None:
    """Tokens/s of both, and how far their vectors are apart."""
    n_tokens = sum(map(len, tokens))
    shortest = [min(tokens, key=len)]
    worker = make_worker(model)
    run_ours(worker, shortest), run_plain(model, shortest, 1)  # workspaces are made before the clock starts
    ours, ours_cpu, ours_vectors = timed(lambda: run_ours(worker, tokens))
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


def measure_long(model: DNABERT2, n_sequences: int, tokenizer_folder: Path | None) -> None:
    """Peak memory of this process, weights and torch itself included, for sequences of 20 kbp."""
    tokens = make_tokens(np.full(n_sequences, LONG_BP), tokenizer_folder)
    seconds, _, _ = timed(lambda: run_ours(make_worker(model), tokens))
    n_tokens = sum(map(len, tokens))
    print(f"{n_sequences} sequences of {LONG_BP} bp, {n_tokens} tokens: {n_tokens / seconds:,.0f} tokens/s")
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8, help="sequences of a batch of the plain implementation")
    parser.add_argument("--long", action="store_true", help="peak memory for 20 kbp instead")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    arguments = read_arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    torch.set_num_threads(THREADS)
    where = f"{THREADS} of {os.cpu_count()} cores of {platform.machine()}"
    print(f"{where}; torch {torch.__version__}; {arguments.layers} layers; load of others {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        make_random_folder(Path(folder), DNABERT2Config(num_hidden_layers=arguments.layers))
        model = DNABERT2.from_pretrained(folder)
        if arguments.long:
            measure_long(model, 4, arguments.tokenizer)
            return
        lengths = np.random.default_rng(0).integers(2_000, 10_001, arguments.sequences)
        compare(model, make_tokens(lengths, arguments.tokenizer), arguments.batch)


if __name__ == "__main__":
    main()

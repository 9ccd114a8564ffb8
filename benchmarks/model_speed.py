"""Speed and memory of any model folder, as the workflow runs it: sequences in, vectors out, the tokenizer included.

    python benchmarks/model_speed.py FOLDER [--device cpu] [--threads 2] [--mbp 0.1] [--length 10000]

One strand of random sequences of one length. Prints kbp/s of wall time and kbp a second of CPU time, which other work
on the machine disturbs less, and the peak memory of the process (weights and libraries included) and of the GPU.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from workflow_lib.embed.language_model import LanguageModel


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mbp", type=float, default=0.1)
    parser.add_argument("--length", type=int, default=10_000)
    options = parser.parse_args()
    import torch

    model = LanguageModel(options.folder, device=options.device, threads=options.threads)
    bases = np.frombuffer(b"ACGT", dtype=np.uint8)
    n = max(1, round(options.mbp * 1e6 / options.length))
    sequences = [row.tobytes() for row in bases[np.random.default_rng(0).integers(0, 4, (n, options.length))]]
    model.embed(sequences[:1])  # workspaces are made, and a GPU's budget is measured, before the clock starts
    wall, cpu = time.perf_counter(), time.process_time()
    model.embed(sequences)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    kbp = n * options.length / 1e3
    print(f"{model.name}: windows of {model.window} bp, {model.dim} columns")
    print(f"{n} sequences of {options.length} bp on {options.device}, {options.threads} threads:", end=" ")
    print(f"{kbp / wall:.2f} kbp/s, {kbp / cpu:.2f} kbp a CPU second")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB", end="")
    print("" if options.device == "cpu" else f", of the GPU {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()

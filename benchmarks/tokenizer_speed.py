"""Speed of tokenization in Mbp/s: a given tokenizer (DNABERT-2's BPE, or any other), and every kind trained here.

    python benchmarks/tokenizer_speed.py [folder of a tokenizer] [--mbp 10] [--threads 1 2 4]

Each number of threads is measured in a process of its own, because the `tokenizers` library reads it once. Random
sequences (even base frequencies) are cut into windows of 20 kbp. Best of three. Kinds are trained on 100 kbp of them,
BPE and unigram to 4,096 tokens.

Measured on 2 cores (Debian 12, Python 3.11, tokenizers 0.23.3) with the published tokenizer of DNABERT-2: BPE 5.8 Mbp/s
(1.2 M tokens/s) on one core, 11.0 Mbp/s on two; 6-mers 256 Mbp/s, overlapping 214 Mbp/s, one core.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
WINDOW = 20_000
TRAINING_BP = 100_000


def measure(name: str, tokenizer, mbp: float, threads: str) -> None:
    """Tokenize random sequences and print the best of three rates."""
    import numpy as np

    bases = np.frombuffer(b"ACGT", dtype=np.uint8)
    text = bases[np.random.default_rng(0).integers(0, 4, int(mbp * 1e6))].tobytes()
    windows = [text[start : start + WINDOW] for start in range(0, len(text), WINDOW)]
    seconds, n_tokens = [], 0
    for _ in range(3):
        start = time.perf_counter()
        n_tokens = sum(map(len, tokenizer.encode(windows)))
        seconds.append(time.perf_counter() - start)
    rate = mbp / min(seconds)
    print(f"{name:<24}{threads:>8} threads {rate:9.1f} Mbp/s {n_tokens / min(seconds) / 1e6:7.2f} M tokens/s")


def measure_all(folder: Path | None, mbp: float, threads: str) -> None:
    """Measure every tokenizer with the threads that this process was started with; those in Python with one only."""
    import numpy as np

    from workflow_lib.embed.model_tokenizer import load_tokenizer
    from workflow_lib.embed.tokenization import KINDS, train_tokenizer
    from workflow_lib.fasta import write_fasta

    if folder is not None:
        measure(folder.name, load_tokenizer(folder, "bert"), mbp, threads)
    with tempfile.TemporaryDirectory() as temporary:
        fasta = Path(temporary) / "genome.fa.gz"
        bases = np.frombuffer(b"ACGT", dtype=np.uint8)
        write_fasta(fasta, [("genome", bases[np.random.default_rng(1).integers(0, 4, TRAINING_BP)].tobytes())])
        for kind in KINDS if threads == "1" else ("bpe", "unigram"):
            measure(kind, train_tokenizer(kind, [fasta], folder=Path(temporary) / kind), mbp, threads)


def main() -> None:
    """Start a process for each number of threads; in such a process, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--mbp", type=float, default=10)
    parser.add_argument("--threads", nargs="+", default=["1", str(os.cpu_count())])
    options = parser.parse_args()
    if "RAYON_NUM_THREADS" in os.environ and len(options.threads) == 1:
        measure_all(options.folder, options.mbp, options.threads[0])
        return
    for threads in options.threads:
        command = [sys.executable, __file__, *([str(options.folder)] if options.folder else [])]
        command += ["--mbp", str(options.mbp), "--threads", threads]
        subprocess.run(command, env={**os.environ, "RAYON_NUM_THREADS": threads}, check=True)


if __name__ == "__main__":
    main()

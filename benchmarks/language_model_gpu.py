"""Language models on a GPU, with random weights: speed, share of the bf16 peak, parity, memory, end to end.

    python benchmarks/language_model_gpu.py [--tokenizer FOLDER] [--device cpu --tiny]

Under four minutes on an H200. Every part prints its figures and goes on where another part fails; the exit status
tells. Needs torch, numpy, tokenizers, safetensors and scipy; the part that reads FASTA.gz needs isal too, and is
skipped without it. `--device cpu --tiny` runs all parts small, to try the script itself.

- DNABERT-2 size: tokens/s at 2,000 tokens and for a mix of 2-10 kbp (4.7 bp a token), with compiled kernels and with
  torch's own; share of the bf16 peak (`flops` of dnabert2_plain.py: 300 MFLOP a token at 2,000 tokens), where the peak
  is what a product of two 8,192 x 8,192 matrices reaches in the same run, and that of the data sheet; against the plain
  padded implementation with full attention matrices (also bf16), the better of batches of 8 and 32.
- Parity: unit vectors against float32 on the CPU; against the same sequence alone in its batch.
- Memory: one sequence of rising length; a budget that cannot fit, to see the back-off.
- HyenaDNA (medium, 450k): Mbp/s and parity.
- End to end: sequences to vectors with the tokenizer in its threads, the tokenizer alone, and FASTA.gz to store.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from dnabert2_plain import (
    BP_PER_TOKEN,
    VOCABULARY,
    flops,
    make_random_folder,
    make_tokens,
    make_worker,
    run_ours,
    run_plain,
    timed,
    unit,
)
from safetensors.torch import save_file

from workflow_lib.embed.dnabert2 import DNABERT2, DNABERT2Config
from workflow_lib.embed.hyenadna import HyenaDNA, HyenaDNAConfig
from workflow_lib.embed.language_model import LanguageModel

TOKENS = 2000  # length at which the share of the peak is told
DATA_SHEET_TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "A40": 150, "L4": 121}  # dense bf16
MATRIX = 8192
KERNELS = ("compiled", "torch")
HYENA_TEXT = 20_000  # bp
TRAINING_BP = 1_000_000  # for a tokenizer of random bases, where none is given


class Bench:
    """Sizes, device and models that the parts share.

    Attributes
    ----------
    folder : of the DNABERT-2 with random weights.
    scale : numbers of sequences are divided by it.
    """

    def __init__(self, folder: Path, *, device: str, tiny: bool, tokenizer: Path | None) -> None:
        self.folder, self.device, self.tokenizer = folder, torch.device(device), tokenizer
        self.scale = 500 if tiny else 1
        self.config = (
            DNABERT2Config(hidden_size=48, num_hidden_layers=1, num_attention_heads=6, intermediate_size=64)
            if tiny
            else DNABERT2Config()
        )
        self.dtype = torch.bfloat16 if self.on_gpu else torch.float32
        make_random_folder(folder, self.config)

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def n(self, count: int) -> int:
        """A number of sequences, made smaller where all is small."""
        return max(2, count // self.scale)

    @functools.cache  # noqa: B019 -- one object, as long as the process
    def model(self, kernels: str = "auto") -> DNABERT2:
        """DNABERT-2 on the device."""
        return DNABERT2.from_pretrained(self.folder, dtype=self.dtype, device=self.device, kernels=kernels)

    @functools.cache  # noqa: B019
    def reference(self) -> DNABERT2:
        """The same in float32 on the CPU."""
        return DNABERT2.from_pretrained(self.folder)

    @functools.cache  # noqa: B019
    def peak(self) -> float:
        """TFLOP/s of a large product of random bfloat16 matrices; best of five rounds."""
        size = MATRIX if self.scale == 1 else 256
        a, b = (torch.randn(size, size, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        seconds = min(self.seconds(lambda: [a @ b for _ in range(10)]) for _ in range(5)) / 10
        return 2 * size**3 / seconds / 1e12

    def seconds(self, work: Callable[[], object]) -> float:
        """Wall seconds until the device is done."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start

    def wait(self) -> None:
        """Until the device is done."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def free(self) -> None:
        """Give cached memory back and forget the highest use."""
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def memory(self) -> str:
        """The highest use since `free`."""
        return f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB" if self.on_gpu else "not measured on a CPU"

    def rate(self, work: Callable[[], object], amount: float, rounds: int = 3) -> float:
        """Amount a second of the best round, after a first one that makes kernels and finds budgets."""
        work()
        return amount / min(self.seconds(work) for _ in range(rounds))


def mixed_tokens(n: int) -> list[np.ndarray]:
    """Random token ids of sequences of 2-10 kbp."""
    return make_tokens(np.random.default_rng(0).integers(2_000, 10_001, n), None)


def measure_peak_share(bench: Bench) -> None:
    """Tokens/s and share of the peak at `TOKENS` tokens."""
    name = torch.cuda.get_device_name() if bench.on_gpu else "cpu"
    sheet = next((value for key, value in DATA_SHEET_TFLOPS.items() if key in name), None)
    print(f"bf16 peak: {bench.peak():.0f} TFLOP/s in a large product; data sheet: {sheet or 'not known here'}")
    tokens = make_tokens(np.full(bench.n(512), round(TOKENS * BP_PER_TOKEN)), None)
    n_tokens = sum(map(len, tokens))
    for kernels in KERNELS:
        start = time.perf_counter()
        worker = make_worker(bench.model(kernels))
        run_ours(worker, tokens[:1])
        first = time.perf_counter() - start
        rate = bench.rate(lambda worker=worker: run_ours(worker, tokens), n_tokens)
        reached = flops(bench.config, tokens) * rate / n_tokens / 1e12
        share = f"{reached / bench.peak():.0%} of the measured peak" + (
            f", {reached / sheet:.0%} of the sheet's" if sheet else ""
        )
        print(f"{TOKENS} tokens, {kernels:<8} kernels: {rate:12,.0f} tokens/s {reached:6.1f} TFLOP/s, {share}")
        print(f"    first use {first:.1f} s; batches of {worker.token_budget} tokens")


def compare_with_plain(bench: Bench) -> None:
    """Tokens/s for 2-10 kbp against the plain implementation."""
    tokens = mixed_tokens(bench.n(1024))
    n_tokens = sum(map(len, tokens))
    plain, vectors = 0.0, None
    for batch in (8, 32):
        bench.free()
        run_plain(bench.model(), tokens[:batch], batch)
        seconds, _, vectors = timed(lambda batch=batch: run_plain(bench.model(), tokens, batch))
        plain = max(plain, n_tokens / seconds)
        print(f"plain, batches of {batch:<3}          {n_tokens / seconds:12,.0f} tokens/s, memory {bench.memory()}")
    for kernels in KERNELS:
        bench.free()
        worker = make_worker(bench.model(kernels))
        rate = bench.rate(lambda worker=worker: run_ours(worker, tokens), n_tokens)
        difference = np.abs(unit(run_ours(worker, tokens)) - unit(vectors)).max()
        print(
            f"2-10 kbp, {kernels:<8} kernels  {rate:12,.0f} tokens/s = {rate / plain:.2f} x plain, memory "
            f"{bench.memory()}, differ by {difference:.1e}"
        )


def check_parity(bench: Bench) -> None:
    """Unit vectors against float32 on the CPU, and against each sequence alone."""
    rng = np.random.default_rng(3)
    tokens = [rng.integers(5, VOCABULARY, length) for length in (1, 20, 333, 700, 1000, 2100)]
    others = [*tokens, *(rng.integers(5, VOCABULARY, length) for length in (5, 900, 2048, 2048))]
    expected = unit(run_ours(make_worker(bench.reference()), tokens))
    for kernels in KERNELS:
        for dtype in (torch.float32, bench.dtype):
            model = DNABERT2.from_pretrained(bench.folder, dtype=dtype, device=bench.device, kernels=kernels)
            found = unit(run_ours(make_worker(model, token_budget=16_384), others))[: len(tokens)]
            alone = np.concatenate([unit(run_ours(make_worker(model, token_budget=1), [ids])) for ids in tokens])
            to_cpu, cosine = np.abs(found - expected).max(), (found * expected).sum(1).min()
            print(f"{kernels:<8} {str(dtype).removeprefix('torch.'):<8}: ", end="")
            print(f"to float32 on the CPU {to_cpu:.1e} (cosine {cosine:.6f})", end=", ")
            print(f"alone or in a batch {np.abs(found - alone).max():.1e}")


def measure_memory(bench: Bench) -> None:
    """Peak memory of one sequence of rising length, and a budget that cannot fit."""
    for kernels in KERNELS:
        worker, rows = make_worker(bench.model(kernels), token_budget=1), []
        for length in (4_000, 16_000, 64_000) if bench.scale == 1 else (100, 400):
            tokens = make_tokens(np.array([length * BP_PER_TOKEN]), None)
            bench.free()
            seconds = bench.seconds(lambda worker=worker, tokens=tokens: run_ours(worker, tokens))
            rows.append(f"{length} tokens {bench.memory()} {seconds:.2f} s")
        print(f"one sequence, {kernels:<8} kernels: {'; '.join(rows)}")
    if not bench.on_gpu:
        return
    tokens = mixed_tokens(256)
    expected = run_ours(make_worker(bench.model(), token_budget=8192), tokens)
    bench.free()
    share = 3 * 2**30 / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)  # 3 GiB: the batch below needs more
    try:
        worker = make_worker(bench.model(), token_budget=262_144)
        found = run_ours(worker, tokens)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    print(
        f"back-off: from 262144 to {worker.token_budget} tokens a batch under 3 GiB; "
        f"vectors differ by {np.abs(unit(found) - unit(expected)).max():.1e}"
    )


def measure_hyenadna(bench: Bench) -> None:
    """Mbp/s of HyenaDNA's published medium size, and parity."""
    config = HyenaDNAConfig(d_model=256, n_layer=8, d_inner=1024, max_seq_len=450_002)
    if bench.scale > 1:
        config = HyenaDNAConfig(d_model=16, d_inner=32)
    folder = bench.folder / "hyenadna"
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    weights = HyenaDNA(config).state_dict()
    save_file({name: tensor.clone() for name, tensor in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "hyenadna", **asdict(config)}))
    text = min(HYENA_TEXT, config.max_seq_len)
    tokens = [np.random.default_rng(i).integers(7, 11, text) for i in range(bench.n(256))]
    bench.free()
    worker = make_worker(HyenaDNA.from_pretrained(folder, dtype=bench.dtype, device=bench.device), "hyenadna")
    rate = bench.rate(lambda: run_ours(worker, tokens), len(tokens) * text)
    print(f"{text} bp: {rate / 1e6:.2f} Mbp/s, batches of {worker.token_budget} tokens, memory {bench.memory()}")
    few = [ids[:length] for ids, length in zip(tokens * 2, (1, 50, 900, 1000), strict=False)]
    expected = unit(run_ours(make_worker(HyenaDNA.from_pretrained(folder), "hyenadna"), few))
    found = unit(run_ours(worker, few))
    print(f"to float32 on the CPU {np.abs(found - expected).max():.1e}, cosine {(found * expected).sum(1).min():.6f}")


def write_tokenizer(bench: Bench, texts: list[str]) -> None:
    """The tokenizer that was given, or a BPE of as many tokens trained on random bases."""
    target = bench.folder / "tokenizer.json"
    if bench.tokenizer is not None:
        target.write_bytes((bench.tokenizer / "tokenizer.json").read_bytes())
        return
    from tokenizers import Tokenizer, models, processors, trainers

    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(target))


def measure_end_to_end(bench: Bench) -> None:
    """Mbp/s of the embedder with its tokenizer, of the tokenizer alone, and from FASTA.gz to store."""
    rng = np.random.default_rng(5)
    bases = np.frombuffer(b"ACGT", dtype=np.uint8)
    training = bases[rng.integers(0, 4, TRAINING_BP // bench.scale)].tobytes().decode()
    write_tokenizer(bench, [training[start : start + 1000] for start in range(0, len(training), 1000)])
    lengths = np.maximum(2500, rng.lognormal(np.log(7000), 0.8, bench.n(4000))).astype(int)
    contigs = [bases[rng.integers(0, 4, length)].tobytes() for length in lengths]
    mbp = sum(map(len, contigs)) / 1e6
    embedder = LanguageModel(bench.folder, device=str(bench.device))
    alone = bench.rate(lambda: embedder._tokenizer.encode(contigs), mbp, rounds=1)
    rate = bench.rate(lambda: embedder.embed(contigs), mbp, rounds=2)
    print(f"{len(contigs)} contigs, {mbp:.1f} Mbp, one strand: {rate:.2f} Mbp/s; its tokenizer alone {alone:.2f} Mbp/s")
    if importlib.util.find_spec("isal") is None:
        print("FASTA.gz to store: skipped, the Python package isal is not installed")
        return
    from workflow_lib.embed import embed_fasta
    from workflow_lib.fasta import write_fasta

    fasta = bench.folder / "contigs.fa.gz"
    write_fasta(fasta, [(f"c{i}", contig) for i, contig in enumerate(contigs)])
    settings = {"shard_folder": bench.folder / "shards", "shard_mbp": 8, "n_pieces": 0, "min_piece": 2500}
    seconds = bench.seconds(lambda: embed_fasta(embedder, fasta, bench.folder / "store", **settings))
    print(f"FASTA.gz to store: {mbp / seconds:.2f} Mbp/s")


PARTS = (
    measure_peak_share, compare_with_plain, check_parity, measure_memory, measure_hyenadna, measure_end_to_end,
)  # fmt: skip


def main() -> int:
    """Run all parts; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="all small, to try the script")
    parser.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json; else a BPE of random bases")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="    %(message)s", stream=sys.stdout)
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(f"{where}; torch {torch.__version__}; CUDA {torch.version.cuda}; {torch.get_num_threads()} threads")
    n_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), device=arguments.device, tiny=arguments.tiny, tokenizer=arguments.tokenizer)
        for part in PARTS:
            print(f"-- {part.__name__}: {part.__doc__.splitlines()[0]}")
            try:
                print(f"   ({bench.seconds(lambda part=part: part(bench)):.0f} s)", flush=True)
            except Exception:
                n_failed += 1
                traceback.print_exc(file=sys.stdout)
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())

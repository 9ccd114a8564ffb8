"""TNF-VAE: the latent mean of a variational autoencoder that is trained on the tetranucleotide frequencies of a sample.

    train_tnf_vae(["sample.fa.gz"], "models/tnf_vae", seed=0)
    load_embedder("models/tnf_vae")

`TNFVAE(folder, *, device="cpu", both_strands=True, threads=None)` is the embedder of a trained folder: config.json with
`model_type` "tnf-vae", and model.safetensors. Vectors of two trainings are not comparable: one folder serves all
samples of a run and their reference.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numba
import numpy as np

from workflow_lib.embed.base import as_bytes, compute_fingerprint, runs_on_cpu_only, unit_rows
from workflow_lib.embed.kmers import BASES
from workflow_lib.embed.small_model import read_small_model, write_small_model
from workflow_lib.embed.tnf import TNF_K_DIM, project_frequencies, tetranucleotide_frequencies
from workflow_lib.fasta import read_fasta

logger = logging.getLogger(__name__)

MODEL_TYPE = "tnf-vae"
ALGORITHM_VERSION = 1
HIDDEN, LATENT = 512, 32  # VAMB's widths
_BLOCK_ROWS = 4096
_BLOCK_BP = 8_000_000  # sequences held at a time, while their frequencies are counted
_BATCH_NORM_EPS = 1e-5  # torch's default
_LEAK = 0.01  # slope of LeakyReLU below zero, torch's default


def standardise(projected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, float64 (103,), of the columns of TNF-K vectors; a deviation of 0 becomes 1."""
    if not len(projected):
        return np.zeros(TNF_K_DIM), np.ones(TNF_K_DIM)
    deviation = projected.std(axis=0, dtype=np.float64)
    return projected.mean(axis=0, dtype=np.float64), np.where(deviation > 0, deviation, 1.0)


def read_projected(fasta_paths: Sequence[str | Path], *, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """TNF-K, float32 (n, 103), and lengths in bp, int64 (n,), of the sequences of FASTA files that have a 4-mer.

    Held in memory: 412 bytes a sequence, and sequences of 8 Mbp (or the longest) at a time.
    """
    rows, lengths = [np.zeros((0, TNF_K_DIM), dtype=np.float32)], [np.zeros(0, dtype=np.int64)]
    block: list[bytes] = []

    def add_block() -> None:
        frequencies = tetranucleotide_frequencies(block, threads=threads)
        counted = frequencies.any(axis=1)
        rows.append(project_frequencies(frequencies[counted], threads=threads))
        lengths.append(np.array([len(sequence) for sequence in block], dtype=np.int64)[counted])

    n_bp = 0
    for path in fasta_paths:
        for record in read_fasta(path):
            block.append(record.sequence)
            n_bp += len(record.sequence)
            if n_bp >= _BLOCK_BP:
                add_block()
                block, n_bp = [], 0
    add_block()
    return np.concatenate(rows), np.concatenate(lengths)


def train_tnf_vae(
    fasta_paths: Sequence[str | Path],
    folder: str | Path,
    *,
    seed: int = 0,
    epochs: int = 300,
    threads: int = 1,
) -> None:
    """Train a TNF-VAE on the sequences of FASTA files and save it as a folder for `load_embedder`.

    Parameters
    ----------
    fasta_paths : the sample's contigs, or those of all samples of a run.
    folder : gets model.safetensors and config.json (last).
    seed : of initial weights, order and noise; the same seed gives the same bytes at any `threads`.
    epochs : passes over the sequences.
    threads : sequences counted at a time; the network is trained on one core.

    Raises
    ------
    InputError
        when a FASTA file cannot be read.
    """
    from workflow_lib.embed.tnf_vae_training import train_network

    if isinstance(fasta_paths, str | Path):
        raise TypeError("expected a list of FASTA files, found one path; put it into a list")
    projected, lengths = read_projected(fasta_paths, threads=threads)
    mean, deviation = standardise(projected)
    standardised = ((projected - mean) / deviation).astype(np.float32)
    weights, loss = train_network(standardised, lengths, seed=seed, epochs=epochs)
    config = {
        "model_type": MODEL_TYPE, "version": ALGORITHM_VERSION, "hidden": HIDDEN, "latent": LATENT, "seed": seed,
        "epochs": epochs, "n_sequences": len(lengths), "total_bp": int(lengths.sum()), "loss": loss,
    }  # fmt: skip
    write_small_model(folder, config, {**weights, "mean": mean, "deviation": deviation})


_SHAPES = {
    "mean": (TNF_K_DIM,),
    "deviation": (TNF_K_DIM,),
    **{
        f"encoder.{layer}.{name}": shape
        for layer, n_in in ((0, TNF_K_DIM), (1, HIDDEN))
        for name, shape in {
            "linear.weight": (HIDDEN, n_in),
            "linear.bias": (HIDDEN,),
            "norm.weight": (HIDDEN,),
            "norm.bias": (HIDDEN,),
            "norm.running_mean": (HIDDEN,),
            "norm.running_var": (HIDDEN,),
        }.items()
    },
    "latent.weight": (LATENT, HIDDEN),
    "latent.bias": (LATENT,),
}


class TNFVAE:
    """The latent mean of a trained TNF-VAE as unit rows, 32 columns; runs on the CPU, in float64.

    Parameters
    ----------
    folder : written by `train_tnf_vae`.
    device : "cpu"; anything else is refused.
    both_strands : average a sequence and its reverse complement; without, one strand is counted.
    threads : sequences counted at a time; None: as numba's NUMBA_NUM_THREADS.

    Raises
    ------
    InputError
        when the folder lacks a file, is of another model or version, or has tensors of other shapes.
    """

    name = MODEL_TYPE
    dim = LATENT

    def __init__(
        self,
        folder: str | Path,
        *,
        device: str = "cpu",
        both_strands: bool = True,
        threads: int | None = None,
    ) -> None:
        if device != "cpu":
            raise runs_on_cpu_only(self.name, device)
        self._weights = read_small_model(
            folder,
            kind=MODEL_TYPE,
            version=ALGORITHM_VERSION,
            shapes=_SHAPES,
            remedy="train it again (workflow_lib.embed.tnf_vae.train_tnf_vae)",
        )
        self.both_strands = both_strands
        self.threads = threads or numba.config.NUMBA_NUM_THREADS
        content = {"name": self.name, "version": ALGORITHM_VERSION, "bases": BASES, "both_strands": both_strands}
        self.fingerprint = compute_fingerprint(content, [self._weights[name] for name in sorted(self._weights)])

    def embed(self, sequences: Sequence[str | bytes]) -> np.ndarray:
        """Latent means scaled to unit rows, float32 (n, 32); zeros where there is no 4-mer to count."""
        texts = as_bytes(sequences)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK_ROWS):
            frequencies = tetranucleotide_frequencies(
                texts[start : start + _BLOCK_ROWS], both_strands=self.both_strands, threads=self.threads
            )
            counted = np.flatnonzero(frequencies.any(axis=1))
            projected = project_frequencies(frequencies[counted], threads=self.threads)
            vectors[start + counted] = unit_rows(self.encode(projected))
        return vectors

    def encode(self, projected: np.ndarray) -> np.ndarray:
        """Latent means, float64 (n, 32), of TNF-K vectors (n, 103): the network as it is after training."""
        weights = self._weights
        hidden = (projected - weights["mean"]) / weights["deviation"]
        for layer in (0, 1):
            name = f"encoder.{layer}."
            hidden = hidden @ weights[name + "linear.weight"].T + weights[name + "linear.bias"]
            hidden = np.where(hidden > 0, hidden, _LEAK * hidden)
            scale = weights[name + "norm.weight"] / np.sqrt(weights[name + "norm.running_var"] + _BATCH_NORM_EPS)
            hidden = (hidden - weights[name + "norm.running_mean"]) * scale + weights[name + "norm.bias"]
        return hidden @ weights["latent.weight"].T + weights["latent.bias"]

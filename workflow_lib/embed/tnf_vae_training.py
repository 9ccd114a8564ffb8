"""The network of TNF-VAE and its training; imported only to train."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from workflow_lib.embed.tnf import TNF_K_DIM
from workflow_lib.embed.tnf_vae import HIDDEN, LATENT

logger = logging.getLogger(__name__)

DROPOUT = 0.2
BETA = 200.0  # the prior's weight is 1 / (LATENT * BETA)
LEARNING_RATE = 1e-3
BATCH = 256
DOUBLED_AT = (25, 75, 150, 225)  # epochs before which the batch doubles
_LOGGED_EPOCHS = 50


class Layer(nn.Module):
    """Linear, LeakyReLU, dropout, batch normalisation, in VAMB's order."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out)

    def forward(self, rows: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """(b, n_in) -> (b, n_out); dropout with a generator, none without."""
        rows = nn.functional.leaky_relu(self.linear(rows))
        if generator is not None:
            kept = torch.rand(rows.shape, generator=generator) >= DROPOUT
            rows = rows * kept / (1 - DROPOUT)
        return self.norm(rows)


class Network(nn.Module):
    """A variational autoencoder of standardised TNF-K vectors, with two hidden layers on either side.

    The posterior has unit variance in every latent dimension, as in VAMB: only its mean is learned.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([Layer(TNF_K_DIM, HIDDEN), Layer(HIDDEN, HIDDEN)])
        self.latent = nn.Linear(HIDDEN, LATENT)
        self.decoder = nn.ModuleList([Layer(LATENT, HIDDEN), Layer(HIDDEN, HIDDEN)])
        self.output = nn.Linear(HIDDEN, TNF_K_DIM)

    def encode(self, rows: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Latent means (b, LATENT) of rows (b, 103)."""
        for layer in self.encoder:
            rows = layer(rows, generator)
        return self.latent(rows)

    def loss(self, rows: torch.Tensor, weights: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mean over rows of weight * (squared error / 103 + |mean|^2 / 2 / (LATENT * BETA)), a scalar."""
        mean = self.encode(rows, generator)
        decoded = mean + torch.randn(mean.shape, generator=generator)
        for layer in self.decoder:
            decoded = layer(decoded, generator)
        error = (self.output(decoded) - rows).square().sum(dim=1) / TNF_K_DIM
        divergence = mean.square().sum(dim=1) / 2
        return ((error + divergence / (LATENT * BETA)) * weights).mean()


def length_weights(lengths: np.ndarray) -> np.ndarray:
    """Weight of each sequence in the loss, float32 (n,), of mean 1: max(2, ln(bp) - 5), as in VAMB."""
    weights = np.maximum(2.0, np.log(lengths) - 5.0)
    return (weights / weights.mean()).astype(np.float32)


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread: sums are then always in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _make_network(seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):  # the caller's random state stays
        torch.manual_seed(seed)
        return Network()


def train_network(
    rows: np.ndarray, lengths: np.ndarray, *, seed: int = 0, epochs: int = 300
) -> tuple[dict[str, np.ndarray], float | None]:
    """Train the autoencoder with Adam, the batch doubling from 256 at epochs 25, 75, 150 and 225.

    One core, so that a seed gives the same bytes at any number of threads (on the same build of torch and kind of CPU).

    Parameters
    ----------
    rows : float32 (n, 103), standardised columns. With n below 2 the network stays as initialised, with a warning.
    lengths : int64 (n,), bp of the sequences.

    Returns
    -------
    The encoder's weights by name, float32, and the mean loss of the last epoch (None without training).
    """
    network = _make_network(seed)
    loss = None
    if len(rows) < 2:
        logger.warning("TNF-VAE: %d sequences are too few to train on; its weights stay random", len(rows))
    else:
        with _one_thread():
            loss = _train(network, rows, lengths, seed=seed, epochs=epochs)
    names = ("encoder.", "latent.")
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items() if name.startswith(names)}
    return {name: array for name, array in state.items() if array.ndim}, loss


def _train(network: Network, rows: np.ndarray, lengths: np.ndarray, *, seed: int, epochs: int) -> float | None:
    generator = torch.Generator().manual_seed(seed)
    data, weights = torch.from_numpy(rows), torch.from_numpy(length_weights(lengths))
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    network.train()
    batch, loss, start = BATCH, None, time.perf_counter()
    for epoch in range(epochs):
        batch *= 2 if epoch in DOUBLED_AT else 1
        order = torch.randperm(len(data), generator=generator)
        n_batches = max(1, len(data) // batch)  # a rest smaller than a batch joins the others: none is left out
        total = 0.0
        for chosen in order.tensor_split(n_batches):
            value = network.loss(data[chosen], weights[chosen], generator)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            total += value.item() * len(chosen)
        loss = total / len(data)
        if (epoch + 1) % _LOGGED_EPOCHS == 0 or epoch + 1 == epochs:
            logger.info(
                "TNF-VAE: epoch %d of %d, %d sequences, loss %.4f, %.0f s",
                epoch + 1, epochs, len(data), loss, time.perf_counter() - start,
            )  # fmt: skip
    network.eval()
    return loss

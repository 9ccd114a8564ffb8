"""The thresholded similarity in PyTorch, for a GPU: the same decisions as on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from workflow_lib.bin.similarity import ThresholdedSimilarity
from workflow_lib.embed.devices import find_devices

_ROWS, _COLUMNS = 4096, 16_384  # a block of similarities: 256 MiB of float32
_UNSURE = 1 << 16  # pairs near the threshold that are repeated in float64 at a time


class TorchSimilarity(ThresholdedSimilarity):
    """As `ThresholdedSimilarity`, on a device; all pairs, nothing left out.

    Products are float32 (never TF32), and those within their rounding bound of the threshold are repeated in float64,
    as on the CPU: the same pairs count. Sums of them are rounded otherwise, by far less than the difference below which
    densities are ties. So labels are those of the CPU.

    The rows that it was last asked about stay on the device: n x d x 4 bytes, and half a GiB for blocks.
    """

    def __init__(self, threshold: float, *, largest_norm: float, dim: int, map_blocks: Callable, device: str) -> None:
        super().__init__(threshold, largest_norm=largest_norm, dim=dim, map_blocks=map_blocks)
        self.device = find_devices(device, option="bin.device")[0]
        self._held: np.ndarray | None = None
        self._rows: torch.Tensor | None = None

    def density(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: D102
        rows = self._on_device(vectors)
        own = (
            torch.cat([(part.double() ** 2).sum(dim=1) for part in _blocks(rows, _COLUMNS)])
            if len(rows)
            else rows[:, 0]
        )
        own = torch.where(own >= float(self.threshold), own, 0.0)
        return self._sums(rows, rows), own.cpu().numpy()

    def sums_to(self, rows: np.ndarray, members: np.ndarray) -> np.ndarray:  # noqa: D102
        return self._sums(self._on_device(rows), torch.from_numpy(members).to(self.device))

    def near(self, rows: np.ndarray, medoid: np.ndarray) -> np.ndarray:  # noqa: D102
        column = torch.from_numpy(medoid[None, :]).to(self.device)
        parts = [self._mask_on_device(part, column)[1][:, 0] for part in _blocks(self._on_device(rows), _COLUMNS)]
        return torch.cat(parts).cpu().numpy() if parts else np.zeros(0, dtype=bool)

    def _on_device(self, vectors: np.ndarray) -> torch.Tensor:
        if vectors is not self._held:
            self._held, self._rows = vectors, None  # frees the device before it is filled again
            self._rows = torch.from_numpy(vectors).to(self.device)
        return self._rows

    def _sums(self, rows: torch.Tensor, columns: torch.Tensor) -> np.ndarray:
        sums = torch.zeros(len(rows), dtype=torch.float64, device=self.device)
        for start, part in zip(range(0, len(rows), _ROWS), _blocks(rows, _ROWS), strict=True):
            for others in _blocks(columns, _COLUMNS):
                sums[start : start + _ROWS] += self._kept_on_device(part, others).sum(dim=1, dtype=torch.float64)
        return sums.cpu().numpy()

    def _kept_on_device(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        product, mask = self._mask_on_device(rows, columns)
        return product.mul_(mask)

    def _mask_on_device(self, rows: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 similarities of a block and which of them reach the threshold; see `ThresholdedSimilarity._mask`."""
        allowed, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, False
        try:
            product = rows @ columns.T
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed
        mask = product >= float(self._low)
        at_row, at_column = torch.nonzero(mask & (product < float(self._high)), as_tuple=True)
        for start in range(0, len(at_row), _UNSURE):
            i, j = at_row[start : start + _UNSURE], at_column[start : start + _UNSURE]
            exact = torch.einsum("ij,ij->i", rows[i].double(), columns[j].double())
            mask[i, j] = exact >= float(self.threshold)
        return product, mask


def _blocks(rows: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    return (rows[start : start + size] for start in range(0, len(rows), size))

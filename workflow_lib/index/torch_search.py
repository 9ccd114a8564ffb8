"""Exact search in PyTorch, on a GPU or the CPU: a screen in low precision, then float32, and a bound that proves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import torch

from workflow_lib.errors import InputError
from workflow_lib.index.approximate import read_faiss, write_faiss
from workflow_lib.index.base import SearchIndex, to_chord
from workflow_lib.index.factories import Plan
from workflow_lib.index.windows import WindowTable

# A block of similarities, queries x windows: 1,024 x 65,536 = 256 MiB of float32.
_QUERIES, _WINDOWS = 1_024, 65_536
_SPARE = 32  # candidates of the screen beyond k
_WIDER = 4  # times as many candidates where the bound does not hold


class TorchIndex(SearchIndex):
    """All windows against all queries, with proof that none nearer was missed.

    A screen in `screen` precision (float16 on a GPU, float32 on the CPU) ranks all windows. The best k + 32 are
    measured again in float32. A window outside of them is at most as similar as the last of them was screened to be,
    plus the screen's error (`screen_error`). Where the k-th measured similarity is not above that, the query is
    screened again, with four times the candidates, until it is: so the result is exact.

    Memory on the device: n x d x 4 bytes, half as much again for the screen on a GPU, and blocks of 256 MiB.
    """

    searched_by = "PyTorch"

    def __init__(
        self,
        vectors: np.ndarray,
        table: WindowTable,
        manifest: dict,
        plan: Plan,
        device: str,
        screen: torch.dtype | None = None,
    ) -> None:
        super().__init__(table, manifest, plan)
        if vectors.shape != (len(table), self.dim):
            raise InputError(f"{len(vectors)} x {vectors.shape[1]} vectors, expected {len(table)} x {self.dim}")
        if device != "cpu" and not torch.cuda.is_available():
            raise InputError(f"device {device}: PyTorch finds no GPU", remedy="set index.device to cpu")
        self.device = torch.device(device)
        self.screen = screen or (torch.float32 if device == "cpu" else torch.float16)
        self._set_vectors(vectors)

    def _set_vectors(self, vectors: np.ndarray) -> None:
        self._vectors = torch.from_numpy(np.array(vectors)).to(self.device)
        self._screened = self._vectors.to(self.screen)

    @classmethod
    def from_vectors(  # noqa: D102
        cls,
        vectors: np.ndarray,
        table: WindowTable,
        manifest: dict,
        plan: Plan,
        *,
        device: str = "cpu",
        screen: torch.dtype | None = None,
    ) -> TorchIndex:
        return cls(vectors, table, manifest, plan, device, screen)

    @classmethod
    def from_file(  # noqa: D102
        cls, path: Path, table: WindowTable, manifest: dict, plan: Plan, *, device: str = "cpu", mmap: bool = True
    ) -> TorchIndex:
        index = read_faiss(path, mmap=mmap)
        if not isinstance(index, faiss.IndexFlatIP):
            raise InputError(
                f"a {type(index).__name__}, expected IndexFlatIP", path=path, remedy="build the index anew"
            )
        vectors = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(-1, index.d)
        return cls(vectors, table, manifest, plan, device)

    def write_file(self, path: Path) -> None:
        """Write what the kind `Flat` writes: the files are the same."""
        index = faiss.IndexFlatIP(self.dim)
        index.add(self._vectors.cpu().numpy())
        write_faiss(path, index)

    def add(self, vectors: np.ndarray) -> None:  # noqa: D102
        self._set_vectors(np.concatenate([self._vectors.cpu().numpy(), vectors]))

    @property
    def screen_error(self) -> float:
        """Bound of the difference between a screened and a measured similarity of unit rows x and y.

        Entries rounded with the relative error u change the product by at most (2u + u^2) sum |x_i y_i|, and the sum is
        at most 1 (Cauchy-Schwarz); the result is rounded once more, with u. Entries below the smallest normal number
        lose at most its u-th part each. Sums of d float32 products, here and in the measuring, err by d 2^-24 each.
        """
        sums = self.dim * 2.0**-23
        if self.screen == torch.float32:
            return sums
        kind = torch.finfo(self.screen)
        unit = kind.eps / 2
        return 3 * unit + 2 * unit**2 + 2 * unit * kind.smallest_normal * self.dim**0.5 + sums

    def _search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        similarities = np.empty((len(vectors), k), dtype=np.float32)
        rows = np.empty((len(vectors), k), dtype=np.int64)
        for start in range(0, len(vectors), _QUERIES):
            block = slice(start, start + _QUERIES)
            queries = torch.from_numpy(vectors[block]).to(self.device)
            found, owners = self._search_block(queries, k)
            similarities[block], rows[block] = found.cpu().numpy(), owners.cpu().numpy()
        return to_chord(similarities), rows

    def _search_block(self, queries: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        n = len(self._vectors)
        best = torch.empty((len(queries), k), dtype=torch.float32, device=self.device)
        owners = torch.empty((len(queries), k), dtype=torch.int64, device=self.device)
        pending, width = torch.arange(len(queries), device=self.device), min(k + _SPARE, n)
        while len(pending):
            screened, candidates = self._screen(queries[pending], width)
            exact = self._measure(queries[pending], candidates)
            order = torch.sort(candidates, dim=1)  # the earlier row first among equals
            exact, places = torch.sort(exact.gather(1, order.indices), dim=1, descending=True, stable=True)
            best[pending], owners[pending] = exact[:, :k], order.values.gather(1, places)[:, :k]
            if width == n:
                break
            proven = exact[:, k - 1] > screened[:, -1].float() + self.screen_error
            pending, width = pending[~proven], min(width * _WIDER, n)
        return best, owners

    def _screen(self, queries: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The `width` most similar windows by the screen: similarities, descending, and rows."""
        lowered = queries.to(self.screen)
        best = rows = None
        for start in range(0, len(self._screened), _WINDOWS):
            block = lowered @ self._screened[start : start + _WINDOWS].T
            values, places = block.topk(min(width, block.shape[1]), dim=1)
            places = places + start
            if best is not None:
                values, places = torch.cat([best, values], dim=1), torch.cat([rows, places], dim=1)
                values, kept = values.topk(min(width, values.shape[1]), dim=1)
                places = places.gather(1, kept)
            best, rows = values, places
        return best, rows

    def _measure(self, queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """float32 similarities of each query with its own candidates, a few queries at a time."""
        step = max(1, _QUERIES * _WINDOWS // (candidates.shape[1] * self.dim))
        parts = [
            torch.bmm(self._vectors[candidates[i : i + step]], queries[i : i + step, :, None]).squeeze(2)
            for i in range(0, len(queries), step)
        ]
        return torch.cat(parts)

    def _genome_distances(self, vectors: np.ndarray, wanted: np.ndarray, k: int) -> Iterator[tuple[slice, np.ndarray]]:
        codes = torch.from_numpy(self.table.codes).to(self.device, torch.int64)
        for start in range(0, len(vectors), _QUERIES):
            block = slice(start, min(start + _QUERIES, len(vectors)))
            queries = torch.from_numpy(vectors[block]).to(self.device)
            nearest = torch.full((len(wanted), len(queries)), -torch.inf, device=self.device)
            for first in range(0, len(codes), _WINDOWS):
                part = slice(first, first + _WINDOWS)
                found = self._vectors[part] @ queries.T
                nearest.scatter_reduce_(0, codes[part, None].expand_as(found), found, "amax")
            yield block, to_chord(nearest.T.cpu().numpy())

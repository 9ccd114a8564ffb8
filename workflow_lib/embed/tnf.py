"""Tetranucleotide frequencies (TNF) and their projection to 103 independent dimensions (TNF-K)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numba
import numpy as np

from workflow_lib.embed.base import compute_fingerprint, runs_on_cpu_only, unit_rows
from workflow_lib.embed.kmers import BASES, kmer_frequencies, project_rows, reverse_complement_columns

K = 4
N_COLUMNS = 4**K
TNF_K_DIM = 103  # dimensions that the constraints leave free; checked when the kernel is derived
ALGORITHM_VERSION = 1
_DECIMALS = 9  # of the kernel: the same numbers from every linear algebra library
_NO_LENGTH = 1e-6  # a projected vector that is shorter is rounding noise: the frequencies are all even


def tetranucleotide_frequencies(
    sequences: Sequence[str | bytes], *, both_strands: bool = True, threads: int = 1
) -> np.ndarray:
    """Frequencies of overlapping 4-mers, float32 (n, 256), columns in the order A, T, C, G; see `kmer_frequencies`."""
    return kmer_frequencies(sequences, K, both_strands=both_strands, threads=threads)


def tetranucleotide_constraints() -> np.ndarray:
    """The linear constraints on the 4-mer frequencies of a double strand, float64 (185, 256).

    rows @ frequencies = 0, but for the last row, which gives 1.

    A 4-mer is as frequent as its reverse complement; each 3-mer x is preceded as often as it is followed by a base
    (sum over b of f[bx] = sum over b of f[xb], but for the two ends of the sequence); the frequencies sum to 1.
    Source: Kislyuk et al. 2009, BMC Bioinformatics 10:316; as used by VAMB (Nissen et al. 2021).
    """
    columns = np.arange(N_COLUMNS)
    opposite = reverse_complement_columns(K)
    identity = np.eye(N_COLUMNS)
    strands = (identity - identity[opposite])[columns < opposite]
    trimers = np.arange(4 ** (K - 1))[:, None]
    preceded, followed = columns % 4 ** (K - 1) == trimers, columns // 4 == trimers
    return np.vstack([strands, preceded.astype(float) - followed, np.ones((1, N_COLUMNS))])


@cache
def tnf_k_kernel() -> np.ndarray:
    """Orthonormal basis, float64 (256, 103), of the null space of `tetranucleotide_constraints`.

    The null space is a single linear space, but its singular vectors are free to rotate and differ between libraries.
    So its projector P (which is unique) is taken from the singular value decomposition, and the basis by Gram-Schmidt
    over the columns of P in order: the same on every machine, each basis vector with a positive leading component.
    """
    _, values, rows = np.linalg.svd(tetranucleotide_constraints())
    rank = int((values > 1e-9 * values[0]).sum())
    projector = rows[rank:].T @ rows[rank:]
    basis = np.zeros((N_COLUMNS, 0))
    for column in projector.T:
        residual = column - basis @ (basis.T @ column)
        residual -= basis @ (basis.T @ residual)  # twice: once loses orthogonality to rounding
        length = np.linalg.norm(residual)
        if length > 1e-6:
            basis = np.column_stack([basis, residual / length])
    assert basis.shape == (N_COLUMNS, TNF_K_DIM)
    return np.ascontiguousarray(basis.round(_DECIMALS)) + 0.0  # no negative zeros


def published_kernel() -> np.ndarray:
    """The kernel, float64 (256, 103), as DNABERT-S's published evaluation applies it.

    There the columns of the frequencies are in the order A, T, C, G, but the rows of the kernel in A, C, G, T: T is
    taken for C, C for G, G for T, and dimensions are dropped that the constraints do not fix. For published figures.
    """
    bases = np.array([BASES.index(base) for base in "ACGT"])
    rows = bases[np.indices((4,) * K)].reshape(K, N_COLUMNS)
    return np.ascontiguousarray(tnf_k_kernel()[np.ravel_multi_index(rows, (4,) * K)])


def project_frequencies(frequencies: np.ndarray, *, kernel: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
    """TNF-K: (frequencies - 1/256) @ kernel, float32 (n, 256) -> float32 (n, 103), not normalised.

    Source: Kislyuk et al. 2009; Nissen et al. 2021 (VAMB). `kernel` is `tnf_k_kernel()` unless another is given. A row
    of zeros stays zeros.
    """
    kernel = tnf_k_kernel() if kernel is None else kernel
    return project_rows(frequencies, np.full(N_COLUMNS, 1 / N_COLUMNS), kernel, threads=threads)


class TNF:
    """Tetranucleotide frequencies as unit rows, 256 columns; runs on the CPU.

    Parameters
    ----------
    device : "cpu"; anything else is refused.
    both_strands : average a sequence and its reverse complement; without, one strand is counted.
    threads : sequences counted at a time; None: as numba's NUMBA_NUM_THREADS.
    """

    name = "tnf"
    dim = N_COLUMNS

    def __init__(self, *, device: str = "cpu", both_strands: bool = True, threads: int | None = None) -> None:
        if device != "cpu":
            raise runs_on_cpu_only(self.name, device)
        self.both_strands = both_strands
        self.threads = threads or numba.config.NUMBA_NUM_THREADS
        self.fingerprint = self._fingerprint([])

    def _fingerprint(self, weights: list[np.ndarray]) -> str:
        content = {"name": self.name, "version": ALGORITHM_VERSION, "bases": BASES, "both_strands": self.both_strands}
        return compute_fingerprint(content, weights)

    def _frequencies(self, sequences: Sequence[str | bytes]) -> np.ndarray:
        return tetranucleotide_frequencies(sequences, both_strands=self.both_strands, threads=self.threads)

    def embed(self, sequences: Sequence[str | bytes]) -> np.ndarray:
        """Frequencies scaled to unit rows, float32 (n, 256); a row of zeros where there is no 4-mer to count."""
        return unit_rows(self._frequencies(sequences))


class TNFK(TNF):
    """TNF-K as unit rows, 103 columns; parameters as for `TNF` and one more.

    The projection keeps only what both strands share, so that `both_strands` changes no more than the last digit.

    Parameters
    ----------
    published_order : use `published_kernel`, to repeat published figures (these also count one strand only).
    """

    name = "tnf-k"
    dim = TNF_K_DIM

    def __init__(
        self,
        *,
        device: str = "cpu",
        both_strands: bool = True,
        threads: int | None = None,
        published_order: bool = False,
    ) -> None:
        super().__init__(device=device, both_strands=both_strands, threads=threads)
        self._kernel = published_kernel() if published_order else tnf_k_kernel()
        self.fingerprint = self._fingerprint([self._kernel])

    def embed(self, sequences: Sequence[str | bytes]) -> np.ndarray:
        """Projected frequencies scaled to unit rows, float32 (n, 103); zeros where there is nothing to tell."""
        projected = project_frequencies(self._frequencies(sequences), kernel=self._kernel, threads=self.threads)
        return unit_rows(projected, no_length=_NO_LENGTH)

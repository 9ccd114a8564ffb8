"""Depth joined to the embedding: one unit vector a contig whose inner product mixes both similarities."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from workflow_lib.bin.metric import Pieces
from workflow_lib.blocks import one_blas_thread
from workflow_lib.errors import InputError

logger = logging.getLogger(__name__)

LOG_OFFSET = 0.1  # x; added to a depth before its logarithm, so that a depth of 0 has one
READ_LENGTH = 150  # bp along which depth is correlated, for the noise of a mean depth
_ONE_LIBRARY_FREQUENCIES = 64
_FREQUENCIES = 128  # random ones, with two libraries and more
_BANDWIDTH_NOISE = 3.0  # bandwidth of the depth kernel in standard deviations of the noise
_BANDWIDTH_RANGE = (0.5, 1.5)  # in natural logarithms of depth
_NOISE_RANGE = (0.05, 0.6)
DEFAULT_NOISE = 0.25  # standard deviation of log depth within a genome, where the sample cannot tell
_NOISE_CONTIGS = 2000  # the longest contigs that the noise is estimated from, at most
_MIN_NOISE_CONTIGS = 40  # below it there is no estimate


@dataclass(frozen=True)
class Depth:
    """Mean depth of the contigs of a sample in some libraries.

    Attributes
    ----------
    libraries : names of the L libraries.
    mean : float (n, L) mean depth, x.
    variance : float (n, L) variance of the depth along the contig, x^2.
    """

    libraries: list[str]
    mean: np.ndarray
    variance: np.ndarray

    def __post_init__(self) -> None:
        if self.mean.ndim != 2 or self.mean.shape[1] != len(self.libraries) or self.variance.shape != self.mean.shape:
            raise InputError(
                f"depth {self.mean.shape} and variance {self.variance.shape} of {len(self.libraries)} libraries, "
                "expected two matrices (contigs, libraries)"
            )


@dataclass(frozen=True)
class DepthProfile:
    """Logarithms of depth, ready for the kernel.

    Attributes
    ----------
    libraries : names of the L libraries in which depth differs between contigs.
    log : float64 (n, L) natural logarithm of depth + 0.1.
    sampling : float64 (n, L) variance of `log` times the contig's length, from the variance along the contig.
    noise : float64 (L,) standard deviation of `log` between long contigs of a genome.
    """

    libraries: list[str]
    log: np.ndarray
    sampling: np.ndarray
    noise: np.ndarray

    @property
    def bandwidth(self) -> float:
        """Of the Gaussian kernel, in natural logarithms of depth, a library."""
        return float(np.clip(_BANDWIDTH_NOISE * np.median(self.noise), *_BANDWIDTH_RANGE))


def no_libraries(n: int) -> DepthProfile:
    """The profile of n contigs of which no depth is known; it has no bandwidth."""
    return DepthProfile([], np.zeros((n, 0)), np.zeros((n, 0)), np.zeros(0))


def depth_profile(depth: Depth, vectors: np.ndarray, lengths: np.ndarray) -> DepthProfile | None:
    """Take logarithms, fill what is not available, drop libraries that tell nothing, and estimate the noise.

    Parameters
    ----------
    depth : of n contigs.
    vectors : float32 (n, d) unit rows, from composition alone; nearest neighbours among long contigs give the noise.
    lengths : int64 (n,) bp.

    Returns
    -------
    The profile, or None when no library tells contigs apart (no reads map anywhere, or one contig only).
    """
    usable, log = [], np.full(depth.mean.shape, np.nan)
    for column, library in enumerate(depth.libraries):
        known = np.isfinite(depth.mean[:, column]) & (depth.mean[:, column] >= 0)
        log[known, column] = np.log(depth.mean[known, column] + LOG_OFFSET)
        if not known.any() or np.ptp(log[known, column]) < 1e-9:
            logger.warning("library %s has the same depth on every contig and is left out of the binning", library)
            continue
        if not known.all():
            logger.warning("library %s has no depth for %d contigs; its median is taken", library, (~known).sum())
            log[~known, column] = np.median(log[known, column])
        usable.append(column)
    if not usable:
        return None
    log = log[:, usable]
    variance = np.nan_to_num(depth.variance[:, usable], nan=0.0, posinf=0.0).clip(0)
    sampling = variance * READ_LENGTH / np.exp(2 * log)
    noise = _depth_noise(log, vectors, lengths)
    return DepthProfile([depth.libraries[column] for column in usable], log, sampling, noise)


def counting_variance(log: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Least variance of log depth (n, L), as in `DepthProfile`, of contigs of these lengths (n,) in bp: reads are few.

    Reads of 150 bp are taken to fall on a contig at random; their number is taken for one more than was counted.
    """
    one_read = READ_LENGTH / np.maximum(lengths, 1.0)[:, None]
    depth = np.maximum(np.exp(log) - LOG_OFFSET, 0)
    return one_read * (depth + one_read) / np.exp(2 * log)


def _depth_noise(log: np.ndarray, vectors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Standard deviation of log depth within a genome, from long contigs and their nearest neighbours in composition.

    The closer half of these pairs is nearly always of one genome. The median of their difference is
    0.6745 sqrt(2) sigma and does not mind the few that are not.
    """
    n_long = min(max(len(log) // 4, 200), _NOISE_CONTIGS, len(log))
    longest = np.argsort(-lengths, kind="stable")[:n_long]
    longest = longest[vectors[longest].any(axis=1)]
    if len(longest) < _MIN_NOISE_CONTIGS:
        return np.full(log.shape[1], DEFAULT_NOISE)
    with one_blas_thread():
        similarity = vectors[longest] @ vectors[longest].T.copy()
    np.fill_diagonal(similarity, -np.inf)
    nearest, closeness = similarity.argmax(axis=1), similarity.max(axis=1)
    close = closeness >= np.median(closeness)
    difference = np.abs(log[longest] - log[longest[nearest]])[close]
    return np.clip(np.median(difference, axis=0) / (0.6745 * np.sqrt(2)), *_NOISE_RANGE)


def depth_similarity(log: np.ndarray, other: np.ndarray, bandwidth: float) -> np.ndarray:
    """exp(-mean over libraries of (difference)^2 / (2 bandwidth^2)) of m pairs of profiles, each float (m, L)."""
    return np.exp(-((log - other) ** 2).mean(axis=1) / (2 * bandwidth**2))


def depth_features(log: np.ndarray, bandwidth: float, *, seed: int = 1) -> np.ndarray:
    """Unit vectors whose inner product approximates `depth_similarity`.

    Parameters
    ----------
    log : float (n, L) logarithms of depth.
    bandwidth : in the same unit, a library.
    seed : of the random frequencies, where there are two libraries or more.

    Returns
    -------
    float32 (n, 128) with one library, else (n, 256).

    Notes
    -----
    Random Fourier features (Rahimi and Recht 2007), the frequencies orthogonal within blocks of L (Yu et al. 2016)
    which lowers their error; with one library the quantiles of the normal distribution take the place of a draw.
    """
    n_libraries = log.shape[1]
    if n_libraries == 1:
        from scipy.special import ndtri  # scipy.stats has it as norm.ppf, and takes a second to be imported

        frequencies = ndtri((np.arange(_ONE_LIBRARY_FREQUENCIES) + 0.5) / _ONE_LIBRARY_FREQUENCIES)[None, :]
    else:
        frequencies = _orthogonal_frequencies(n_libraries, np.random.default_rng(seed))
    # Elementwise sums, not a matrix product: the same bytes at any number of threads.
    phase = np.zeros((len(log), frequencies.shape[1]))
    for column in range(n_libraries):
        phase += log[:, column, None] * frequencies[column] / (bandwidth * np.sqrt(n_libraries))
    scale = 1 / np.sqrt(frequencies.shape[1])
    return np.concatenate([np.cos(phase) * scale, np.sin(phase) * scale], axis=1, dtype=np.float32, casting="same_kind")


def _orthogonal_frequencies(n_libraries: int, generator: np.random.Generator) -> np.ndarray:
    blocks = []
    for _ in range(-(-_FREQUENCIES // n_libraries)):
        orthogonal, upper = np.linalg.qr(generator.standard_normal((n_libraries, n_libraries)))
        orthogonal *= np.where(np.diagonal(upper) < 0, -1.0, 1.0)  # whatever signs the library chose
        blocks.append(orthogonal * np.sqrt(generator.chisquare(n_libraries, n_libraries)))
    return np.concatenate(blocks, axis=1)[:, :_FREQUENCIES].round(9)


def fuse(vectors: np.ndarray, profile: DepthProfile | None, share: float, *, seed: int = 1) -> np.ndarray:
    """Join composition and depth: the inner product of two rows is (1 - share) composition + share depth similarity.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows; a row of zeros (nothing to embed) stays zero throughout.
    profile : of the same n contigs; None leaves composition alone.
    share : 0 to 1, of depth.

    Returns
    -------
    float32 (n, d + 128 or 256), unit rows.
    """
    if profile is None or share == 0:
        return vectors
    return _join(vectors, profile.log, profile, share, seed)


def fuse_pieces(pieces: Pieces, profile: DepthProfile | None, share: float, *, seed: int = 1) -> Pieces:
    """Join depth to the halves of contigs, as `fuse` does: each half gets its contig's depth with noise of its own."""
    if profile is None or share == 0 or not len(pieces):
        return pieces
    halves = [
        _join(np.ascontiguousarray(pieces.vectors[:, side]), log, profile, share, seed)
        for side, log in enumerate(half_depths(pieces, profile, seed=seed))
    ]
    return Pieces(pieces.rows, pieces.lengths, np.stack(halves, axis=1))


def half_depths(pieces: Pieces, profile: DepthProfile, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Log depth of the first and of the second halves, float64 (p, L) each: the contig's, each with noise of its own.

    The variance of the noise is that between contigs of a genome plus that of sampling reads over half the contig.
    """
    generator = np.random.default_rng(seed + 1)
    log = profile.log[pieces.rows]
    spread = np.sqrt(profile.noise**2 + profile.sampling[pieces.rows] / pieces.lengths[:, None])
    first = log + spread * generator.standard_normal(spread.shape)
    return first, log + spread * generator.standard_normal(spread.shape)


def _join(vectors: np.ndarray, log: np.ndarray, profile: DepthProfile, share: float, seed: int) -> np.ndarray:
    features = depth_features(log[:1], profile.bandwidth, seed=seed).shape[1]
    dim = vectors.shape[1]
    fused = np.empty((len(vectors), dim + features), dtype=np.float32)
    for start in range(0, len(vectors), 8192):
        part = slice(start, start + 8192)
        fused[part, :dim] = np.float32(np.sqrt(1 - share)) * vectors[part]
        fused[part, dim:] = np.float32(np.sqrt(share)) * depth_features(log[part], profile.bandwidth, seed=seed)
        fused[part][~vectors[part].any(axis=1)] = 0
    return fused

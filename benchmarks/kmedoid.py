"""K-medoid against one blocked matrix product of the same size, and its peak memory on a large sample.

Usage: python benchmarks/kmedoid.py [--threads N] [--large]

Without --large, n = 20,000 and d = 256: wall time of kmedoid over that of the product, best of three, in one process.
With --large, n = 120,000 and d = 768: wall time and peak memory of the process.
"""

import argparse
import logging
import os
import platform
import resource
import sys
import time
from pathlib import Path

SMALL, LARGE = (20_000, 256), (120_000, 768)
BLOCK_ROWS = 1000
THRESHOLD = 0.6


def main() -> None:
    """Parse the arguments, set the threads before NumPy is loaded, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--large", action="store_true", help="n = 120,000, d = 768: peak memory; takes minutes")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(arguments.threads)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    import numpy

    print(f"command: {' '.join(sys.argv)}")
    print(f"machine: {_processor()}, {os.cpu_count()} cores, {arguments.threads} threads, {platform.platform()}")
    print(f"Python {platform.python_version()}, NumPy {numpy.__version__}")
    if arguments.large:
        measure_memory(*LARGE)
    else:
        measure_time(*SMALL)


def measure_time(n: int, dim: int) -> None:
    """Print the best of three wall times of the product and of kmedoid, and their ratio."""
    from workflow_lib.bin import kmedoid

    points = draw_points(n, dim)
    product, search = [], []
    for _ in range(3):
        started = time.perf_counter()
        multiply_blocked(points)
        product.append(time.perf_counter() - started)
        started = time.perf_counter()
        labels = kmedoid(points, THRESHOLD)
        search.append(time.perf_counter() - started)
    print(f"n = {n}, d = {dim}: {labels.max() + 1} bins, {(labels >= 0).mean():.1%} binned")
    print(f"product {min(product):.2f} s, kmedoid {min(search):.2f} s: {min(search) / min(product):.2f} products")


def measure_memory(n: int, dim: int) -> None:
    """Print the wall time of kmedoid and the peak resident memory of this process, embeddings included."""
    from workflow_lib.bin import kmedoid

    points = draw_points(n, dim)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started = time.perf_counter()
    labels = kmedoid(points, THRESHOLD)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"n = {n}, d = {dim}: {labels.max() + 1} bins, {(labels >= 0).mean():.1%} binned, {seconds:.0f} s")
    print(f"embeddings {points.nbytes / 2**30:.2f} GiB; peak before kmedoid {before:.2f} GiB, with it {peak:.2f} GiB")


def draw_points(n: int, dim: int, *, seed: int = 0, noise: float = 0.2):
    """Unit rows, float32: n / 200 clusters of log-normal sizes, similarity within one about 0.74, and noise."""
    import numpy as np

    generator = np.random.default_rng(seed)
    n_clusters = n // 200
    centres = generator.standard_normal((n_clusters, dim), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    sizes = generator.lognormal(0, 1, n_clusters)
    cluster = generator.choice(n_clusters, n, p=sizes / sizes.sum())
    points = np.empty((n, dim), dtype=np.float32)
    for start in range(0, n, BLOCK_ROWS):
        part = slice(start, min(start + BLOCK_ROWS, n))
        points[part] = generator.standard_normal((part.stop - start, dim), dtype=np.float32)
        member = generator.random(part.stop - start) >= noise
        points[part][member] *= np.float32(0.6 / np.sqrt(dim))
        points[part][member] += centres[cluster[part][member]]
        points[part] /= np.linalg.norm(points[part], axis=1, keepdims=True)
    return points


def multiply_blocked(points) -> None:
    """All n x n inner products, a block of rows at a time; the block is thrown away."""
    import numpy as np

    columns = np.ascontiguousarray(points.T)
    for start in range(0, len(points), BLOCK_ROWS):
        points[start : start + BLOCK_ROWS] @ columns


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

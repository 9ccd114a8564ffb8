"""The screen in low precision never costs a neighbour: its error is bounded, and the bound is used."""

import faiss
import numpy as np
import pytest
import torch

from workflow_lib.index import build_index, load_index
from workflow_lib.index.factories import plan_index
from workflow_lib.index.torch_search import TorchIndex
from workflow_lib.index.windows import format_window, tabulate_windows

N, DIM = 3_000, 48


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_index(vectors, screen, device="cpu"):
    table = tabulate_windows([format_window(f"g{i // 10}", "c", i, i + 1) for i in range(len(vectors))], {})
    manifest = {"embedder": "test", "fingerprint": "f", "dim": vectors.shape[1], "window": 1}
    plan = plan_index("Torch", len(vectors), vectors.shape[1])
    return TorchIndex.from_vectors(vectors, table, manifest, plan, device=device, screen=screen)


@pytest.mark.parametrize("screen", [torch.float32, torch.float16, torch.bfloat16])
def test_the_error_of_the_screen_is_within_its_bound(screen):
    rng = np.random.default_rng(1)
    vectors = unit(rng.standard_normal((N, DIM)) * np.exp(3 * rng.standard_normal((N, DIM))))
    index = make_index(vectors, screen)
    lowered = torch.from_numpy(vectors).to(screen)
    error = np.abs((lowered @ lowered[:200].T).float().numpy() - vectors.astype(float) @ vectors[:200].astype(float).T)
    assert error.max() <= index.screen_error
    assert screen == torch.float32 or error.max() > index.screen_error / 1000


@pytest.mark.parametrize("screen", [torch.float16, torch.bfloat16])
def test_exact_where_the_screen_cannot_tell_neighbours_apart(screen):
    """All windows within the screen's error of each other: the screen is widened until it holds them all."""
    rng = np.random.default_rng(2)
    vectors = unit(np.ones(DIM) + 0.003 * rng.standard_normal((N, DIM)))
    queries = vectors[::50]
    distances, rows = make_index(vectors, screen).search(queries, 5)
    similarities = queries.astype(float) @ vectors.astype(float).T
    found = np.take_along_axis(similarities, rows, axis=1)
    assert np.allclose(found, -np.sort(-similarities, axis=1)[:, :5], atol=3e-7)
    assert (np.diff(distances, axis=1) >= 0).all()


def test_a_device_that_is_not_there_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(Exception, match="PyTorch finds no GPU"):
        make_index(np.eye(4, dtype=np.float32), None, "cuda")


@pytest.mark.gpu
def test_gpu_and_cpu_find_the_same():
    rng = np.random.default_rng(3)
    vectors, queries = unit(rng.standard_normal((N, DIM))), unit(rng.standard_normal((300, DIM)))
    near, far = make_index(vectors, None, "cuda"), make_index(vectors, None)
    for k in (1, 20):
        assert np.allclose(near.search(queries, k)[0], far.search(queries, k)[0], atol=1e-3)
    for (_, mine), (_, its) in zip(near.genome_distances(queries), far.genome_distances(queries), strict=True):
        assert np.allclose(mine, its, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("factory", ["Flat", "Torch", "IVF16,Flat"])
def test_a_saved_index_is_searched_on_the_gpu(tmp_path, factory, caplog):
    """As calibration and calls load it: Flat and Torch in PyTorch, IVF in FAISS where it was built for GPUs."""
    if factory.startswith("IVF") and not hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this FAISS knows no GPU")
    caplog.set_level("INFO")
    rng = np.random.default_rng(4)
    vectors, queries = unit(rng.standard_normal((N, DIM))), unit(rng.standard_normal((300, DIM)))
    table = tabulate_windows([format_window(f"g{i // 10}", "c", i, i + 1) for i in range(N)], {})
    manifest = {"embedder": "test", "fingerprint": "f", "dim": DIM, "window": 1}
    build_index(vectors, table, manifest, factory=factory, parameters={"nprobe": 16}).save(tmp_path)
    near, far = load_index(tmp_path, device="cuda"), load_index(tmp_path)
    assert "searched on cuda by" in caplog.text
    assert np.allclose(near.search(queries, 20)[0], far.search(queries, 20)[0], atol=1e-3)
    for (_, mine), (_, its) in zip(near.genome_distances(queries), far.genome_distances(queries), strict=True):
        assert np.allclose(mine, its, atol=1e-3)

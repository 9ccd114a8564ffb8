"""What every kind of index must do, held against an exact search in blocks of plain numpy."""

import resource

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from workflow_lib.errors import InputError
from workflow_lib.index import SearchIndex, build_index, load_index
from workflow_lib.index.base import KINDS
from workflow_lib.index.windows import format_window, tabulate_windows

N_GENOMES, WINDOWS, DIM = 40, 7, 24
# Chords are roots of float32 differences: 1e-7 in the cosine is 4e-4 in a distance near zero.
TOLERANCE = 1e-3
MANIFEST = {"embedder": "test", "fingerprint": "f" * 64, "dim": DIM, "window": 1000}


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def exact_distances(queries, windows, block=8):
    """float64 (m, n), in blocks of queries, by differences and not by products."""
    parts = [
        np.linalg.norm(queries[i : i + block, None].astype(float) - windows[None].astype(float), axis=2)
        for i in range(0, len(queries), block)
    ]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(1)
    centres = np.repeat(rng.standard_normal((N_GENOMES, DIM)), WINDOWS, axis=0)
    return unit(centres + 0.4 * rng.standard_normal(centres.shape))


@pytest.fixture(scope="module")
def queries(windows):
    rng = np.random.default_rng(2)
    near = windows[::5] + 0.1 * rng.standard_normal(windows[::5].shape)
    return unit(np.concatenate([near, rng.standard_normal((30, DIM)), windows[:3]]))


@pytest.fixture(scope="module")
def table():
    names = [
        format_window(f"g{g}", f"c|{w}", w * 1000, w * 1000 + 1000) for g in range(N_GENOMES) for w in range(WINDOWS)
    ]
    return tabulate_windows(names, {"g0": {"domain": "Bacteria", "species": "A b"}})


@pytest.fixture(scope="module", params=list(KINDS))
def index(request, windows, table) -> SearchIndex:
    return build_index(windows, table, MANIFEST, factory=request.param)


def test_finds_the_exact_neighbours(index, windows, queries):
    distances, rows = index.search(queries, 10)
    exact = exact_distances(queries, windows)
    assert distances.dtype == np.float32
    assert rows.dtype == np.int64
    assert np.allclose(distances, np.sort(exact, axis=1)[:, :10], atol=TOLERANCE)
    assert np.allclose(np.take_along_axis(exact, rows, axis=1), distances, atol=TOLERANCE)
    assert all(len(set(row)) == 10 for row in rows.tolist())


def test_genome_distances_are_those_of_the_nearest_window(index, windows, queries):
    exact = exact_distances(queries, windows).reshape(len(queries), N_GENOMES, WINDOWS).min(axis=2)
    found = np.full_like(exact, np.nan)
    for rows, block in index.genome_distances(queries):
        found[rows] = block
    assert np.allclose(found, exact, atol=TOLERANCE)


@pytest.mark.parametrize("factory", list(KINDS))
def test_genome_distances_are_the_same_bytes_on_any_number_of_threads(factory):
    """Of one product of this size BLAS gives other last digits on two threads than on one."""
    rng = np.random.default_rng(3)
    vectors = unit(rng.standard_normal((20_000, 103)))
    names = [format_window(f"g{row // 50}", "c", row, row + 1) for row in range(len(vectors))]
    index = build_index(vectors, tabulate_windows(names, {}), {**MANIFEST, "dim": 103}, factory=factory)
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, "blas"):
            found.append(np.concatenate([block for _, block in index.genome_distances(vectors[:51])]).tobytes())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("missing", [1, 1000])
def test_a_full_disk_is_an_error_to_the_last_byte(index, tmp_path, missing):
    """FAISS itself loses the error of what its buffer holds at the end."""
    index.write_file(tmp_path / "whole")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "whole").stat().st_size - missing, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            index.write_file(tmp_path / "cut")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_more_neighbours_than_windows_and_zero_queries(index, queries):
    vectors = queries[:3].copy()
    vectors[1] = 0
    distances, rows = index.search(vectors, 10_000)
    assert rows.shape == (3, N_GENOMES * WINDOWS)
    assert (np.sort(rows[0]) == np.arange(N_GENOMES * WINDOWS)).all()
    assert (rows[1] == -1).all()
    assert np.isinf(distances[1]).all()
    with pytest.raises(InputError, match="query vector is zero"):
        list(index.genome_distances(vectors))


def test_no_queries(index):
    distances, rows = index.search(np.zeros((0, DIM), np.float32), 3)
    assert distances.shape == rows.shape == (0, 3)
    assert list(index.genome_distances(np.zeros((0, DIM), np.float32))) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.astype(np.float64), "float64"),
        (lambda v: v[:, :-1], "expected float32"),
        (lambda v: v * 2, "squared norm 4"),
        (lambda v: v * np.float32(np.nan), "squared norm nan"),
    ],
)
def test_refuses_queries_that_are_no_unit_rows(index, queries, change, message):
    with pytest.raises(InputError, match=message):
        index.search(change(queries), 3)


def test_refuses_no_neighbours(index, queries):
    with pytest.raises(InputError, match="k is 0"):
        index.search(queries, 0)


def test_round_trip(index, queries, tmp_path):
    index.save(tmp_path / "i", calibration_id="x")
    loaded = load_index(tmp_path / "i")
    assert loaded.index_id == index.index_id != ""
    assert loaded.manifest["calibration_id"] == "x"
    assert loaded.table.lines() == index.table.lines()
    assert (loaded.search(queries, 5)[0] == index.search(queries, 5)[0]).all()


def test_saving_twice_gives_the_same_bytes_and_over_the_old_ones(index, tmp_path):
    folder = tmp_path / "i"
    index.save(folder)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    index.save(folder)
    assert first == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["index.faiss", "ids.tsv"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_one_flipped_byte_is_found(index, tmp_path, name, share):
    index.save(tmp_path)
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: SHA-256"):
        load_index(tmp_path)


def test_an_unfinished_folder_is_refused(index, tmp_path):
    index.save(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputError, match="never finished"):
        load_index(tmp_path)


def test_zero_windows_are_not_indexed(index, windows, table):
    vectors = windows.copy()
    vectors[:WINDOWS] = 0  # all of g0
    vectors[WINDOWS] = 0  # one of g1
    built = build_index(vectors, table, MANIFEST, factory=index.factory)
    assert len(built.table) == (N_GENOMES - 1) * WINDOWS - 1
    assert built.table.genomes[0] == "g1"
    assert built.table.contigs[0] == "c|1"
    distances, rows = built.search(windows[WINDOWS + 1 :][:1], 1)
    assert rows[0, 0] == 0
    assert distances[0, 0] < TOLERANCE

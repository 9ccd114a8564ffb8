"""What every kind of index must do, held against an exact search in blocks of plain numpy."""

import resource

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from workflow_lib.errors import InputError
from workflow_lib.index import SearchIndex, build_index, extend_index, load_index
from workflow_lib.index.windows import format_window, select_rows, tabulate_windows

N_GENOMES, WINDOWS, DIM = 60, 7, 24
# Kind -> search parameters, and the least share of the ten nearest windows that it has to find.
KINDS = {
    "Flat": ({}, 1.0),
    "Torch": ({}, 1.0),
    "PCA20,Flat": ({}, 0.6),
    "PCAR20,Flat": ({}, 0.6),
    "PCAWR20,Flat": ({}, 0.5),
    "IVF*,Flat": ({"nprobe": 3}, 0.6),
    "PCAWR20,IVF4,Flat": ({"nprobe": 4}, 0.5),
    "IVF*,Flat,RFlat": ({"nprobe": 8}, 0.99),
    "PQ*x4fs,RFlat": ({"k_factor": 8}, 0.85),
    "PQ*x4fs": ({}, 0.3),
    "OPQ*,IVF*,PQ*x4fsr": ({"nprobe": 8}, 0.3),
    "OPQ12_24,IVF4,PQ12x4fsr,RFlat": ({"nprobe": 4, "k_factor": 16}, 0.9),
    "IMI2x*": ({"nprobe": 64}, 0.99),
    "PCA20,IMI2x*,Flat": ({"nprobe": 64}, 0.6),
    "HNSW*": ({"ef_search": 128}, 0.95),
    "PCA20,HNSW16": ({}, 0.6),
    "RR24,RaBitQ,RFlat": ({"k_factor": 16}, 0.85),
    "IVF*,RaBitQ4": ({"nprobe": 8}, 0.5),
    "SQ8": ({}, 0.8),
    "ScaNN": ({}, 0.95),
}
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


def build(factory, windows, table, **changes) -> SearchIndex:
    if factory == "ScaNN":
        pytest.importorskip("scann", reason="ScaNN is an optional package")
    parameters = KINDS[factory][0]
    return build_index(windows, table, {**MANIFEST, **changes}, factory=factory, parameters=parameters)


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def index(kind, windows, table) -> SearchIndex:
    return build(kind, windows, table)


@pytest.fixture
def exact_only(index):
    if not index.plan.is_exact:
        pytest.skip("holds for exact search only")


def test_finds_the_nearest_windows(index, kind, windows, queries):
    distances, rows = index.search(queries, 10)
    exact = exact_distances(queries, windows)
    assert distances.dtype == np.float32
    assert rows.dtype == np.int64
    assert (np.diff(distances, axis=1) >= 0).all()
    nearest = np.argsort(exact, axis=1)[:, :10]
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(nearest.tolist(), rows.tolist(), strict=True)])
    assert found >= KINDS[kind][1]
    assert all(len(real) == len(set(real)) for real in ([r for r in row if r >= 0] for row in rows.tolist()))


def test_distances_are_what_the_manifest_says(index, windows, queries):
    """Chords of the rows that are reported, where it says so: then only which rows are found can be wrong."""
    distances, rows = index.search(queries, 10)
    exact = np.take_along_axis(exact_distances(queries, windows), np.maximum(rows, 0), axis=1)
    real = rows >= 0
    assert np.isinf(distances[~real]).all()
    if index.plan.true_distances:
        assert np.allclose(exact[real], distances[real], atol=TOLERANCE)
    else:
        assert "approximate" in index.plan.distances
        assert np.corrcoef(exact[real], distances[real])[0, 1] > 0.8


def test_exact_search_is_exact(index, exact_only, windows, queries):
    exact = np.sort(exact_distances(queries, windows), axis=1)
    for k in (1, 10, 200):
        assert np.allclose(index.search(queries, k)[0], exact[:, :k], atol=TOLERANCE)


def test_genome_distances_are_those_of_the_nearest_window(index, windows, queries):
    exact = exact_distances(queries, windows).reshape(len(queries), N_GENOMES, WINDOWS).min(axis=2)
    found = np.full_like(exact, np.nan)
    for rows, block in index.genome_distances(queries):
        found[rows] = block
    assert not np.isnan(found).any()
    if index.plan.is_exact:
        assert np.allclose(found, exact, atol=TOLERANCE)
    elif index.plan.true_distances:
        real = np.isfinite(found)
        assert (found[real] >= exact[real] - TOLERANCE).all()
        assert np.isclose(found[real], exact[real], atol=TOLERANCE).mean() > 0.8
    assert np.isfinite(found).sum(axis=1).min() >= 5


def test_genomes_that_are_left_out_are_passed_over(index, queries):
    without = np.arange(N_GENOMES) % 3 > 0
    every, kept = (
        np.concatenate([block for _, block in index.genome_distances(queries, without=mask)])
        for mask in (None, without)
    )
    assert np.isinf(kept[:, without]).all()
    both = np.isfinite(every) & ~without
    assert np.allclose(kept[both], every[both], atol=TOLERANCE)
    assert np.isfinite(kept).sum(axis=1).min() >= min(5, np.isfinite(every).sum(axis=1).min())


def test_several_choices_of_genomes_find_what_each_finds_alone(index, queries):
    genomes = np.arange(N_GENOMES)
    without = [genomes % 3 > 0, genomes % 3 == 0, genomes < 1, genomes < 50, genomes < 50]
    together = list(index.genome_distances_for_each(queries, without))
    for mask, found in zip(without, together, strict=True):
        alone = np.concatenate([block for _, block in index.genome_distances(queries, without=mask)])
        assert found.tobytes() == alone.tobytes()
    with pytest.raises(InputError, match="zero"):
        list(index.genome_distances_for_each(np.zeros((1, DIM), np.float32), without))


@pytest.mark.parametrize("factory", ["Flat", "PCA64,Flat", "IVF*,Flat", "PQ*x4fs,RFlat", "HNSW8"])
def test_search_gives_the_same_bytes_on_any_number_of_threads(factory):
    """Of one product of this size BLAS gives other last digits on two threads than on one."""
    rng = np.random.default_rng(3)
    vectors = unit(rng.standard_normal((20_000 if factory == "Flat" else 3_000, 103)))
    names = [format_window(f"g{row // 50}", "c", row, row + 1) for row in range(len(vectors))]
    index = build_index(vectors, tabulate_windows(names, {}), {**MANIFEST, "dim": 103}, factory=factory)
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, "blas"):
            genomes = np.concatenate([block for _, block in index.genome_distances(vectors[:51])])
            distances, rows = index.search(vectors[:51], 20)
            found.append((genomes.tobytes(), distances.tobytes(), rows.tobytes()))
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
    real = rows[0][rows[0] >= 0]
    assert len(set(real)) == len(real) >= 10
    assert (rows[0, : len(real)] == real).all(), "what was not found stands last"
    if index.plan.is_exact:
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
    assert list(loaded.table.lines()) == list(index.table.lines())
    assert loaded.plan == index.plan
    for mine, its in zip(index.search(queries, 5), loaded.search(queries, 5), strict=True):
        assert (mine == its).all()


def test_the_manifest_says_what_the_index_is(index, kind, tmp_path):
    index.save(tmp_path)
    manifest = load_index(tmp_path).manifest
    assert manifest["factory_asked"] == kind
    assert "*" not in manifest["factory"]
    assert set(KINDS[kind][0]) <= set(manifest["parameters"])
    assert manifest["metric"] == "chord"
    assert manifest["n"] == N_GENOMES * WINDOWS
    assert {"novabin", "faiss", "numpy"} <= set(manifest["versions"])


def test_an_index_grows_as_if_built_at_once(kind, windows, table, queries, tmp_path):
    """Windows are appended, nothing is trained anew; queries find the old rows and the new ones."""
    split = 50 * WINDOWS
    first = np.arange(len(windows)) < split
    index = build(kind, windows[first], select_rows(table, first))
    index.save(tmp_path, calibration_id="c")
    index = load_index(tmp_path, mmap=False)
    new = select_rows(table, ~first)
    if kind == "ScaNN":
        with pytest.raises(InputError, match="cannot grow"):
            extend_index(index, windows[~first], new)
        return
    before = index.index_id
    extend_index(index, windows[~first], new)
    index.save(tmp_path)
    grown = load_index(tmp_path)
    assert grown.index_id != before
    assert grown.manifest["stale_calibration_id"] == "c"
    assert "calibration_id" not in grown.manifest
    assert grown.manifest["trained_on"] == split
    assert list(grown.table.lines()) == list(table.lines())
    rows = grown.search(queries, 10)[1]
    exact = exact_distances(queries, windows)
    assert (rows >= split).any()
    assert (rows < split).any()
    nearest = np.argsort(exact, axis=1)[:, :10]
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(nearest.tolist(), rows.tolist(), strict=True)])
    assert found >= KINDS[kind][1] - 0.1
    with pytest.raises(InputError, match="genomes, expected distinct names"):
        extend_index(grown, windows[~first], new)


def test_saving_twice_gives_the_same_bytes_and_over_the_old_ones(index, tmp_path):
    folder = tmp_path / "i"
    index.save(folder)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    index.save(folder)
    assert first == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_one_flipped_byte_is_found_in_every_file(index, tmp_path, share):
    index.save(tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[int(share * len(content))] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=f"{path.name}: "):
            load_index(tmp_path)
        path.write_bytes(content)
    load_index(tmp_path)


def test_an_unfinished_folder_is_refused(index, tmp_path):
    index.save(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputError, match="never finished"):
        load_index(tmp_path)


def test_zero_windows_are_not_indexed(kind, windows, table):
    vectors = windows.copy()
    vectors[:WINDOWS] = 0  # all of g0
    vectors[WINDOWS] = 0  # one of g1
    built = build(kind, vectors, table)
    assert len(built.table) == (N_GENOMES - 1) * WINDOWS - 1
    assert built.table.genomes[0] == "g1"
    assert built.table.contigs[0] == "c|1"
    distances, rows = built.search(windows[WINDOWS + 1 :][:1], 1)
    assert rows[0, 0] == 0
    assert distances[0, 0] < (TOLERANCE if built.plan.true_distances else 0.5)
